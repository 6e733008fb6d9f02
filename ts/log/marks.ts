import { crc32c } from '../base/crc32c.ts'
import { highWord, lowWord } from '../base/units.ts'
import { LOG_MARKS_MAGIC, LOG_RING_VERSION, LogMarks, MARKS_AT } from '../format/log-ring.ts'
import { judgeSeal, SEALED_FROM, seal } from '../format/sealed.ts'
import type { Memory } from '../ports/memory.ts'

const at = LogMarks.at

export interface MarksFound {
  readonly epoch: number
  readonly complete: boolean
  readonly base: number
  readonly acknowledged: number
}

/**
 * How far acknowledgements may have gone, kept in the ring itself: what separates the torn end of a
 * log from damage. Two places, written in turn, so that a kill at any instruction leaves one whole.
 */
export class Marks {
  readonly #memory: Memory
  readonly #words: Uint32Array
  #counter = 0
  /** which of the two places has the newest; the next one goes to the other */
  #newest = 1
  epoch = 0
  complete = false
  /** only in a vault: promises rest on something else, and an older vault has been outlived, too */
  isSuspended = false
  base = 0
  acknowledged = 0

  constructor(memory: Memory) {
    this.#memory = memory
    this.#words = memory.u32
  }

  /** The newer of the marks that check; undefined if neither does. */
  load(): MarksFound | undefined {
    const [found] = MARKS_AT.map((from) => this.#memory.bytes.subarray(from, from + LogMarks.byteLength))
      .map((bytes, place) => ({ bytes, place }))
      .filter(({ bytes }) => judgeSeal(bytes, LOG_MARKS_MAGIC, LOG_RING_VERSION) === 'good')
      .map(({ bytes, place }) => ({ place, ...LogMarks.decode(bytes) }))
      .sort(newestFirst)
    if (found === undefined) return undefined
    this.#counter = found.counter
    this.#newest = found.place
    this.epoch = found.epoch
    this.complete = found.complete === 1
    this.isSuspended = found.complete === 2
    this.base = found.base
    this.acknowledged = found.acknowledged
    return { epoch: this.epoch, complete: this.complete, base: this.base, acknowledged: this.acknowledged }
  }

  /** A new beginning: everything from `base` on, in `epoch`; what it holds already counts as acknowledged. */
  begin(epoch: number, base: number, complete: boolean, acknowledged = base - 1): void {
    this.epoch = epoch
    this.base = base
    this.complete = complete
    this.acknowledged = acknowledged
    this.#write()
    this.#write()
  }

  setComplete(complete: boolean): void {
    this.complete = complete
    this.#write()
  }

  /** To be called before an acknowledgement of `sequence` leaves. On the hot path: no allocation. */
  acknowledge(sequence: number): void {
    if (sequence <= this.acknowledged) return
    this.acknowledged = sequence
    this.#write()
  }

  #write(): void {
    this.#newest = 1 - this.#newest
    const from = MARKS_AT[this.#newest]!
    this.#counter = (this.#counter + 1) >>> 0
    const words = this.#words
    const word = from / 4
    words[word + at.magic / 4] = LOG_MARKS_MAGIC
    words[word + at.version / 4] = LOG_RING_VERSION
    words[word + at.counter / 4] = this.#counter
    words[word + at.epoch / 4] = this.epoch
    words[word + at.complete / 4] = this.complete ? 1 : 0
    words[word + at.base / 4] = lowWord(this.base)
    words[word + at.base / 4 + 1] = highWord(this.base)
    words[word + at.acknowledged / 4] = lowWord(this.acknowledged)
    words[word + at.acknowledged / 4 + 1] = highWord(this.acknowledged)
    const sum = crc32c(this.#memory.bytes, from + SEALED_FROM, from + LogMarks.byteLength)
    words[word + at.seal / 4] = sum
  }
}

/** A new epoch counts afresh, and a counter that has run over is newer than one that is about to. */
function newestFirst(a: { epoch: number; counter: number }, b: { epoch: number; counter: number }): number {
  return b.epoch - a.epoch || (b.counter - a.counter) | 0
}

/** Used by tests and the vault, which write marks that are not in a ring. */
export function sealedMarks(values: Parameters<typeof LogMarks.encode>[0]): Uint8Array {
  const bytes = new Uint8Array(LogMarks.byteLength)
  LogMarks.encode(values, bytes)
  seal(bytes)
  return bytes
}
