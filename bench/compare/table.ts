import type { Comparison, Sample } from './compare.ts'
import type { ServerName } from './servers.ts'

/** What is reported of one server under one workload. */
export interface Summary {
  readonly server: string
  readonly durability: string
  readonly iops: number
  readonly iopsMin: number
  readonly iopsMax: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  /** Of each process of the server; of a pair, the owner is first. */
  readonly cpuSecondsPer100k: readonly number[]
  /** How many times the IOPS of each other server: the median over the rounds. */
  readonly ratios: Readonly<Record<string, number>>
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function summarize({ rows }: Comparison): Summary[] {
  return rows.map(({ server, samples }) => {
    const iops = samples.map((sample) => sample.iops)
    return {
      server: server.name,
      durability: server.durability,
      iops: median(iops),
      iopsMin: Math.min(...iops),
      iopsMax: Math.max(...iops),
      p50Us: median(samples.map(({ p50Us }) => p50Us)),
      p99Us: median(samples.map(({ p99Us }) => p99Us)),
      p999Us: median(samples.map(({ p999Us }) => p999Us)),
      cpuSecondsPer100k: server.pids.map((_, process) => cpuPer100k(samples, process)),
      ratios: Object.fromEntries(
        rows
          .filter((other) => other.server !== server)
          .map((other) => [other.server.name, pairedRatio(samples, other.samples)]),
      ),
    }
  })
}

/** Neighbours in time are compared: a machine that gets slower does not change their ratio. */
export function pairedRatio(samples: readonly Sample[], others: readonly Sample[]): number {
  return median(samples.map(({ iops }, round) => iops / others[round]!.iops))
}

function cpuPer100k(samples: readonly Sample[], process: number): number {
  const operations = samples.reduce((sum, sample) => sum + sample.operations, 0)
  const seconds = samples.reduce((sum, sample) => sum + sample.cpuSeconds[process]!, 0)
  return (seconds / operations) * 100_000
}

/** Below one of these the design does not hold. */
const targets: readonly { readonly of: ServerName; readonly ratio: number }[] = [
  { of: 'nbdkit', ratio: 0.7 },
  { of: 'qemu-nbd', ratio: 5 },
]

/** What the first workload misses, each in one sentence; servers that did not run are missed too. */
export function missedTargets(summaries: readonly Summary[]): string[] {
  const pollux = summaries.find(({ server }) => server.startsWith('pollux'))
  return targets.flatMap(({ of, ratio }) => {
    const reached = Object.entries(pollux?.ratios ?? {}).find(([name]) => name.startsWith(of))?.[1]
    if (reached !== undefined && reached >= ratio) return []
    return [
      `pollux reaches ${reached?.toFixed(2) ?? 'nothing, not being compared,'} of ${of}; it takes ${ratio}`,
    ]
  })
}

/** The table of one workload. */
export function table(comparison: Comparison): string {
  const { workload, secondsPerRound, rows } = comparison
  const summaries = summarize(comparison)
  const names = summaries.map(({ server }) => server)
  const head = [
    '',
    'IOPS',
    'min-max',
    'p50',
    'p99',
    'CPU s/100k',
    ...names.map((name) => `x ${name}`),
    'acknowledged',
  ]
  const lines = summaries.map((summary) => [
    summary.server,
    thousands(summary.iops),
    `${thousands(summary.iopsMin)}-${thousands(summary.iopsMax)}`,
    duration(summary.p50Us),
    duration(summary.p99Us),
    summary.cpuSecondsPer100k.map((seconds) => seconds.toFixed(2)).join('+'),
    ...names.map((name) => summary.ratios[name]?.toFixed(2) ?? '-'),
    summary.durability,
  ])
  const rounds = rows[0]?.samples.length ?? 0
  const title = `${workload.name}: ${rounds} x ${secondsPerRound} s, in turns`
  return [title, ...aligned([head, ...lines])].join('\n')
}

/** The first and the last column are words, what is between them numbers. */
function aligned(lines: readonly (readonly string[])[]): string[] {
  const columns = lines[0]!.length
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const cell = (text: string, column: number) => {
    if (column === 0) return text.padEnd(widths[column]!)
    return column === columns - 1 ? text : text.padStart(widths[column]!)
  }
  return lines.map((line) => `  ${line.map(cell).join('  ')}`.trimEnd())
}

function thousands(iops: number): string {
  return iops >= 1000 ? `${(iops / 1000).toFixed(1)}k` : iops.toFixed(0)
}

function duration(us: number): string {
  return us >= 1000 ? `${(us / 1000).toFixed(1)}ms` : `${us.toFixed(0)}us`
}
