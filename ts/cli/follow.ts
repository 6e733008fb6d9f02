import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from './context.ts'
import { stopPair } from './down.ts'
import { note, say } from './output.ts'
import { type PairStatus, pairStatus } from './pair-status.ts'

const POLL_MS = 500

/**
 * Stays in the foreground with a pair: tells who serves what when that changes, and stops both nodes
 * when the user ends it. If the pair is stopped by somebody else, it is over, too.
 */
export async function follow(context: Context, first: PairStatus): Promise<void> {
  const asked = new AbortController()
  const stop = () => asked.abort()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop)
  let before = first
  while (!asked.signal.aborted) {
    await sleep(POLL_MS, undefined, { signal: asked.signal }).catch(() => {})
    if (asked.signal.aborted) break
    const now = await pairStatus(context, 1000)
    for (const line of changes(before, now)) say(line)
    if (now.nodes.every(({ state }) => state === 'down')) return note('both nodes have stopped')
    before = now
  }
  note('stopping both nodes')
  await stopPair(context)
}

/** What a person wants to know of the difference between two looks. */
export function changes(before: PairStatus, now: PairStatus): string[] {
  const found: string[] = []
  for (const node of now.nodes) {
    const was = before.nodes.find(({ name }) => name === node.name)?.state
    if (was !== node.state) found.push(`node ${node.name} is ${node.state}`)
  }
  for (const aggregate of now.aggregates) {
    const was = before.aggregates.find(({ name }) => name === aggregate.name)
    if (was?.node !== aggregate.node) {
      const how = aggregate.node === aggregate.home ? 'at home' : 'taken over'
      found.push(
        aggregate.node === null
          ? `aggregate ${aggregate.name} is not served: ${aggregate.because}`
          : `aggregate ${aggregate.name} is served by ${aggregate.node} (${how}, epoch ${aggregate.epoch})`,
      )
    }
    if (was?.log !== aggregate.log && aggregate.log !== null) {
      found.push(`aggregate ${aggregate.name}: the copies of the log are ${aggregate.log}`)
    }
  }
  return found
}
