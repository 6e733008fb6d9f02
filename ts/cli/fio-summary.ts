import type { FioResult } from './fio.ts'
import { median, pairedRatios, type Spread, spreadOf } from './statistics.ts'

/** Who was loaded, and what an acknowledged write of it outlives, if that is known. */
export interface Contender {
  readonly name: string
  readonly durability: string
}

/** One run of fio against one contender. */
export interface Sample extends FioResult {
  /** of each of its processes; empty if they are not known */
  readonly cpuSeconds: readonly number[]
}

/** All runs against one contender, one for each round. */
export interface Row {
  readonly contender: Contender
  readonly samples: readonly Sample[]
}

/** What is reported of one contender under one load. */
export interface Summary {
  readonly server: string
  readonly durability: string
  readonly iops: number
  readonly iopsMin: number
  readonly iopsMax: number
  readonly bytesPerSecond: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  /** of the flushes; null if there were none */
  readonly flushP50Us: number | null
  readonly flushP99Us: number | null
  /** Of each process of the server; of a pair, the owner is first. */
  readonly cpuSecondsPer100k: readonly number[]
  /** How many times the IOPS of each other server: the median over the rounds. */
  readonly ratios: Readonly<Record<string, number>>
  readonly ratioSpreads: Readonly<Record<string, Spread>>
}

export function summarize(rows: readonly Row[]): Summary[] {
  return rows.map(({ contender, samples }) => {
    const iops = spreadOf(samples.map((sample) => sample.iops))
    const spreads = rows
      .filter((other) => other.contender !== contender)
      .map((other) => [other.contender.name, spreadOf(pairedIops(samples, other.samples))] as const)
    return {
      server: contender.name,
      durability: contender.durability,
      iops: iops.median,
      iopsMin: iops.min,
      iopsMax: iops.max,
      bytesPerSecond: median(samples.map(({ bytesPerSecond }) => bytesPerSecond)),
      p50Us: median(samples.map(({ p50Us }) => p50Us)),
      p99Us: median(samples.map(({ p99Us }) => p99Us)),
      p999Us: median(samples.map(({ p999Us }) => p999Us)),
      flushP50Us: medianIfAny(samples.map(({ flushP50Us }) => flushP50Us)),
      flushP99Us: medianIfAny(samples.map(({ flushP99Us }) => flushP99Us)),
      cpuSecondsPer100k: (samples[0]?.cpuSeconds ?? []).map((_, process) => cpuPer100k(samples, process)),
      ratios: Object.fromEntries(spreads.map(([name, spread]) => [name, spread.median])),
      ratioSpreads: Object.fromEntries(spreads),
    }
  })
}

/** The ratio of the IOPS in each round. */
export function pairedIops(samples: readonly Sample[], others: readonly Sample[]): number[] {
  return pairedRatios(
    samples.map(({ iops }) => iops),
    others.map(({ iops }) => iops),
  )
}

/** CPU seconds of all processes together for 100 k operations, in each round. */
export function cpuPer100kByRound(samples: readonly Sample[]): number[] {
  return samples.map(
    ({ cpuSeconds, operations }) => (cpuSeconds.reduce((sum, one) => sum + one, 0) / operations) * 100_000,
  )
}

function medianIfAny(values: readonly (number | undefined)[]): number | null {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? null : median(known)
}

function cpuPer100k(samples: readonly Sample[], process: number): number {
  const operations = samples.reduce((sum, sample) => sum + sample.operations, 0)
  const seconds = samples.reduce((sum, sample) => sum + sample.cpuSeconds[process]!, 0)
  return (seconds / operations) * 100_000
}

interface Column {
  readonly head: string
  readonly cell: (summary: Summary) => string
}

/** The lines of a table, the head first. Columns that nobody has anything for are left out. */
export function summaryTable(summaries: readonly Summary[]): string {
  const wasFlushed = summaries.some(({ flushP50Us }) => flushP50Us !== null)
  const hasCpu = summaries.some(({ cpuSecondsPer100k }) => cpuSecondsPer100k.length > 0)
  const isDurabilityKnown = summaries.some(({ durability }) => durability !== '')
  const columns: Column[] = [
    { head: '', cell: ({ server }) => server },
    { head: 'IOPS', cell: ({ iops }) => thousands(iops) },
    { head: 'min-max', cell: ({ iopsMin, iopsMax }) => `${thousands(iopsMin)}-${thousands(iopsMax)}` },
    { head: 'MB/s', cell: ({ bytesPerSecond }) => megabytes(bytesPerSecond) },
    { head: 'p50', cell: ({ p50Us }) => duration(p50Us) },
    { head: 'p99', cell: ({ p99Us }) => duration(p99Us) },
    ...(wasFlushed ? flushColumns : []),
    ...(hasCpu ? [{ head: 'CPU s/100k', cell: cpuCell }] : []),
    ...ratioColumns(summaries),
    ...(isDurabilityKnown ? [{ head: 'acknowledged', cell: ({ durability }: Summary) => durability }] : []),
  ]
  const lines = summaries.map((summary) => columns.map(({ cell }) => cell(summary)))
  return aligned([columns.map(({ head }) => head), ...lines], isDurabilityKnown).join('\n')
}

const COMPARED_MAX = 3

/** Each with each; of many, only the first with the others. */
function ratioColumns(summaries: readonly Summary[]): Column[] {
  const [first] = summaries
  if (first === undefined || summaries.length < 2) return []
  if (summaries.length > COMPARED_MAX) {
    return [{ head: `${first.server} is x`, cell: ({ server }) => ratioCell(first.ratios[server]) }]
  }
  return summaries.map(({ server }) => ({
    head: `x ${server}`,
    cell: ({ ratios }) => ratioCell(ratios[server]),
  }))
}

const flushColumns: readonly Column[] = [
  { head: 'flush p50', cell: ({ flushP50Us }) => (flushP50Us === null ? '-' : duration(flushP50Us)) },
  { head: 'flush p99', cell: ({ flushP99Us }) => (flushP99Us === null ? '-' : duration(flushP99Us)) },
]

const cpuCell = ({ cpuSecondsPer100k }: Summary): string =>
  cpuSecondsPer100k.map((seconds) => seconds.toFixed(2)).join('+') || '-'

const ratioCell = (ratio: number | undefined): string => ratio?.toFixed(2) ?? '-'

/** The first column, and mostly the last one, are words, what is between them numbers. */
export function aligned(lines: readonly (readonly string[])[], isLastWords = true): string[] {
  const columns = lines[0]!.length
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const cell = (text: string, column: number) => {
    if (column === 0) return text.padEnd(widths[column]!)
    return isLastWords && column === columns - 1 ? text : text.padStart(widths[column]!)
  }
  return lines.map((line) => `  ${line.map(cell).join('  ')}`.trimEnd())
}

export function thousands(iops: number): string {
  return iops >= 1000 ? `${(iops / 1000).toFixed(1)}k` : iops.toFixed(0)
}

export function duration(us: number): string {
  return us >= 1000 ? `${(us / 1000).toFixed(1)}ms` : `${us.toFixed(0)}us`
}

const megabytes = (bytesPerSecond: number): string => {
  const mb = bytesPerSecond / 1e6
  return mb >= 10 ? mb.toFixed(0) : mb.toFixed(1)
}
