import { assert } from './assert.ts'

/** What one step of a batch does. The same numbers are generated into native/generated/format.hpp. */
export const MemoryOp = {
  /** copy `c` bytes from address `a` to address `b` */
  COPY: 1,
  /**
   * copy `c` blocks of 4 KiB from `a` to `b`, and store the CRC32C of each as u32 at `d`; with 1 as `e`, the
   * copy goes past the processor's caches
   */
  COPY_CHECKSUM: 2,
  /** store the CRC32C of `b` bytes at `a`, continued over `d` bytes at `c`, as u32 at `e` */
  SEAL: 3,
  /** as SEAL, but compare with the u32 at `e`; a difference is a failure */
  VERIFY_SEAL: 4,
  /** compare the CRC32C of `b` blocks of 4 KiB at `a` with the u32s at `c`; a difference is a failure */
  VERIFY_BLOCKS: 5,
  /** fill `b` bytes at `a` with zeroes */
  ZERO: 6,
} as const

/** Numbers per step in `steps`: the operation, then a, b, c, d, e. */
export const STEP_WORDS = 6

/**
 * A list of copies and checksums that one call into the addon carries out, in order. Crossing
 * into native code costs as much as copying a block, so a turn of the loop gathers its work here.
 * All addresses are those of `Memory`. Capacity grows by doubling and then stays.
 */
export class MemoryBatch {
  steps: Float64Array
  count = 0
  /** Index of the first step that failed to verify in the last run, or -1. Set by `MemoryPort.run`. */
  firstFailure = -1

  constructor(capacity = 1024) {
    this.steps = new Float64Array(capacity * STEP_WORDS)
  }

  copy(from: number, to: number, byteLength: number): void {
    this.#add(MemoryOp.COPY, from, to, byteLength, 0, 0)
  }

  copyWithChecksums(from: number, to: number, blockCount: number, checksumsAt: number): void {
    this.#add(MemoryOp.COPY_CHECKSUM, from, to, blockCount, checksumsAt, 0)
  }

  /** The same for a copy that nobody reads soon: it takes a third of the time if its place is in no cache. */
  storeWithChecksums(from: number, to: number, blockCount: number, checksumsAt: number): void {
    this.#add(MemoryOp.COPY_CHECKSUM, from, to, blockCount, checksumsAt, 1)
  }

  seal(at: number, byteLength: number, thenAt: number, thenByteLength: number, storeAt: number): void {
    this.#add(MemoryOp.SEAL, at, byteLength, thenAt, thenByteLength, storeAt)
  }

  verifySeal(at: number, byteLength: number, thenAt: number, thenByteLength: number, storedAt: number): void {
    this.#add(MemoryOp.VERIFY_SEAL, at, byteLength, thenAt, thenByteLength, storedAt)
  }

  verifyBlocks(at: number, blockCount: number, checksumsAt: number): void {
    this.#add(MemoryOp.VERIFY_BLOCKS, at, blockCount, checksumsAt, 0, 0)
  }

  zero(at: number, byteLength: number): void {
    this.#add(MemoryOp.ZERO, at, byteLength, 0, 0, 0)
  }

  clear(): void {
    this.count = 0
  }

  #add(op: number, a: number, b: number, c: number, d: number, e: number): void {
    assert(a > 0, 'a memory step needs an address')
    const at = this.count * STEP_WORDS
    if (at === this.steps.length) this.#grow()
    const steps = this.steps
    steps[at] = op
    steps[at + 1] = a
    steps[at + 2] = b
    steps[at + 3] = c
    steps[at + 4] = d
    steps[at + 5] = e
    this.count += 1
  }

  #grow(): void {
    const larger = new Float64Array(this.steps.length * 2)
    larger.set(this.steps)
    this.steps = larger
  }
}
