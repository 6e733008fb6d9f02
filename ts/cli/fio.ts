import { StoreError } from '../base/errors.ts'

/** One way to load a server or a device. */
export interface FioLoad {
  readonly name: string
  readonly pattern: 'randwrite' | 'randread' | 'write' | 'read'
  readonly blockByteLength: number
  /** requests under way on each connection */
  readonly queueDepth: number
  /** default 1 */
  readonly connections?: number
  /** a flush after each write, and the next write after its answer */
  readonly fsyncEach?: boolean
  /** only the first so many bytes are touched; default all */
  readonly regionByteLength?: number
}

/** What is loaded: an NBD server, or a block device with direct I/O. */
export type FioTarget = { readonly uri: string } | { readonly device: string }

/** When fio ends: after a time, after so many bytes, or else when everything was touched once. */
export interface FioExtent {
  readonly seconds?: number
  readonly totalByteLength?: number
  /**
   * What names of logs begin with: `_clat.1.log` has a line for each moment in which something was answered,
   * `_iops.1.log` one for each second. Only for one connection.
   */
  readonly answerLog?: string
}

/** What fio saw in one run. Latencies of writes are those without the flush behind them. */
export interface FioResult {
  readonly iops: number
  readonly bytesPerSecond: number
  readonly operations: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
  /** of the flushes, if there were any */
  readonly flushP50Us?: number
  readonly flushP99Us?: number
}

/** Runs a command to its end and resolves with its stdout; rejects with what it said if it fails. */
export type RunCommand = (command: string, arguments_: readonly string[]) => Promise<string>

/** A line of the log of answers covers so many milliseconds, or more if nothing was answered meanwhile. */
export const ANSWER_LOG_MS = 10

const IOPS_LOG_MS = 1000

export const isWriting = ({ pattern }: FioLoad): boolean => pattern === 'write' || pattern === 'randwrite'

export async function runFio(
  run: RunCommand,
  target: FioTarget,
  load: FioLoad,
  extent: FioExtent = {},
): Promise<FioResult> {
  return parseFio(await run('fio', fioArguments(target, load, extent)))
}

/** Rejects with what is missing and where it comes from, if fio cannot load NBD servers here. */
export async function mustHaveFio(run: RunCommand): Promise<string> {
  let version: string
  let engines: string
  try {
    version = (await run('fio', ['--version'])).trim()
    engines = await run('fio', ['--enghelp'])
  } catch (cause) {
    const text = 'fio is not installed; it is in the Debian package fio (apt-get install fio)'
    throw new StoreError('USAGE', text, { cause })
  }
  if (engines.split('\n').some((line) => line.trim() === 'nbd')) return version
  const remedy =
    'install the one of the Debian package fio, or build it where libnbd (libnbd-dev) is installed'
  throw new StoreError('USAGE', `${version} was built without its nbd engine; ${remedy}`)
}

export function fioArguments(target: FioTarget, load: FioLoad, extent: FioExtent): string[] {
  const { connections = 1, fsyncEach = false, regionByteLength } = load
  const { seconds, totalByteLength, answerLog } = extent
  const where =
    'uri' in target
      ? ['--ioengine=nbd', `--uri=${target.uri}`]
      : ['--ioengine=io_uring', '--direct=1', `--filename=${target.device}`]
  return [
    '--name=bench',
    ...where,
    `--rw=${load.pattern}`,
    `--bs=${load.blockByteLength}`,
    `--iodepth=${load.queueDepth}`,
    ...(connections > 1 ? [`--numjobs=${connections}`] : []),
    '--group_reporting',
    ...(fsyncEach ? ['--fsync=1'] : []),
    ...(regionByteLength === undefined ? [] : [`--size=${regionByteLength}`]),
    '--norandommap',
    '--randseed=20',
    '--percentile_list=50:99:99.9',
    '--output-format=json',
    ...(seconds === undefined ? [] : ['--time_based', `--runtime=${seconds}`]),
    ...(totalByteLength === undefined ? [] : [`--io_size=${totalByteLength}`]),
    ...(answerLog === undefined ? [] : logArguments(answerLog)),
  ]
}

const logArguments = (answerLog: string): string[] => [
  `--write_lat_log=${answerLog}`,
  `--log_avg_msec=${ANSWER_LOG_MS}`,
  `--write_iops_log=${answerLog}`,
  `--iopsavgtime=${IOPS_LOG_MS}`,
]

interface Latencies {
  readonly max?: number
  readonly percentile?: Readonly<Record<string, number>>
}

interface Direction {
  readonly iops: number
  readonly bw_bytes?: number
  readonly total_ios: number
  readonly clat_ns: Latencies
}

interface Job {
  readonly error: number
  readonly read: Direction
  readonly write: Direction
  readonly sync?: { readonly total_ios: number; readonly lat_ns: Latencies }
}

/** Reads fio's report. Its engines print lines of their own in front of the JSON. */
export function parseFio(output: string): FioResult {
  const from = output.indexOf('{')
  if (from < 0) throw new Error(`fio prints no report: ${output.trim().slice(0, 200)}`)
  const job = (JSON.parse(output.slice(from)) as { jobs?: Job[] }).jobs?.[0]
  if (job?.error !== 0) throw new Error(`fio reports the error ${job?.error ?? 'no job'}`)
  const direction = job.write.total_ios > 0 ? job.write : job.read
  const { percentile, max } = direction.clat_ns
  if (!percentile) throw new Error('fio finished no request')
  const flushes = job.sync?.lat_ns.percentile
  return {
    iops: direction.iops,
    bytesPerSecond: direction.bw_bytes ?? Number.NaN,
    operations: direction.total_ios,
    p50Us: us(percentile['50.000000']),
    p99Us: us(percentile['99.000000']),
    p999Us: us(percentile['99.900000']),
    maxUs: us(max),
    ...(flushes ? { flushP50Us: us(flushes['50.000000']), flushP99Us: us(flushes['99.000000']) } : {}),
  }
}

const us = (ns: number | undefined): number => (ns ?? Number.NaN) / 1000

/**
 * The longest time without an answer, from a log of answers: no longer than this many milliseconds, and up
 * to `ANSWER_LOG_MS` shorter. The end of the run counts, when something was answered last before it.
 */
export function longestGapMs(answerLog: string): number {
  let before = 0
  let longest = 0
  for (const line of answerLog.split('\n')) {
    const atMs = Number.parseInt(line, 10)
    if (Number.isNaN(atMs)) continue
    longest = Math.max(longest, atMs - before)
    before = atMs
  }
  return longest
}

/** Seconds since the start, and operations in each of them, from a log of fio. */
export function iopsOverTime(iopsLog: string): [seconds: number, iops: number][] {
  return iopsLog
    .split('\n')
    .map((line) => line.split(',').map(Number))
    .filter(([at, iops]) => at !== undefined && iops !== undefined && at > 0)
    .map(([at, iops]) => [at! / 1000, iops!])
}
