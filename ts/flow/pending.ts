import { assert } from '../base/assert.ts'
import { Histogram } from '../base/histogram.ts'
import { emptyReplyTo, type ReplyTo } from '../nbd/reply.ts'

/**
 * Replies that wait until the log is safe up to a sequence. Sequences come in ascending order, so a
 * ring of typed arrays is enough: nothing is searched, nothing allocated.
 */
export class PendingReplies {
  readonly sequences: Float64Array
  readonly connections: Int32Array
  readonly sessions: Int32Array
  readonly cookiesLow: Uint32Array
  readonly cookiesHigh: Uint32Array
  readonly offsetsLow: Uint32Array
  readonly offsetsHigh: Uint32Array
  /** how long replies have waited, by the beginnings of turns */
  readonly waits = new Histogram()
  /** when this turn began */
  nowMs = 0
  readonly #sinceMs: Float64Array
  readonly #shifted = emptyReplyTo()
  readonly #mask: number
  #first = 0
  #count = 0
  #last = 0

  constructor(capacity: number) {
    assert(Number.isInteger(Math.log2(capacity)), 'the capacity is a power of two')
    this.#mask = capacity - 1
    this.sequences = new Float64Array(capacity)
    this.connections = new Int32Array(capacity)
    this.sessions = new Int32Array(capacity)
    this.cookiesLow = new Uint32Array(capacity)
    this.cookiesHigh = new Uint32Array(capacity)
    this.offsetsLow = new Uint32Array(capacity)
    this.offsetsHigh = new Uint32Array(capacity)
    this.#sinceMs = new Float64Array(capacity)
  }

  get count(): number {
    return this.#count
  }

  get isFull(): boolean {
    return this.#count > this.#mask
  }

  /** The place of the oldest, valid while count > 0. */
  get front(): number {
    return this.#first
  }

  /** The sequence that the oldest waits for, or infinity. */
  get nextSequence(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : this.sequences[this.#first]!
  }

  /** The sequence that the newest waits for, or 0. */
  get lastSequence(): number {
    return this.#count === 0 ? 0 : this.#last
  }

  push(sequence: number, connection: number, session: number, to: ReplyTo): void {
    assert(!this.isFull, 'whoever waits for a reply has looked for room')
    assert(sequence >= this.#last, 'replies wait in the order of the log')
    this.#last = sequence
    const place = (this.#first + this.#count) & this.#mask
    this.#count += 1
    this.sequences[place] = sequence
    this.connections[place] = connection
    this.sessions[place] = session
    this.cookiesLow[place] = to.cookieLow
    this.cookiesHigh[place] = to.cookieHigh
    this.offsetsLow[place] = to.offsetLow
    this.offsetsHigh[place] = to.offsetHigh
    this.#sinceMs[place] = this.nowMs
  }

  /** Takes the oldest out; valid until the next one is. */
  shift(): ReplyTo {
    assert(this.#count > 0, 'there is an oldest reply')
    const [place, shifted] = [this.#first, this.#shifted]
    shifted.cookieLow = this.cookiesLow[place]!
    shifted.cookieHigh = this.cookiesHigh[place]!
    shifted.offsetLow = this.offsetsLow[place]!
    shifted.offsetHigh = this.offsetsHigh[place]!
    this.waits.add(this.nowMs - this.#sinceMs[place]!)
    this.#first = (this.#first + 1) & this.#mask
    this.#count -= 1
    return shifted
  }

  clear(): void {
    this.#count = 0
    this.#last = 0
  }
}
