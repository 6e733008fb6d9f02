import { run } from './processes.ts'

/** One way to load a server. */
export interface Workload {
  readonly name: string
  readonly pattern: 'randwrite' | 'randread' | 'write'
  readonly blockByteLength: number
  readonly queueDepth: number
}

/** What fio saw in one run. */
export interface FioResult {
  readonly iops: number
  readonly operations: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
}

/** Runs until the time is over, or without a time until everything was written once. */
export async function runFio(uri: string, workload: Workload, seconds?: number): Promise<FioResult> {
  return parseFio(await run('fio', fioArguments(uri, workload, seconds)))
}

export async function fioVersion(): Promise<string> {
  return (await run('fio', ['--version'])).trim()
}

function fioArguments(uri: string, workload: Workload, seconds: number | undefined): string[] {
  const duration = seconds === undefined ? [] : ['--time_based', `--runtime=${seconds}`]
  return [
    '--name=bench',
    '--ioengine=nbd',
    `--uri=${uri}`,
    `--rw=${workload.pattern}`,
    `--bs=${workload.blockByteLength}`,
    `--iodepth=${workload.queueDepth}`,
    '--norandommap',
    '--randseed=20',
    '--percentile_list=50:99:99.9',
    '--output-format=json',
    ...duration,
  ]
}

interface Direction {
  readonly iops: number
  readonly total_ios: number
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> }
}

/** Reads fio's report. Its engines print lines of their own in front of the JSON. */
export function parseFio(output: string): FioResult {
  const report = JSON.parse(output.slice(output.indexOf('{'))) as {
    jobs: { error: number; read: Direction; write: Direction }[]
  }
  const job = report.jobs[0]
  if (job?.error !== 0) throw new Error(`fio reports the error ${job?.error ?? 'no job'}`)
  const direction = job.write.total_ios > 0 ? job.write : job.read
  const percentiles = direction.clat_ns.percentile
  if (!percentiles) throw new Error('fio finished no request')
  const us = (percentile: string) => (percentiles[percentile] ?? Number.NaN) / 1000
  return {
    iops: direction.iops,
    operations: direction.total_ios,
    p50Us: us('50.000000'),
    p99Us: us('99.000000'),
    p999Us: us('99.900000'),
  }
}
