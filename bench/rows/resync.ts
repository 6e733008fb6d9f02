import { setTimeout as sleep } from 'node:timers/promises'
import { KIB, MIB } from '../../ts/base/units.ts'
import { type FioLoad, type FioResult, runFio } from '../../ts/cli/fio.ts'
import { exactByteLengthText } from '../../ts/config/quantities.ts'
import { AGGREGATE, type BenchPair, type BenchStatus } from '../compare/bench-pair.ts'
import { startPollux } from '../compare/pollux.ts'
import { run } from '../compare/processes.ts'
import type { Figure, Section } from '../report/section.ts'
import { emptyDirectory, type RowSettings, type TargetRow } from './row.ts'

const LIMIT = 2
const WAIT_MS = 120_000
/** A partner that comes back more often within a minute has to wait longer before its memory counts. */
const ROUNDS = 3

/** Far from what the pair can do: a queue of the client's own would hide what the resync costs. */
const load: FioLoad = { name: 'write 4k QD4', pattern: 'randwrite', blockByteLength: 4 * KIB, queueDepth: 4 }
/** What the partner misses while it is away. */
const missed: FioLoad = { name: 'write 1M QD4', pattern: 'write', blockByteLength: MIB, queueDepth: 4 }

export const resyncRow: TargetRow = {
  name: 'resync',
  title: 'clients while a plex that was away is brought up to date',
  target: `99th percentile of random writes of 4k QD4: at most ${LIMIT} times as long as without`,
  run: resync,
}

interface Round {
  readonly calm: FioResult
  readonly during: FioResult
  /** by the resync, while the load began, ran and ended */
  readonly copiedBytesPerSecond: number
}

async function resync(settings: RowSettings): Promise<Section> {
  const { isQuick, tell } = settings
  const rounds = settings.rounds ?? (isQuick ? 1 : ROUNDS)
  const seconds = settings.seconds ?? (isQuick ? 1 : 4)
  const byteLength = settings.byteLength ?? (isQuick ? 512 : 1024) * MIB
  const directory = emptyDirectory(settings)
  const pollux = { durability: 'pair', isApart: true } as const
  const { pair, durability } = await startPollux({ directory, byteLength, pollux })
  await runFio(run, { uri: pair!.uri }, missed)
  const found: Round[] = []
  for (let round = 1; round <= rounds; round += 1) {
    tell(`resync: round ${round} of ${rounds}`)
    found.push(await measure(pair!, seconds))
  }
  const figure = (name: string, unit: string, of: (round: Round) => number): Figure => ({
    name,
    unit,
    values: found.map(of),
  })
  return {
    name: resyncRow.name,
    title: resyncRow.title,
    how: `${rounds} x ${exactByteLengthText(byteLength)} to copy, ${seconds} s of load; ${durability}`,
    summaries: [],
    verdicts: [
      {
        ...figure(
          '99th percentile, over that without a resync',
          '',
          ({ during, calm }) => during.p99Us / calm.p99Us,
        ),
        sense: 'at most',
        limit: LIMIT,
      },
    ],
    figures: [
      figure('99th percentile without', 'us', ({ calm }) => calm.p99Us),
      figure('99th percentile during a resync', 'us', ({ during }) => during.p99Us),
      figure('median without', 'us', ({ calm }) => calm.p50Us),
      figure('median during a resync', 'us', ({ during }) => during.p50Us),
      figure('operations without', 'a second', ({ calm }) => calm.iops),
      figure('operations during a resync', 'a second', ({ during }) => during.iops),
      figure('copied meanwhile', 'MiB/s', ({ copiedBytesPerSecond }) => copiedBytesPerSecond / MIB),
    ],
    charts: [],
    notes: [],
  }
}

/** Ends as it began: with both plexes. */
async function measure(pair: BenchPair, seconds: number): Promise<Round> {
  await until(pair, isInSync, 'both plexes in sync')
  const calm = await runFio(run, { uri: pair.uri }, load, { seconds })
  pair.kill('pollux')
  await runFio(run, { uri: pair.uri }, missed)
  await pair.cp('now')
  // not awaited: the resync begins before the command that starts the node has ended
  const started = pair.up()
  started.catch(() => undefined)
  const before = await until(pair, isCopied, 'a resync under way, and a log in both memories')
  const beforeMs = performance.now()
  const during = await runFio(run, { uri: pair.uri }, load, { seconds })
  const after = await pair.engine('castor')
  if (after === undefined || !isCopied(after))
    throw new Error('the resync ended before the load, or the link did: give less --seconds or more --size')
  const copiedBytes = copiedBytesOf(after) - copiedBytesOf(before)
  if (copiedBytes < 0) throw new Error('the resync has begun again under the load')
  const copiedBytesPerSecond = (copiedBytes / (performance.now() - beforeMs)) * 1000
  await started
  await until(pair, isInSync, 'both plexes in sync')
  await pair.giveBack('pollux')
  return { calm, during, copiedBytesPerSecond }
}

const isInSync = ({ plexes }: BenchStatus): boolean => plexes?.[1]?.state === 'in-sync'

/** With the partner's memory: an owner that acknowledges alone would be faster. */
const isCopied = ({ plexes, log, link }: BenchStatus): boolean =>
  plexes?.[1]?.state === 'filling' && log.state === 'in-sync' && link.up

const copiedBytesOf = ({ plexes }: BenchStatus): number => plexes?.[1]?.resync?.copiedBytes ?? 0

async function until(
  pair: BenchPair,
  isSo: (engine: BenchStatus) => boolean,
  what: string,
): Promise<BenchStatus> {
  for (const startedMs = performance.now(); ; await sleep(20)) {
    const engine = await pair.engine('castor')
    if (engine !== undefined && isSo(engine)) return engine
    if (performance.now() - startedMs > WAIT_MS)
      throw new Error(`${AGGREGATE} has not had ${what} within ${WAIT_MS / 1000} s`)
  }
}
