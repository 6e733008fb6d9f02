import type { ConsistencyPointStatus } from '../node/messages.ts'
import { findContext, type KnownNode } from './context.ts'
import { say, sayJson } from './output.ts'
import { servedAggregates } from './pair-status.ts'

export type CpAction = 'now' | 'hold' | 'resume'

export interface CpOptions {
  dir?: string
  json?: true
  aggregate?: string
}

const CP_MS = 305_000

/** Consistency points by hand, on every aggregate or on one. */
export async function cp(action: CpAction, options: CpOptions): Promise<void> {
  const context = findContext(options.dir)
  const served = await servedAggregates(context, options.aggregate)
  const results = await Promise.all(
    served.map(({ name, node }) => ask(context.nodes.find((it) => it.name === node)!, action, name)),
  )
  if (options.json) return sayJson({ consistencyPoints: results })
  for (const { aggregate, generation, state, lastDurationMs } of results) {
    const took = action === 'now' ? `, took ${Math.round(lastDurationMs)} ms` : ''
    say(`${aggregate}: generation ${generation}, ${state}${took}`)
  }
}

type Result = ConsistencyPointStatus & { aggregate: string }

async function ask(node: KnownNode, action: CpAction, aggregate: string): Promise<Result> {
  const answer = await node.client.json<{ changes: Result[] }>('POST', '/cp', { action, aggregate }, CP_MS)
  return answer.changes[0]!
}
