import { StoreError } from '../base/errors.ts'
import { type Context, findContext, type KnownNode } from './context.ts'
import { isRunning, kill } from './node-process.ts'
import { note, say, sayJson } from './output.ts'
import { waitFor } from './wait.ts'

export interface DownOptions {
  dir?: string
  json?: true
}

/** Longer than a node gives itself to stop. */
const STOP_MS = 25_000

/** `pollux down`: stops all nodes of the context in good order. */
export async function down(options: DownOptions): Promise<void> {
  const context = findContext(options.dir)
  const stopped = await stopPair(context)
  if (options.json) sayJson({ dir: context.dir, stopped })
  else say(stopped.length === 0 ? `nothing runs in ${context.dir}` : `${stopped.join(' and ')} stopped`)
}

/** Returns the names of the nodes that were running. When it returns, none is. */
export async function stopPair(context: Context): Promise<string[]> {
  const running = context.nodes.filter(({ api }) => isRunning(api))
  await Promise.all(running.map((node) => stopNode(node)))
  const left = context.nodes.filter(({ api }) => isRunning(api))
  if (left.length > 0) {
    throw new StoreError('NOT_READY', `${left.map(({ name }) => name).join(' and ')} cannot be stopped`)
  }
  return running.map(({ name }) => name)
}

async function stopNode({ name, api, client }: KnownNode): Promise<void> {
  try {
    await client.json('POST', '/stop', { pair: true }, 5000)
    await ended(name, api, STOP_MS)
  } catch (error) {
    if (!isRunning(api)) return
    note(`${name} does not stop (${(error as Error).message}); it is killed, its log stays`)
    kill(api)
    await ended(name, api, 5000)
  }
}

function ended(name: string, api: string, timeoutMs: number): Promise<true> {
  return waitFor(
    timeoutMs,
    () => `waiting for ${name} to stop`,
    async () => (isRunning(api) ? undefined : true),
  )
}
