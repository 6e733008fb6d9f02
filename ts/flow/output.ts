import { assert } from '../base/assert.ts'
import { Gather } from '../base/gather.ts'
import { KIB } from '../base/units.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory } from '../ports/memory.ts'
import type { Stream } from '../ports/stream.ts'

/** Room for the data of one piece of a READ and its header. */
export const OUTPUT_DATA_BYTES = 256 * KIB + 64
/** Always kept free for replies without data: the requests in flight are limited so that they fit. */
export const OUTPUT_REPLY_BYTES = 192 * KIB
const HALF_BYTES = 512 * KIB
export const OUTPUT_BYTES = 2 * HALF_BYTES

/**
 * What a client is about to hear: two halves, one being filled while the other is sent, so that all
 * replies of a turn leave in one send.
 */
export class Output implements Completion {
  readonly view: DataView
  readonly address: number
  isSending = false
  failed = false
  /** first byte of the half being filled, and its fill */
  #half = 0
  #fill = 0
  #stream: Stream | undefined
  readonly #gather = new Gather()
  readonly #sent: () => void

  constructor(memory: Memory, sent: () => void) {
    assert(memory.byteLength >= OUTPUT_BYTES, 'an output buffer has two halves')
    this.view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset, OUTPUT_BYTES)
    this.address = memory.address
    this.#sent = sent
  }

  attach(stream: Stream): void {
    assert(!this.isSending, 'an output buffer serves one stream at a time')
    this.#stream = stream
    this.failed = false
    this.#half = 0
    this.#fill = 0
  }

  get isEmpty(): boolean {
    return this.#fill === 0 && !this.isSending
  }

  hasRoomForData(byteLength: number): boolean {
    return this.#fill + byteLength + OUTPUT_REPLY_BYTES <= HALF_BYTES
  }

  hasRoomForReply(byteLength: number): boolean {
    return this.#fill + byteLength <= HALF_BYTES
  }

  /** Where the next byte goes, as an offset into `view`. */
  get at(): number {
    return this.#half + this.#fill
  }

  advance(byteLength: number): void {
    this.#fill += byteLength
    assert(this.#fill <= HALF_BYTES, 'replies fit into the output buffer')
  }

  /** Sends what has been gathered, unless a send is under way. */
  flush(): void {
    if (this.isSending || this.#fill === 0 || this.failed) return
    this.#gather.clear()
    this.#gather.add(this.address + this.#half, this.#fill)
    this.#half = HALF_BYTES - this.#half
    this.#fill = 0
    this.isSending = true
    this.#stream!.send(this.#gather, this)
  }

  complete(result: number): void {
    this.isSending = false
    if (result < 0) this.failed = true
    this.#sent()
  }
}
