import { assert } from './assert.ts'

/** Most pieces that one vectored request may have (IOV_MAX of Linux). */
export const GATHER_PIECES_MAX = 1024

/** Most lists stay this short, and procedures make many. */
const PIECES_AT_FIRST = 4

/**
 * A reusable list of memory pieces for one vectored read, write or send. Pieces that follow each
 * other in memory are joined. It must not change between submission and completion. Capacity grows by
 * doubling and then stays.
 */
export class Gather {
  addresses = new Float64Array(PIECES_AT_FIRST)
  lengths = new Uint32Array(PIECES_AT_FIRST)
  count = 0
  byteLength = 0

  get isFull(): boolean {
    return this.count === GATHER_PIECES_MAX
  }

  add(address: number, byteLength: number): void {
    assert(byteLength > 0, 'a piece of a gather list is not empty')
    const last = this.count - 1
    this.byteLength += byteLength
    if (last >= 0 && (this.addresses[last] ?? 0) + (this.lengths[last] ?? 0) === address) {
      this.lengths[last] = (this.lengths[last] ?? 0) + byteLength
      return
    }
    assert(this.count < GATHER_PIECES_MAX, 'a gather list holds at most 1024 pieces')
    if (this.count === this.addresses.length) this.#grow()
    this.addresses[this.count] = address
    this.lengths[this.count] = byteLength
    this.count += 1
  }

  clear(): void {
    this.count = 0
    this.byteLength = 0
  }

  #grow(): void {
    const { addresses, lengths } = this
    this.addresses = new Float64Array(addresses.length * 2)
    this.addresses.set(addresses)
    this.lengths = new Uint32Array(lengths.length * 2)
    this.lengths.set(lengths)
  }
}
