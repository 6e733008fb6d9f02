import type { Procedure } from '../base/procedure.ts'
import type { Clock } from '../ports/clock.ts'

/** What one may be behind its rate, so that a stall is not followed by a burst. */
const BEHIND_MAX_MS = 100

/** Keeps work in the background to a number of bytes per second. */
export class Pacer {
  #isWaiting = false
  #nextMs = 0
  readonly #clock: Clock
  readonly #isOver: () => boolean

  /** `isOver`: whether the work is to end at once; then nothing waits any more. */
  constructor(clock: Clock, isOver: () => boolean) {
    this.#clock = clock
    this.#isOver = isOver
  }

  begin(): void {
    this.#isWaiting = false
    this.#nextMs = this.#clock.now()
  }

  /** Waits until more may be done, after so many bytes were. */
  *pace(byteLength: number, byteRate: number): Procedure {
    const earliestMs = this.#clock.now() - BEHIND_MAX_MS
    this.#nextMs = Math.max(this.#nextMs, earliestMs) + (byteLength * 1000) / byteRate
    yield* this.#wait()
  }

  /** Nothing is done for so long. */
  *rest(durationMs: number): Procedure {
    this.#nextMs = this.#clock.now() + durationMs
    yield* this.#wait()
  }

  *#wait(): Procedure {
    this.#isWaiting = true
    while (this.#clock.now() < this.#nextMs && !this.#isOver()) yield 'wait'
    this.#isWaiting = false
  }

  /** When the work goes on by time alone; Infinity if it waits for something else. */
  nextWakeMs(): number {
    if (!this.#isWaiting) return Number.POSITIVE_INFINITY
    return this.#isOver() ? 0 : this.#nextMs
  }
}
