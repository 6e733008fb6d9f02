import type { Histogram } from '../base/histogram.ts'
import type { Procedure } from '../base/procedure.ts'
import { MIB } from '../base/units.ts'
import type { Clock } from '../ports/clock.ts'
import type { Pacer } from './pacer.ts'

/** Bytes per second, as long as nothing else is slower, and but for the pauses. */
const RATE_MIN = 16 * MIB
const RATE_MAX = 256 * MIB
const RATE_FIRST = 64 * MIB
const COPYING_MS = 200
const LISTENING_MS = 40
/** In a pause, what was begun before it is to be over before anybody listens. */
const SETTLING_MIN_MS = 10
const SETTLING_MAX_MS = 100
/** Clients may wait so many times as long as without a resync, and this much more: clocks are no better. */
const TIMES_MAX = 1.3
const MORE_MS = 0.02
/** How much an earlier comparison counts beside the newest one: a few durations alone say little. */
const MEMORY = 0.6
/** Blocks that are copied at once: requests of clients are not to wait behind many. */
const PIECE_BLOCKS = 32
const PIECE_BLOCKS_ALONE = 128

/** What can be known of the clients' changes. */
export interface ClientLoad {
  /** how long they have waited for their acknowledgement */
  readonly waits: readonly Histogram[]
  /** whether any waits for it now */
  hasPending(): boolean
  /** whether clients are held up, because the log is filled faster than it is written to the disks */
  isHeldUp(): boolean
}

/**
 * How fast a resync copies: as fast as clients hardly notice. Four times a second it pauses for a moment. How
 * long they wait then is how long they would without it, whatever their load and these disks are; how long
 * they have waited before, with it, is compared with that.
 */
export class ResyncRate {
  byteRate = RATE_FIRST
  pieceBlocks = PIECE_BLOCKS
  readonly #clock: Clock
  readonly #pacer: Pacer
  readonly #load: ClientLoad
  readonly #copying = new Mean()
  readonly #calm = new Mean()
  #sinceMs = 0
  #before = { count: 0, sumMs: 0 }

  constructor(clock: Clock, pacer: Pacer, load: ClientLoad) {
    this.#clock = clock
    this.#pacer = pacer
    this.#load = load
  }

  begin(): void {
    this.#pacer.begin()
    this.pieceBlocks = PIECE_BLOCKS
    this.#takeCare(RATE_FIRST)
    this.#listen()
  }

  /** Waits until more may be copied, after so many bytes were. */
  *pace(byteLength: number): Procedure {
    yield* this.#pacer.pace(byteLength, this.byteRate)
    if (this.#clock.now() - this.#sinceMs < COPYING_MS) return
    const waits = this.#waits()
    const isAlone = waits.count === 0 && !this.#load.hasPending()
    if (!isAlone && this.pieceBlocks === PIECE_BLOCKS_ALONE)
      this.#takeCare(Math.min(RATE_FIRST, this.byteRate))
    this.pieceBlocks = isAlone ? PIECE_BLOCKS_ALONE : PIECE_BLOCKS
    if (this.#load.isHeldUp()) this.#goOn(true)
    else if (isAlone) this.#goOn(false)
    else {
      this.#copying.add(waits)
      yield* this.#pause()
      this.#goOn(this.#isNoticed)
    }
    this.#listen()
  }

  *#pause(): Procedure {
    const settlingMs = 2 * this.#copying.ms
    yield* this.#pacer.rest(Math.min(Math.max(settlingMs, SETTLING_MIN_MS), SETTLING_MAX_MS))
    this.#listen()
    yield* this.#pacer.rest(Math.max(LISTENING_MS, Math.min(settlingMs, SETTLING_MAX_MS)))
    this.#calm.add(this.#waits())
  }

  get #isNoticed(): boolean {
    // what takes longer than a pause, if anything does, waits for something else
    if (this.#calm.isUnknown || this.#copying.isUnknown) return false
    return this.#copying.ms > this.#calm.ms * TIMES_MAX + MORE_MS
  }

  #goOn(isNoticed: boolean): void {
    const { byteRate } = this
    this.byteRate = isNoticed ? Math.max(RATE_MIN, byteRate / 2) : Math.min(RATE_MAX, byteRate * 1.25)
  }

  /** Clients may be there that nothing is known of. */
  #takeCare(byteRate: number): void {
    this.byteRate = byteRate
    this.#copying.forget()
    this.#calm.forget()
  }

  #listen(): void {
    this.#sinceMs = this.#clock.now()
    this.#before = this.#total()
  }

  /** Of those that ended since `#listen`. */
  #waits(): Waits {
    const { count, sumMs } = this.#total()
    return { count: count - this.#before.count, sumMs: sumMs - this.#before.sumMs }
  }

  #total(): Waits {
    let [count, sumMs] = [0, 0]
    for (const waits of this.#load.waits) {
      count += waits.count
      sumMs += waits.sumMs
    }
    return { count, sumMs }
  }
}

interface Waits {
  readonly count: number
  readonly sumMs: number
}

/** The mean of a few samples, with what is left of the earlier ones. */
class Mean {
  #count = 0
  #sumMs = 0

  add({ count, sumMs }: Waits): void {
    this.#count = this.#count * MEMORY + count
    this.#sumMs = this.#sumMs * MEMORY + sumMs
  }

  forget(): void {
    this.#count = 0
    this.#sumMs = 0
  }

  get isUnknown(): boolean {
    return this.#count === 0
  }

  get ms(): number {
    return this.isUnknown ? 0 : this.#sumMs / this.#count
  }
}
