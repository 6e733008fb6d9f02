import { setTimeout as sleep } from 'node:timers/promises'
import { KIB, MIB } from '../../ts/base/units.ts'
import { type FioLoad, runFio } from '../../ts/cli/fio.ts'
import { median } from '../../ts/cli/statistics.ts'
import { startPollux } from '../compare/pollux.ts'
import { residentBytes, run } from '../compare/processes.ts'
import type { Section, Series } from '../report/section.ts'
import { emptyDirectory, type RowSettings, type TargetRow } from './row.ts'

const LIMIT_PERCENT = 2
const MINUTES = 30
/** Of the time, until everything has been touched once. */
const SETTLED_AFTER = 1 / 6
/** Of the time, over which the beginning and the end are taken, so that one sample does not decide. */
const WINDOW = 1 / 30
const SAMPLES = 360

const load: FioLoad = {
  name: 'write 4k QD32',
  pattern: 'randwrite',
  blockByteLength: 4 * KIB,
  queueDepth: 32,
}

export const memoryRow: TargetRow = {
  name: 'memory',
  title: 'memory of a pair under load',
  target: `grows by at most ${LIMIT_PERCENT} % after the first sixth of ${MINUTES} minutes (--minutes)`,
  run: memory,
}

export interface MemorySample {
  readonly seconds: number
  readonly bytes: readonly number[]
}

async function memory(settings: RowSettings): Promise<Section> {
  const { isQuick, tell } = settings
  const minutes = settings.minutes ?? (isQuick ? 0.1 : MINUTES)
  const seconds = settings.seconds ?? minutes * 60
  const byteLength = settings.byteLength ?? (isQuick ? 64 : 512) * MIB
  const directory = emptyDirectory(settings)
  const { pids, target, durability, check } = await startPollux({
    directory,
    byteLength,
    pollux: { durability: 'pair' },
  })
  const samples: MemorySample[] = []
  const startedMs = performance.now()
  let isOver = false
  const loaded = runFio(run, target, load, { seconds: Math.ceil(seconds) }).finally(() => {
    isOver = true
  })
  // it is awaited below; meanwhile its failure is not to end the program without cleaning up
  loaded.catch(() => undefined)
  while (!isOver) {
    const elapsed = (performance.now() - startedMs) / 1000
    samples.push({ seconds: elapsed, bytes: pids.map(residentBytes) })
    tell(`memory: ${Math.round(elapsed)} of ${Math.round(seconds)} s`)
    await sleep((seconds * 1000) / SAMPLES)
  }
  const result = await loaded
  await check?.()
  return { ...memorySection(samples), how: `${seconds} s at ${Math.round(result.iops)} IOPS; ${durability}` }
}

export function memorySection(samples: readonly MemorySample[]): Section {
  const names = ['castor', 'pollux']
  const growths = names.map((_, node) => growthPercent(samples, node))
  const series: Series[] = names.map((name, node) => ({
    name,
    points: samples.map(({ seconds, bytes }) => [seconds / 60, bytes[node]! / MIB] as const),
  }))
  return {
    name: memoryRow.name,
    title: memoryRow.title,
    how: '',
    summaries: [],
    verdicts: names.map((name, node) => ({
      name: `growth of ${name} after the first sixth`,
      unit: '%',
      values: [growths[node]!],
      sense: 'at most',
      limit: LIMIT_PERCENT,
    })),
    figures: names.map((name, node) => ({
      name: `memory of ${name}`,
      unit: 'MiB',
      values: samples.map(({ bytes }) => bytes[node]! / MIB),
      remark: 'resident, with the logs',
    })),
    charts: [{ title: 'Resident memory', xTitle: 'minutes', yTitle: 'MiB', series }],
    notes: [],
  }
}

/** From when it has settled until the end, each taken over a window. */
export function growthPercent(samples: readonly MemorySample[], node: number): number {
  const end = samples.at(-1)?.seconds ?? 0
  const over = (from: number, to: number) =>
    samples.filter(({ seconds }) => seconds >= from && seconds <= to).map(({ bytes }) => bytes[node]!)
  const first = over(end * SETTLED_AFTER, end * (SETTLED_AFTER + WINDOW))
  const last = over(end * (1 - WINDOW), end)
  if (first.length === 0 || last.length === 0) return Number.NaN
  return (median(last) / median(first) - 1) * 100
}
