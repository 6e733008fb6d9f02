import { setTimeout as sleep } from 'node:timers/promises'
import { StoreError } from '../base/errors.ts'
import { findContext } from './context.ts'
import { clearScreen, say, sayJson } from './output.ts'
import { type PairStatus, pairStatus } from './pair-status.ts'
import { statusText } from './status-text.ts'

export interface StatusOptions {
  dir?: string
  json?: true
  watch?: true
}

const WATCH_MS = 1000

/** `pollux status`. Fails when no node answers, after having said what is known. */
export async function status(options: StatusOptions): Promise<void> {
  const context = findContext(options.dir)
  const first = await pairStatus(context)
  if (options.watch) return watch(options, first)
  if (options.json) sayJson(first)
  else say(statusText(first))
  if (first.nodes.every(({ because }) => because !== '')) {
    throw new StoreError(
      'API_UNREACHABLE',
      `no node of ${context.dir} answers; start them with \`pollux up\``,
    )
  }
}

/** Goes on until the user ends it. */
async function watch(options: StatusOptions, first: PairStatus): Promise<never> {
  const context = findContext(options.dir)
  let before = { status: first, atMs: performance.now() }
  for (;;) {
    await sleep(WATCH_MS)
    const now = { status: await pairStatus(context), atMs: performance.now() }
    const elapsedMs = now.atMs - before.atMs
    if (options.json) sayJson(now.status)
    else {
      clearScreen()
      say(statusText(now.status, { status: before.status, elapsedMs }))
    }
    before = now
  }
}
