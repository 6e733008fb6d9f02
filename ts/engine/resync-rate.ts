import { type Histogram, HistogramWindow } from '../base/histogram.ts'
import type { Procedure } from '../base/procedure.ts'
import { MIB } from '../base/units.ts'
import type { Clock } from '../ports/clock.ts'
import type { Pacer } from './pacer.ts'

/** Bytes per second: never less, or the plex would never be back; never more, whoever waits or not. */
const RATE_MIN = 16 * MIB
const RATE_MAX = 256 * MIB
const RATE_FIRST = 64 * MIB
const COPYING_MS = 200
/** What is still on its way of the resync is gone by then. */
const SETTLING_MS = 10
const LISTENING_MS = 40
/** Fewer waits than these in a time of copying: hardly anybody is there to be disturbed. */
const WAITS_MIN = 20
const SHARE = 0.95
/** So many times as long as without a resync may clients wait; beyond that it slows down. */
const TIMES_MAX = 1.5

/**
 * How fast a resync copies: as fast as clients hardly notice. Four times a second it pauses for a moment. How
 * long clients wait then is how long they would without it, whatever their load and these disks are; how long
 * they have waited before, with it, is compared with that.
 */
export class ResyncRate {
  byteRate = RATE_FIRST
  readonly #clock: Clock
  readonly #pacer: Pacer
  readonly #waits: HistogramWindow
  #untilMs = 0

  /** `waits`: how long the clients' requests wait. */
  constructor(clock: Clock, pacer: Pacer, waits: readonly Histogram[]) {
    this.#clock = clock
    this.#pacer = pacer
    this.#waits = new HistogramWindow(waits)
  }

  begin(): void {
    this.#pacer.begin()
    this.byteRate = RATE_FIRST
    this.#copy()
  }

  /** Waits until more may be copied, after so many bytes were. */
  *pace(byteLength: number): Procedure {
    yield* this.#pacer.pace(byteLength, this.byteRate)
    if (this.#clock.now() < this.#untilMs) return
    const copying = this.#waits.look(SHARE)
    if (copying.count < WAITS_MIN) this.byteRate = RATE_MAX
    else yield* this.#compare(copying.us)
    this.#copy()
  }

  #copy(): void {
    this.#waits.begin()
    this.#untilMs = this.#clock.now() + COPYING_MS
  }

  *#compare(copyingUs: number): Procedure {
    yield* this.#pacer.rest(SETTLING_MS)
    this.#waits.begin()
    yield* this.#pacer.rest(LISTENING_MS)
    const calm = this.#waits.look(SHARE)
    // somebody who waits so long that nothing came back waits for something else
    if (calm.count === 0) return
    const isNoticed = copyingUs > calm.us * TIMES_MAX
    this.byteRate = isNoticed
      ? Math.max(RATE_MIN, this.byteRate / 2)
      : Math.min(RATE_MAX, this.byteRate * 1.25)
  }
}
