const FORGIVEN_AFTER_MS = 60_000
const DELAY_FIRST_MS = 250
const DELAY_MAX_MS = 10_000

/** Lets a link that comes and goes wait before the log is called in sync again: longer each time. */
export class FlapLimit {
  /** the log is not called in sync before */
  joinAtMs = 0
  #delayMs = 0
  #partedAtMs = Number.NEGATIVE_INFINITY

  parted(now: number): void {
    const isForgiven = now - this.#partedAtMs > FORGIVEN_AFTER_MS
    this.joinAtMs = now + (isForgiven ? 0 : this.#delayMs)
    this.#delayMs = isForgiven ? DELAY_FIRST_MS : Math.min(this.#delayMs * 2, DELAY_MAX_MS)
    this.#partedAtMs = now
  }
}
