import { errnoName, native } from './native.ts'

/** So many turns more of one sort than of the other decide: some milliseconds under load. */
const VOTES = 256
const ANY_CPU = -1

/**
 * Keeps a thread on one CPU while many small requests are under way. Each of them wakes several threads in
 * turn, and to wake one on another CPU that has gone to sleep costs more than the work that it then does: two
 * engines that wait for each other get more done on one CPU than on two. With few requests under way, or with
 * large ones, the kernel chooses.
 */
export class Placement {
  isKept = false
  #score = 0
  #cpu: number | undefined
  readonly #cannot: (why: string) => void

  /** `cpu`: none is kept to if this is undefined. `cannot` hears why it cannot be. */
  constructor(cpu: number | undefined, cannot: (why: string) => void) {
    this.#cpu = cpu
    this.#cannot = cannot
  }

  /** Called once per turn. */
  vote(hasMany: boolean): void {
    if (this.#cpu === undefined) return
    this.#score = Math.max(-VOTES, Math.min(this.#score + (hasMany ? 1 : -1), VOTES))
    if (hasMany === this.isKept || Math.abs(this.#score) < VOTES) return
    const result = native.keepOnCpu(hasMany ? this.#cpu : ANY_CPU)
    if (result === 0) this.isKept = hasMany
    else {
      this.#cannot(`it cannot keep to CPU ${this.#cpu} (${errnoName(result)})`)
      this.#cpu = undefined
    }
  }
}
