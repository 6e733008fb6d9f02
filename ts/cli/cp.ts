import { StoreError } from '../base/errors.ts'
import type { ConsistencyPointStatus } from '../node/messages.ts'
import { findContext, type KnownNode } from './context.ts'
import { say, sayJson } from './output.ts'
import { pairStatus } from './pair-status.ts'

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
  const { aggregates } = await pairStatus(context)
  const meant = aggregates.filter(({ name }) => options.aggregate === undefined || name === options.aggregate)
  if (options.aggregate !== undefined && meant.length === 0) {
    throw new StoreError('USAGE', `no aggregate that answers is called ${options.aggregate}`)
  }
  const served = meant.filter(({ node }) => node !== null)
  if (served.length === 0) throw new StoreError('NOT_READY', 'no aggregate is served now')
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
