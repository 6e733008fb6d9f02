import { type FioExtent, type FioLoad, isWriting, runFio } from '../../ts/cli/fio.ts'
import { loads } from '../../ts/cli/fio-loads.ts'
import type { Row, Sample } from '../../ts/cli/fio-summary.ts'
import { starters } from './peers.ts'
import { cpuSeconds, run } from './processes.ts'
import { NotInstalled, type Server, type ServerName, type ServerOptions } from './server.ts'

export type Tell = (what: string) => void

/** All samples of one load: one row for each server, one sample for each round. */
export interface Comparison {
  readonly load: FioLoad
  readonly secondsPerRound: number
  readonly rows: readonly (Row & { readonly contender: Server })[]
}

export interface Plan {
  readonly load: FioLoad
  readonly rounds: number
  readonly secondsPerRound: number
  /** called around each run against a server, for what else is to be known of it */
  readonly watch?: (server: Server, round: number) => Promise<Watching>
}

export interface Watching {
  readonly extent?: FioExtent
  /** called when the load has ended and what it has left to be done later is done, too */
  readonly ended: (sample: Sample, settleMs: number) => Promise<void>
}

const fill: FioLoad = { name: 'fill', pattern: 'write', blockByteLength: 128 * 1024, queueDepth: 16 }

/** Starts servers one by one. Those that are not installed are left out, and a note says so. */
export async function startAll(
  names: readonly ServerName[],
  options: ServerOptions,
  tell: Tell,
): Promise<{ servers: Server[]; notes: string[] }> {
  const servers: Server[] = []
  const notes: string[] = []
  for (const name of names) {
    tell(`starting ${name}`)
    try {
      servers.push(await starters[name](options))
    } catch (error) {
      if (!(error instanceof NotInstalled)) throw error
      notes.push(error.message)
    }
  }
  return { servers, notes: [...notes, ...servers.flatMap(({ note }) => note ?? [])] }
}

/** Writes every block once, so that no server answers from a hole, then lets code and caches get warm. */
export async function warmUp(
  servers: readonly Server[],
  seconds: number,
  tell: Tell,
  load: FioLoad = loads[0]!,
): Promise<void> {
  for (const server of servers) {
    tell(`${server.name}: every block is written once`)
    await writeAll(server, {})
    tell(`${server.name}: warm-up`)
    if (!isWriting(load)) await readAll(server, load)
    await runFio(run, server.target, load, { seconds })
    await server.settle?.()
  }
}

type Region = Pick<FioLoad, 'regionByteLength'>

export async function writeAll(server: Server, region: Region): Promise<void> {
  await runFio(run, server.target, { ...fill, ...region })
  await server.settle?.()
}

/** A region that fits into a cache is in it afterwards. */
export async function readAll(server: Server, { regionByteLength }: Region): Promise<void> {
  const region = regionByteLength === undefined ? {} : { regionByteLength }
  await runFio(run, server.target, { ...fill, name: 'read all', pattern: 'read', ...region })
}

/** Takes the servers in turns, so that what else the machine does falls on all of them. */
export async function compare(servers: readonly Server[], plan: Plan, tell: Tell): Promise<Comparison> {
  const { load, rounds, secondsPerRound } = plan
  const rows = servers.map((contender) => ({ contender, samples: [] as Sample[] }))
  for (let round = 1; round <= rounds; round += 1) {
    for (const { contender, samples } of rows) {
      tell(`${load.name}: round ${round} of ${rounds}: ${contender.name}`)
      samples.push(await sample(contender, plan, round))
    }
  }
  return { load, secondsPerRound, rows }
}

/** The CPU time of what a load has left to be done later counts; its time on the clock does not. */
async function sample(server: Server, plan: Plan, round: number): Promise<Sample> {
  await server.check?.()
  const watching = await plan.watch?.(server, round)
  const before = server.pids.map(cpuSeconds)
  const extent = { seconds: plan.secondsPerRound, ...watching?.extent }
  const result = await runFio(run, server.target, plan.load, extent)
  await server.check?.()
  const endedMs = performance.now()
  await server.settle?.()
  const settleMs = performance.now() - endedMs
  const spent = server.pids.map((pid, index) => cpuSeconds(pid) - before[index]!)
  const taken: Sample = { ...result, cpuSeconds: spent }
  await watching?.ended(taken, settleMs)
  return taken
}
