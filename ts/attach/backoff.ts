const DELAY_MS_MIN = 50
const DELAY_MS_MAX = 1000
/** A connection that lived for so long was a good one. */
const GOOD_MS = 5000

/**
 * How long to wait before a connection is tried again: longer each time, until one has lived for some
 * seconds.
 */
export class Backoff {
  #delayMs = 0
  #sinceMs = Number.NEGATIVE_INFINITY

  /** There is a connection. */
  begin(nowMs: number): void {
    this.#sinceMs = nowMs
  }

  /** It has ended. Returns how long to wait before the first attempt, in ms: 0 after a good one. */
  end(nowMs: number): number {
    if (nowMs - this.#sinceMs >= GOOD_MS) this.#delayMs = 0
    else this.grow()
    return this.#delayMs
  }

  /** An attempt has failed. Returns how long to wait before the next one, in ms. */
  grow(): number {
    this.#delayMs = Math.min(Math.max(2 * this.#delayMs, DELAY_MS_MIN), DELAY_MS_MAX)
    return this.#delayMs
  }
}
