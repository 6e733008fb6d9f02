import { KIB, MIB } from '../../ts/base/units.ts'
import { type FioLoad, runFio } from '../../ts/cli/fio.ts'
import { cpuPer100kByRound, type Sample } from '../../ts/cli/fio-summary.ts'
import { median } from '../../ts/cli/statistics.ts'
import type { BenchPair } from '../compare/bench-pair.ts'
import { compare, writeAll } from '../compare/compare.ts'
import { startPollux } from '../compare/pollux.ts'
import { residentBytes, run } from '../compare/processes.ts'
import type { PolluxSetup, Server } from '../compare/server.ts'
import type { Column, Section, Table } from '../report/section.ts'
import { emptyDirectory, type RowSettings } from '../rows/row.ts'

/** One table of how something scales. */
export interface ScaleTable {
  readonly name: string
  readonly title: string
  readonly run: (settings: RowSettings) => Promise<Section>
}

/** What all points of a table have in common. */
export interface Extent {
  readonly rounds: number
  readonly seconds: number
  /** of a volume, from its beginning: as much as one load touches */
  readonly regionByteLength: number
}

export const write4k: FioLoad = {
  name: 'write 4k QD32',
  pattern: 'randwrite',
  blockByteLength: 4 * KIB,
  queueDepth: 32,
}
export const read4k: FioLoad = { ...write4k, name: 'read 4k QD32', pattern: 'randread' }

export const operations = (name: string): Column => ({ name, unit: 'ops/s' })
export const cpu: Column = { name: 'CPU', unit: 's/100k' }
export const memory: Column = { name: 'memory', unit: 'MiB' }

export function extentOf({ rounds, seconds, byteLength, isQuick }: RowSettings): Extent {
  return {
    rounds: rounds ?? (isQuick ? 1 : 3),
    seconds: seconds ?? (isQuick ? 1 : 3),
    regionByteLength: byteLength ?? (isQuick ? 16 : 256) * MIB,
  }
}

export const extentText = ({ rounds, seconds, regionByteLength }: Extent): string =>
  `${rounds} x ${seconds} s in ${regionByteLength / MIB} MiB of a volume`

/** A pair whose first volume has as much as a load touches, on disks with room for many times that. */
export async function startPair(
  settings: RowSettings,
  { regionByteLength }: Extent,
  more: Partial<PolluxSetup> = {},
): Promise<{ server: Server; pair: BenchPair }> {
  settings.tell('starting pollux')
  const server = await startPollux({
    directory: emptyDirectory(settings),
    byteLength: regionByteLength,
    // a quick run spares itself the restart that devices take
    pollux: { durability: 'pair', isOnDevices: !settings.isQuick, diskFactor: 8, ...more },
  })
  return { server, pair: server.pair! }
}

/** Every block of the region is written once, so that nothing is answered from holes; then code gets warm. */
export async function prepare(
  server: Server,
  { seconds, regionByteLength }: Extent,
  { tell, isQuick }: RowSettings,
): Promise<void> {
  tell(`${server.name}: every block is written once`)
  await writeAll(server, { regionByteLength })
  if (isQuick) return
  tell(`${server.name}: warm-up`)
  await runFio(run, server.target, { ...write4k, regionByteLength }, { seconds })
  await server.settle?.()
}

/** Medians over the rounds of a load. */
export interface Measured {
  readonly iops: number
  readonly cpuPer100k: number
  readonly p99Us: number
}

/** Loads the region. */
export async function measured(
  server: Server,
  load: FioLoad,
  { rounds, seconds, regionByteLength }: Extent,
  { tell }: RowSettings,
): Promise<Measured> {
  const plan = { load: { ...load, regionByteLength }, rounds, secondsPerRound: seconds }
  const { rows } = await compare([server], plan, tell)
  return mediansOf(rows[0]!.samples)
}

/** Progress of a point says which one it is. */
export const atPoint = (settings: RowSettings, point: string): RowSettings => ({
  ...settings,
  tell: (what) => settings.tell(`${point}: ${what}`),
})

export function mediansOf(samples: readonly Sample[]): Measured {
  return {
    iops: median(samples.map(({ iops }) => iops)),
    cpuPer100k: median(cpuPer100kByRound(samples)),
    p99Us: median(samples.map(({ p99Us }) => p99Us)),
  }
}

/**
 * How long the partner takes to open the aggregate with nothing to replay, in milliseconds. The first time
 * does not count: code is cold. The aggregate is back in the end.
 */
export async function openingMs(pair: BenchPair, rounds: number): Promise<number> {
  const durations: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    await pair.inSync()
    await pair.cp('now')
    const { node } = await pair.owner()
    const recovery = (await pair.engine(await pair.handOver()))?.recovery
    if (!recovery) throw new Error('the new owner does not tell how long it has taken to open the aggregate')
    if (round > 0) durations.push(recovery.durationMs)
    await pair.giveBack(node)
  }
  await pair.inSync()
  return median(durations)
}

/** Of the owner. Buffers that were touched once are kept, so a load shows in it when it has ended, too. */
export const memoryMib = ({ pids }: Server): number => residentBytes(pids[0]!) / MIB

export function sectionOf({ name, title }: ScaleTable, how: string, table: Table, { note }: Server): Section {
  const nothing = { summaries: [], verdicts: [], figures: [], charts: [] }
  return { name, title, how, ...nothing, table, notes: note === undefined ? [] : [note] }
}
