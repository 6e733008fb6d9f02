import { byteLengthText } from '../config/quantities.ts'
import type { PlexStatus } from '../node/messages.ts'
import { tableText } from './output.ts'
import type { AggregateLine, NodeLine, PairStatus, VolumeLine } from './pair-status.ts'

/** What `pollux status` prints. `before` is an earlier status and how long ago, for rates. */
export function statusText(status: PairStatus, before?: { status: PairStatus; elapsedMs: number }): string {
  const rates = (aggregate: AggregateLine): string => (before ? rateText(aggregate, before) : '')
  return [
    `pair in ${status.dir}`,
    '',
    nodeTable(status.nodes),
    '',
    aggregateTable(status.aggregates, rates, before !== undefined),
    '',
    volumeTable(status.volumes),
    ...reasons(status),
  ].join('\n')
}

function nodeTable(nodes: readonly NodeLine[]): string {
  return tableText(
    ['NODE', 'STATE', 'PID', 'NBD', 'TAKEOVER POSSIBLE'],
    nodes.map(({ name, state, pid, nbd, takeover }) => [
      name,
      state,
      pid === null ? '-' : String(pid),
      nbd ?? '-',
      takeover.possible ? 'yes' : `no, because ${takeover.because}`,
    ]),
  )
}

function aggregateTable(
  aggregates: readonly AggregateLine[],
  rates: (aggregate: AggregateLine) => string,
  withRates: boolean,
): string {
  const head = ['AGGREGATE', 'HOME', 'SERVED BY', 'EPOCH', 'LOG COPIES', 'LOG FILL', 'CP', 'SPACE USED']
  const withPlexes = aggregates.some((aggregate) => plexesOf(aggregate).length > 1)
  const rows = aggregates.map((aggregate) => {
    const { name, home, node, epoch, log } = aggregate
    return [
      ...[name, home, node ?? 'nobody', String(epoch), log ?? '-', ...engineCells(aggregate)],
      ...(withPlexes ? [plexCell(aggregate)] : []),
      ...(withRates ? [rates(aggregate)] : []),
    ]
  })
  const more = [...(withPlexes ? ['PLEXES'] : []), ...(withRates ? ['PER SECOND'] : [])]
  return tableText([...head, ...more], rows)
}

/** As the node that serves it sees them; empty if nobody does. */
function plexesOf({ node, engines }: AggregateLine): readonly PlexStatus[] {
  return (node === null ? undefined : engines[node]?.plexes) ?? []
}

function plexCell(aggregate: AggregateLine): string {
  const plexes = plexesOf(aggregate)
  if (plexes.length < 2) return '-'
  const inSync = plexes.filter(({ state }) => state === 'in-sync').length
  return inSync === plexes.length ? 'in-sync' : `${inSync} of ${plexes.length} in-sync`
}

function engineCells({ node, engines }: AggregateLine): [string, string, string] {
  const engine = node === null ? undefined : engines[node]
  if (!engine) return ['-', '-', '-']
  const { log, consistencyPoint, space } = engine
  const fill = `${Math.round((100 * log.pagesUsed) / log.pageCount)} %`
  const used = space ? `${byteLengthText(space.usedByteLength)} of ${byteLengthText(space.byteLength)}` : '-'
  const failure = consistencyPoint.failure === '' ? '' : `, failed: ${consistencyPoint.failure}`
  return [fill, `${consistencyPoint.generation} ${consistencyPoint.state}${failure}`, used]
}

function rateText(aggregate: AggregateLine, before: { status: PairStatus; elapsedMs: number }): string {
  const { node, name } = aggregate
  const earlier = before.status.aggregates.find((other) => other.name === name)
  const now = node === null ? undefined : aggregate.engines[node]?.counters
  const then = node === null ? undefined : earlier?.engines[node]?.counters
  if (!now || !then) return '-'
  const perSecond = (a: number, b: number): number =>
    Math.max(0, Math.round(((a - b) * 1000) / before.elapsedMs))
  const read = byteLengthText(perSecond(now.readByteLength, then.readByteLength))
  const written = byteLengthText(perSecond(now.writtenByteLength, then.writtenByteLength))
  const reads = perSecond(now.reads, then.reads)
  const writes = perSecond(now.writes, then.writes)
  return `${reads} reads ${read}, ${writes} writes ${written}`
}

export function volumeTable(volumes: readonly VolumeLine[]): string {
  return tableText(
    ['VOLUME', 'SIZE', 'USED', 'NODE', 'URI'],
    volumes.map(({ name, size, usedByteLength, node, uri }) => [
      name,
      byteLengthText(size),
      byteLengthText(usedByteLength),
      node,
      uri,
    ]),
  )
}

/** Everything that is not as it should be, in words. */
function reasons({ nodes, aggregates }: PairStatus): string[] {
  const found = [
    ...nodes.filter(({ because }) => because !== '').map(({ name, because }) => `${name}: ${because}`),
    ...nodes.flatMap(({ name, problems }) => problems.map((problem) => `${name}: address ${problem}`)),
    ...aggregates
      .filter(({ node }) => node === null)
      .map(({ name, because }) => `aggregate ${name} is not served: ${because}`),
    ...aggregates.flatMap(plexReasons),
  ]
  return found.length === 0 ? [] : ['', ...found]
}

function plexReasons(aggregate: AggregateLine): string[] {
  const { name, node, engines } = aggregate
  const lacking = plexesOf(aggregate).filter(({ state }) => state !== 'in-sync')
  const reasons = lacking.map(({ plex, state, because }) => {
    const is = state === 'filling' ? 'is being filled' : 'is missing'
    return `aggregate ${name}: plex ${plex} ${is}: ${because}`
  })
  const mended = node === null ? 0 : (engines[node]?.mendedBlocks ?? 0)
  if (mended === 0) return reasons
  const what = mended === 1 ? '1 block was' : `${mended} blocks were`
  return [...reasons, `aggregate ${name}: ${what} damaged on one plex and mended; check its disks`]
}
