import { StoreError } from '../base/errors.ts'
import { findContext } from './context.ts'
import { pairStatus } from './pair-status.ts'

export interface LogDumpOptions {
  dir?: string
  copy: string
  aggregate?: string
  limit?: string
}

/** Entries of the copies of a log, oldest first, as JSON lines on stdout: of every aggregate, or of one. */
export async function logDump(options: LogDumpOptions): Promise<void> {
  const { copy, limit } = options
  if (copy !== 'own' && copy !== 'partner') throw new StoreError('USAGE', '--copy is either own or partner')
  const context = findContext(options.dir)
  const { aggregates } = await pairStatus(context)
  const meant = aggregates.filter(({ name }) => options.aggregate === undefined || name === options.aggregate)
  if (meant.length === 0) throw new StoreError('NOT_READY', 'no node that answers knows such an aggregate')
  for (const { name, node, engines } of meant) {
    // the owner's copy is its own; the partner's is asked of whoever is not the owner
    const holder = copy === 'own' ? node : Object.keys(engines).find((other) => other !== node)
    const found = context.nodes.find((known) => known.name === (holder ?? Object.keys(engines)[0]))
    if (!found || (copy === 'partner' && holder === undefined)) {
      throw new StoreError('NOT_READY', `the node with that copy of the log of ${name} does not answer`)
    }
    const query = new URLSearchParams({
      aggregate: name,
      copy: 'own',
      ...(limit === undefined ? {} : { limit }),
    })
    process.stdout.write(await found.client.text('GET', `/log?${query}`, undefined, 30_000))
  }
}
