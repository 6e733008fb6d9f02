/**
 * Back-pressure without a cliff. Below half a ring everything is admitted at once; above it the
 * rate of admission falls smoothly towards the rate at which consistency points free the ring, so
 * that a full ring is approached, not hit. (OpenZFS delays writes by the same idea.)
 */
const SMOOTH_FROM_FILL = 0.5
const RATE_AT_START = 256 * 1024 // bytes per millisecond, until something was measured
const RATE_MIN = 64
const BURST_MS = 5
const WEIGHT_OF_NEWEST = 0.3

export class Admission {
  /** bytes per millisecond that consistency points have freed lately */
  drainRate = RATE_AT_START
  #credit = 0
  #at = 0
  #limited = false

  /** Called once per turn, before requests are read. */
  refill(nowMs: number, fill: number): void {
    this.#limited = fill > SMOOTH_FROM_FILL
    const rate = this.#rate(fill)
    const elapsed = Math.min(nowMs - this.#at, BURST_MS)
    this.#at = nowMs
    this.#credit = Math.min(this.#credit + elapsed * rate, BURST_MS * rate)
  }

  /** Whether another change may be logged in this turn. */
  get open(): boolean {
    return !this.#limited || this.#credit > 0
  }

  spend(bytes: number): void {
    if (this.#limited) this.#credit -= bytes
  }

  /** How long until credit is back, in milliseconds, when not open. */
  waitMs(fill: number): number {
    return Math.min(50, Math.max(1, -this.#credit / this.#rate(fill)))
  }

  freed(bytes: number, durationMs: number): void {
    if (durationMs <= 0 || bytes === 0) return
    const measured = Math.max(RATE_MIN, bytes / durationMs)
    this.drainRate += (measured - this.drainRate) * WEIGHT_OF_NEWEST
  }

  #rate(fill: number): number {
    const over = Math.max(0.001, fill - SMOOTH_FROM_FILL) / (1 - SMOOTH_FROM_FILL)
    return this.drainRate / over
  }
}
