import { readFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { Placement } from '../../ts/adapters/placement.ts'

/** So many votes of one sort; or it is let go. */
export type Step = readonly [hasMany: boolean | undefined, times: number] | 'let go'

export interface Seen {
  readonly isKept: boolean
  readonly isWanted: boolean
  /** where the thread may run, by the kernel */
  readonly allowed: string
  readonly told: readonly string[]
}

/** Where this thread may run, by the kernel. */
export function allowed(): string {
  const status = readFileSync('/proc/thread-self/status', 'utf8')
  return /Cpus_allowed_list:\s*(\S+)/.exec(status)![1]!
}

/** In a thread of its own, as an engine has it: tells what was to be seen after each step. */
function run({ cpu, steps }: { cpu: number | undefined; steps: readonly Step[] }): Seen[] {
  const told: string[] = []
  const placement = new Placement(cpu, (why) => told.push(why))
  return steps.map((step) => {
    if (step === 'let go') placement.letGo()
    else for (let turn = 0; turn < step[1]; turn += 1) placement.vote(step[0])
    return { isKept: placement.isKept, isWanted: placement.isWanted, allowed: allowed(), told: [...told] }
  })
}

parentPort?.postMessage(run(workerData as Parameters<typeof run>[0]))
