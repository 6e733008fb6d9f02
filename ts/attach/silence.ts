/**
 * How long a device may wait for answers, in seconds. An owner that is stopped without ending keeps its
 * connections open, so there has to be a limit; but what an owner that was only slow has in its hands may
 * still happen after newer writes, so the limit is far above what requests take. With several connections the
 * kernel has the same limit for each.
 */
export const SILENCE_S = 30
/** The same, as long as a new connection has answered nothing yet. */
const FIRST_SILENCE_S = SILENCE_S
/** A request that takes its time is not to be begun anew for ever. */
const FACTOR = 4
const SILENCE_S_MAX = 3600

/** Tells when a device waits for answers, and has had none for too long. */
export class Silence {
  #answered = -1
  #sinceMs: number
  #limitS = SILENCE_S
  /** for the next connection that answers nothing */
  #nextS = FIRST_SILENCE_S

  constructor(nowMs: number) {
    this.#sinceMs = nowMs
  }

  /** There is a new connection. */
  begin(nowMs: number): void {
    this.#sinceMs = nowMs
    this.#limitS = this.#nextS
  }

  /** `answered` counts since the device is there, `waiting` is now. When too long, time starts anew. */
  isTooLong({ answered, waiting }: { answered: number; waiting: number }, nowMs: number): boolean {
    if (answered !== this.#answered) {
      this.#answered = answered
      this.#limitS = SILENCE_S
      this.#nextS = FIRST_SILENCE_S
      this.#sinceMs = nowMs
    }
    if (waiting === 0) this.#sinceMs = nowMs
    if (nowMs - this.#sinceMs <= this.#limitS * 1000) return false
    this.#sinceMs = nowMs
    this.#nextS = Math.min(this.#nextS * FACTOR, SILENCE_S_MAX)
    return true
  }
}
