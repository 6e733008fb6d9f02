import { errnoName, native } from './native.ts'

/** So many turns more of one sort than of the other decide: some milliseconds under load. */
const VOTES = 256
const ANY_CPU = -1

/**
 * Keeps a thread on one CPU while many small changes are under way. Each of them wakes several threads in
 * turn, and to wake one on another CPU that has gone to sleep costs more than the work that it then does: two
 * engines that wait for each other get more done on one CPU than on two. With few changes under way, or with
 * large ones, the kernel chooses.
 */
export class Placement {
  #isKept = false
  #score = 0
  #cpu: number | undefined
  readonly #failed: (why: string) => void

  /** `cpu`: none is kept to if this is undefined. `failed` hears of a CPU that cannot be used. */
  constructor(cpu: number | undefined, failed: (why: string) => void) {
    this.#cpu = cpu
    this.#failed = failed
  }

  get isWanted(): boolean {
    return this.#cpu !== undefined
  }

  get isKept(): boolean {
    return this.#isKept
  }

  /** A turn has had many small changes, or few or large ones; undefined: it says nothing. */
  vote(hasMany: boolean | undefined): void {
    if (this.#cpu === undefined || hasMany === undefined) return
    this.#score = Math.max(-VOTES, Math.min(this.#score + (hasMany ? 1 : -1), VOTES))
    if (hasMany === this.#isKept || Math.abs(this.#score) < VOTES) return
    if (hasMany) this.#keep(this.#cpu)
    else this.letGo()
  }

  #keep(cpu: number): void {
    const result = native.keepOnCpu(cpu)
    this.#isKept = result === 0
    if (result < 0) this.#giveUp(`it cannot keep to CPU ${cpu} (${errnoName(result)})`)
  }

  /** The thread may run anywhere again, until there is more to vote for. */
  letGo(): void {
    if (!this.#isKept) return
    this.#isKept = false
    this.#score = -VOTES
    const result = native.keepOnCpu(ANY_CPU)
    if (result < 0) this.#giveUp(`it cannot leave CPU ${this.#cpu} (${errnoName(result)})`)
  }

  #giveUp(why: string): void {
    this.#cpu = undefined
    this.#failed(`${why}; from now on the kernel chooses`)
  }
}
