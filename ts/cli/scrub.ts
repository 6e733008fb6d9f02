import { StoreError } from '../base/errors.ts'
import { byteLengthText, parseByteLength } from '../config/quantities.ts'
import type { ScrubStatus } from '../node/messages.ts'
import { type Context, findContext } from './context.ts'
import { say, sayJson } from './output.ts'
import { type AggregateLine, pairStatus, servedAggregates } from './pair-status.ts'
import { waitFor } from './wait.ts'

export interface ScrubOptions {
  dir?: string
  json?: true
  rate?: string
  stop?: true
  detach?: true
}

const ASK_MS = 12_000

type Outcome = ScrubStatus & { readonly aggregate: string }

/** Has everything that aggregates reach read and checked. Fails if something stays damaged. */
export async function scrub(name: string | undefined, options: ScrubOptions): Promise<void> {
  const byteRate = options.rate === undefined ? undefined : rateOf(options.rate)
  const context = findContext(options.dir)
  const served = await servedAggregates(context, name)
  const action = options.stop ? 'stop' : 'start'
  const asked = await Promise.all(served.map((aggregate) => ask(context, aggregate, action, byteRate)))
  const outcomes = options.stop || options.detach ? asked : await finished(context, asked)
  if (options.json) sayJson({ scrubs: outcomes })
  else for (const outcome of outcomes) for (const line of lines(outcome)) say(line)
  const isBad = ({ findingCount, mendedCount }: Outcome): boolean => findingCount > mendedCount
  const bad = outcomes.filter(isBad).map(({ aggregate }) => aggregate)
  if (bad.length > 0) {
    const isUnread = outcomes.some(({ unreadPlexes = [] }) => unreadPlexes.length > 0)
    const restore = 'restore the blocks that are named, or the volumes, from a backup, and check the disk'
    const again = 'another plex may have it: scrub again when all are in sync, and only then '
    const remedy = `${isUnread ? again : ''}${restore}`
    throw new StoreError('DISK_CORRUPT', `not everything checks in ${bad.join(' and ')}; ${remedy}`)
  }
}

function rateOf(text: string): number {
  const parsed = parseByteLength(text.replace(/\/s$/, ''))
  if ('mistake' in parsed) throw new StoreError('USAGE', `--rate: ${parsed.mistake}`)
  if (parsed.value < 4096) throw new StoreError('USAGE', '--rate: a scrub reads at least 4KiB per second')
  return parsed.value
}

async function ask(
  context: Context,
  { name, node }: AggregateLine,
  action: 'start' | 'stop',
  byteRate: number | undefined,
): Promise<Outcome> {
  const { client } = context.nodes.find((known) => known.name === node)!
  const body = { action, aggregate: name, ...(byteRate === undefined ? {} : { byteRate }) }
  const { changes } = await client.json<{ changes: Outcome[] }>('POST', '/scrub', body, ASK_MS)
  return changes[0]!
}

/** A scrub belongs to the owner that runs it: with another owner it has ended before its end. */
async function finished(context: Context, asked: readonly Outcome[]): Promise<Outcome[]> {
  let now: (Outcome & { total: number })[] = []
  const text = (): string =>
    now
      .map(({ aggregate, readByteLength, total }) => {
        return `${aggregate}: ${byteLengthText(readByteLength)} of about ${byteLengthText(total)} read`
      })
      .join(', ')
  return waitFor(Number.POSITIVE_INFINITY, text, async () => {
    const { aggregates } = await pairStatus(context)
    now = asked.map(({ aggregate }) => {
      const line = aggregates.find(({ name }) => name === aggregate)
      const engine = line?.node ? line.engines[line.node] : undefined
      if (!engine?.scrub || engine.scrub.state === 'never')
        throw new StoreError('NOT_READY', `the owner of ${aggregate} has changed: start the scrub again`)
      return { ...engine.scrub, aggregate, total: engine.space?.usedByteLength ?? 0 }
    })
    return now.some(({ state }) => state === 'running') ? undefined : now
  })
}

function lines(outcome: Outcome): string[] {
  const { aggregate, state, readByteLength, durationMs, findingCount, mendedCount } = outcome
  const { findings, unreadPlexes = [] } = outcome
  const took = durationMs > 0 ? ` in ${(durationMs / 1000).toFixed(1)} s` : ''
  const mended = mendedCount > 0 ? `, ${mendedCount} of them mended` : ''
  const hidden = findingCount - findings.length
  return [
    `${aggregate}: ${state}, ${byteLengthText(readByteLength)} read${took}, ${findingCount} findings${mended}`,
    ...findings.map(({ where, why, isMended }) => `  ${where}: ${why}${isMended ? '; mended' : ''}`),
    ...(hidden > 0 ? [`  and ${hidden} more`] : []),
    ...unreadPlexes.map(
      (plex) => `  plex ${plex} was not read, or not to the end: it is away, or not in sync`,
    ),
  ]
}
