export interface BackoffTimes {
  readonly firstMs: number
  readonly maxMs: number
  /** what was good for so long starts again with the shortest wait */
  readonly forgivenAfterMs: number
}

/** How long something that fails again and again is left alone: twice as long each time. */
export class Backoff {
  readonly #times: BackoffTimes
  #delayMs: number
  #goodSinceMs: number | undefined = Number.NEGATIVE_INFINITY

  constructor(times: BackoffTimes) {
    this.#times = times
    this.#delayMs = times.firstMs
  }

  /** It works, from now on. */
  good(nowMs: number): void {
    this.#goodSinceMs = nowMs
  }

  /** It has failed, or has failed again without having been good. Returns how long to wait now. */
  failed(nowMs: number): number {
    const { firstMs, maxMs, forgivenAfterMs } = this.#times
    const isForgiven = this.#goodSinceMs !== undefined && nowMs - this.#goodSinceMs > forgivenAfterMs
    this.#goodSinceMs = undefined
    this.#delayMs = isForgiven ? firstMs : Math.min(this.#delayMs * 2, maxMs)
    return this.#delayMs
  }

  /** What it failed for before says nothing any more. */
  forget(): void {
    this.#delayMs = this.#times.firstMs
    this.#goodSinceMs = Number.NEGATIVE_INFINITY
  }
}
