import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import type { ArbiterAnswer, ArbiterPort } from '../../../ts/ports/arbiter.ts'

const STEP_MS = 2

export type Random = () => number

export function randomOf(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Time that passes only when the model says so. */
export class Time {
  nowMs = 0
  #tasks: { atMs: number; run: () => void }[] = []

  after(delayMs: number, run: () => void): void {
    this.#tasks.push({ atMs: this.nowMs + delayMs, run })
  }

  pass(): void {
    this.nowMs += STEP_MS
    const due = this.#tasks.filter((task) => task.atMs <= this.nowMs)
    if (due.length === 0) return
    this.#tasks = this.#tasks.filter((task) => task.atMs > this.nowMs)
    for (const task of due.sort((a, b) => a.atMs - b.atMs)) task.run()
  }
}

/** A compare-and-swap store whose answers come late, or not, or are wrong about what has been applied. */
export class ModelArbiter {
  record: OwnerRecord | undefined
  /** nodes that cannot reach it */
  readonly cutOff = new Set<string>()
  troubleRate = 0
  slowRate = 0.01
  knowsTheDead = true
  swapCount = 0
  readonly alive = new Set<string>()
  readonly #time: Time
  readonly #random: Random

  constructor(time: Time, random: Random) {
    this.#time = time
    this.#random = random
  }

  /** The arbiter as one process sees it. */
  port(node: string, isAlive: () => boolean): ArbiterPort {
    const answer = (work: () => ArbiterAnswer, done: (answer: ArbiterAnswer) => void): void => {
      const random = this.#random
      const deliver = (value: ArbiterAnswer) => (isAlive() ? done(value) : undefined)
      const slowlyMs = () => random() * (random() < this.slowRate ? 800 : 12)
      const unreachable = { kind: 'unreachable', reason: 'the arbiter cannot be reached' } as const
      if (this.cutOff.has(node) || random() < this.troubleRate) {
        // not applied, applied before the caller hears of the failure, or long after it
        if (random() < 0.5) this.#time.after(random() * 700, work)
        this.#time.after(random() * 60, () => deliver(unreachable))
        return
      }
      this.#time.after(slowlyMs(), () => {
        const value = work()
        this.#time.after(slowlyMs(), () => deliver(value))
      })
    }
    return {
      read: (_aggregate, done) =>
        answer(() => ({ kind: 'record', record: this.record, holderGone: this.#isHolderGone() }), done),
      swap: (_aggregate, expected, next, done) => answer(() => this.#swap(expected, next), done),
    }
  }

  #isHolderGone(): boolean {
    const lease = this.record?.lease
    return this.knowsTheDead && lease !== null && lease !== undefined && !this.alive.has(lease.boot)
  }

  #swap(expected: number | undefined, next: OwnerRecord): ArbiterAnswer {
    if (this.record?.version !== expected) return { kind: 'conflict', record: this.record }
    this.record = { ...next, version: (expected ?? 0) + 1 }
    this.swapCount += 1
    return { kind: 'swapped', record: this.record }
  }
}
