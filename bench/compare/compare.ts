import { type FioResult, runFio, type Workload } from './fio.ts'
import { cpuSeconds } from './processes.ts'
import type { Server } from './servers.ts'

/** One fio run against one server. */
export interface Sample extends FioResult {
  /** Of each process of the server. */
  readonly cpuSeconds: readonly number[]
}

/** All samples of one workload: one row for each server, one sample for each round. */
export interface Comparison {
  readonly workload: Workload
  readonly secondsPerRound: number
  readonly rows: readonly { readonly server: Server; readonly samples: readonly Sample[] }[]
}

export interface Plan {
  readonly workload: Workload
  readonly rounds: number
  readonly secondsPerRound: number
}

const KIBI = 1024

/** The first is the one that targets are set for. */
export const workloads: readonly Workload[] = [
  { name: 'write 4k QD32', pattern: 'randwrite', blockByteLength: 4 * KIBI, queueDepth: 32 },
  { name: 'write 4k QD1', pattern: 'randwrite', blockByteLength: 4 * KIBI, queueDepth: 1 },
  { name: 'read 4k QD32', pattern: 'randread', blockByteLength: 4 * KIBI, queueDepth: 32 },
  { name: 'write 128k QD8', pattern: 'randwrite', blockByteLength: 128 * KIBI, queueDepth: 8 },
]

const fill: Workload = { name: 'fill', pattern: 'write', blockByteLength: 128 * KIBI, queueDepth: 16 }

/** Writes every block once, so that no server answers from a hole, then lets code and caches get warm. */
export async function warmUp(servers: readonly Server[], seconds: number, tell: (what: string) => void) {
  for (const server of servers) {
    tell(`${server.name}: warm-up`)
    await runFio(server.uri, fill)
    await runFio(server.uri, workloads[0]!, seconds)
  }
}

/** Takes the servers in turns, so that what else the machine does falls on all of them. */
export async function compare(
  servers: readonly Server[],
  { workload, rounds, secondsPerRound }: Plan,
  tell: (what: string) => void,
): Promise<Comparison> {
  const rows = servers.map((server) => ({ server, samples: [] as Sample[] }))
  for (let round = 1; round <= rounds; round += 1) {
    for (const { server, samples } of rows) {
      tell(`${workload.name}: round ${round} of ${rounds}: ${server.name}`)
      samples.push(await sample(server, workload, secondsPerRound))
    }
  }
  return { workload, secondsPerRound, rows }
}

async function sample(server: Server, workload: Workload, seconds: number): Promise<Sample> {
  const before = server.pids.map(cpuSeconds)
  const result = await runFio(server.uri, workload, seconds)
  return { ...result, cpuSeconds: server.pids.map((pid, index) => cpuSeconds(pid) - before[index]!) }
}
