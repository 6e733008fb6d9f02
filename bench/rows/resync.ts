import { setTimeout as sleep } from 'node:timers/promises'
import { KIB, MIB } from '../../ts/base/units.ts'
import { type FioLoad, type FioResult, runFio } from '../../ts/cli/fio.ts'
import { exactByteLengthText } from '../../ts/config/quantities.ts'
import { AGGREGATE, type BenchPair } from '../compare/bench-pair.ts'
import { startPollux } from '../compare/pollux.ts'
import { run } from '../compare/processes.ts'
import type { Figure, Section } from '../report/section.ts'
import { emptyDirectory, type RowSettings, type TargetRow } from './row.ts'

const LIMIT = 2
const WAIT_MS = 120_000

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
}

async function resync(settings: RowSettings): Promise<Section> {
  const { isQuick, tell } = settings
  const rounds = settings.rounds ?? (isQuick ? 1 : 7)
  const seconds = settings.seconds ?? (isQuick ? 1 : 2)
  const byteLength = settings.byteLength ?? (isQuick ? 512 : 1024) * MIB
  const directory = emptyDirectory(settings)
  const pollux = { durability: 'pair', isApart: true } as const
  const { pair, durability } = await startPollux({ directory, byteLength, pollux })
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
    ],
    charts: [],
    notes: [],
  }
}

/** Ends as it began: with both plexes. */
async function measure(pair: BenchPair, seconds: number): Promise<Round> {
  await untilPlexIs(pair, 'in-sync')
  const calm = await runFio(run, { uri: pair.uri }, load, { seconds })
  pair.kill('pollux')
  await runFio(run, { uri: pair.uri }, missed)
  await pair.cp('now')
  // not awaited: the resync begins before the command that starts the node has ended
  const started = pair.up()
  started.catch(() => undefined)
  await untilPlexIs(pair, 'filling')
  const during = await runFio(run, { uri: pair.uri }, load, { seconds })
  if ((await stateOf(pair)) !== 'filling')
    throw new Error('the resync ended before the load: give less --seconds or more --size')
  await started
  return { calm, during }
}

async function stateOf(pair: BenchPair): Promise<string | undefined> {
  const engine = await pair.engine('castor')
  return engine?.plexes?.[1]?.state
}

async function untilPlexIs(pair: BenchPair, state: 'in-sync' | 'filling'): Promise<void> {
  for (const startedMs = performance.now(); (await stateOf(pair)) !== state; await sleep(20)) {
    if (performance.now() - startedMs > WAIT_MS)
      throw new Error(`the second plex of ${AGGREGATE} is not ${state} after ${WAIT_MS / 1000} s`)
  }
}
