import { BLOCK_SIZE } from '../base/units.ts'
import type { MemoryPool } from '../disk/memory-pool.ts'
import { BITS_PER_MAP_BLOCK } from '../format/free-map.ts'
import type { Memory } from '../ports/memory.ts'
import { fillBits, lowestBit, popCount, wordMask } from './bits.ts'
import type { Interval } from './space-scan.ts'

export const REGION_SHIFT = 15
export const REGION_WORDS = BITS_PER_MAP_BLOCK / 32

/**
 * Three bitmaps, one bit per block, in the layout of the map on disk:
 *
 *   next      reachable from the generation that is being made
 *   current   reachable from the newest superblock
 *   before    reachable from the one before, or still held for another reason
 *
 * A block is free when it is in none of them. Work is done per region, the reach of one map block.
 */
export class FreeBits {
  readonly regionCount: number
  readonly next: Uint32Array
  readonly current: Uint32Array
  readonly before: Uint32Array
  readonly nextMemory: Memory
  readonly currentMemory: Memory
  /** regions where `next` differs from `current`, and `before` from `current` */
  readonly changed: Uint8Array
  readonly held: Uint8Array
  readonly #free: Uint32Array
  /** of each region: so many whole words of free blocks lie in a row, at most */
  readonly #longest: Uint16Array
  readonly #intervals: readonly Interval[]
  readonly #exists: Uint32Array
  readonly #memories: Memory[]
  readonly #pool: MemoryPool

  constructor(intervals: readonly Interval[], blockCount: number, pool: MemoryPool) {
    this.regionCount = Math.ceil(blockCount / BITS_PER_MAP_BLOCK)
    this.#intervals = intervals
    this.#pool = pool
    const byteLength = this.regionCount * BLOCK_SIZE
    this.#memories = [pool.borrow(byteLength), pool.borrow(byteLength), pool.borrow(byteLength)]
    this.nextMemory = this.#memories[0]!
    this.currentMemory = this.#memories[1]!
    this.next = this.nextMemory.u32
    this.current = this.currentMemory.u32
    this.before = this.#memories[2]!.u32
    this.changed = new Uint8Array(this.regionCount)
    this.held = new Uint8Array(this.regionCount)
    this.#free = new Uint32Array(this.regionCount)
    this.#longest = new Uint16Array(this.regionCount).fill(REGION_WORDS)
    this.#exists = this.#countExisting()
    this.#free.set(this.#exists)
  }

  close(): void {
    for (const memory of this.#memories) this.#pool.giveBack(memory)
  }

  /** Whether every bit that is set in this region of `current` stands for a block that exists. */
  regionIsPossible(region: number): boolean {
    const words = new Uint32Array(REGION_WORDS)
    const first = region * BITS_PER_MAP_BLOCK
    for (const interval of this.#intervals) {
      const from = Math.max(interval.first, first)
      const to = Math.min(interval.end, first + BITS_PER_MAP_BLOCK)
      if (from < to) fillBits(words, from - first, to - from, true)
    }
    const at = region * REGION_WORDS
    return words.every((exists, index) => (this.current[at + index]! & ~exists) === 0)
  }

  isFree(block: number): boolean {
    return ((this.#busy(block >>> 5) >>> (block & 31)) & 1) === 0
  }

  freeIn(region: number): number {
    return this.#free[region]!
  }

  /** False: for sure no run of so many free blocks lies within the region. */
  mayHold(region: number, blockCount: number): boolean {
    return this.#free[region]! >= blockCount && this.#longest[region]! >= wholeWordsIn(blockCount)
  }

  /** It was looked through, and no run of so many begins in it: it is not asked for so many again. */
  holdsLess(region: number, blockCount: number): void {
    const words = wholeWordsIn(blockCount)
    if (words > 0) this.#longest[region] = Math.min(this.#longest[region]!, words - 1)
  }

  /** The first free block from `from` on, or `end`. */
  nextFree(from: number, end: number): number {
    let block = from
    while (block < end) {
      const region = block >>> REGION_SHIFT
      if (this.#free[region] === 0) {
        block = (region + 1) * BITS_PER_MAP_BLOCK
        continue
      }
      const free = ~this.#busy(block >>> 5) & wordMask(block & 31, 32)
      if (free !== 0) return Math.min(end, block - (block & 31) + lowestBit(free))
      block += 32 - (block & 31)
    }
    return end
  }

  nextBusy(from: number, end: number): number {
    let block = from
    while (block < end) {
      const busy = this.#busy(block >>> 5) & wordMask(block & 31, 32)
      if (busy !== 0) return Math.min(end, block - (block & 31) + lowestBit(busy))
      block += 32 - (block & 31)
    }
    return end
  }

  /** Sets or clears blocks in `next` that are in neither of the other maps. */
  fill(first: number, count: number, value: boolean): void {
    fillBits(this.next, first, count, value)
    for (let block = first; block < first + count; ) {
      const region = block >>> REGION_SHIFT
      const end = Math.min(first + count, (region + 1) * BITS_PER_MAP_BLOCK)
      this.#free[region] = this.#free[region]! + (value ? block - end : end - block)
      this.changed[region] = 1
      if (!value) this.#longest[region] = REGION_WORDS
      block = end
    }
  }

  /** `next` is durable: it is `current` now, and what that was holds until the next time. */
  advance(): void {
    for (let region = 0; region < this.regionCount; region += 1) {
      if (this.changed[region] === 0 && this.held[region] === 0) continue
      this.#copyRegion(region, this.current, this.before)
      this.#copyRegion(region, this.next, this.current)
      this.held[region] = this.changed[region]!
      this.changed[region] = 0
      this.recount(region)
    }
  }

  /** `next` has failed. If it may be durable all the same, its blocks are held. */
  revert(mayBeDurable: boolean): void {
    for (let region = 0; region < this.regionCount; region += 1) {
      if (this.changed[region] === 0) continue
      const at = region * REGION_WORDS
      for (let word = at; mayBeDurable && word < at + REGION_WORDS; word += 1) {
        this.before[word] = this.before[word]! | this.next[word]!
      }
      if (mayBeDurable) this.held[region] = 1
      this.#copyRegion(region, this.current, this.next)
      this.changed[region] = 0
      this.recount(region)
    }
  }

  /** After a region was loaded. */
  recount(region: number): void {
    let count = 0
    let [row, longest] = [0, 0]
    const at = region * REGION_WORDS
    for (let word = at; word < at + REGION_WORDS; word += 1) {
      const busy = this.#busy(word)
      count += popCount(busy)
      row = busy === 0 ? row + 1 : 0
      if (row > longest) longest = row
    }
    this.#free[region] = this.#exists[region]! - count
    this.#longest[region] = longest
  }

  /** Blocks in `current`, and blocks that only `before` holds. */
  count(): { used: number; held: number } {
    let used = 0
    let held = 0
    for (let word = 0; word < this.current.length; word += 1) {
      used += popCount(this.current[word]!)
      held += popCount(this.before[word]! & ~this.current[word]!)
    }
    return { used, held }
  }

  countCurrent(): number {
    return this.count().used
  }

  heldBlocks(): number {
    let held = 0
    for (let region = 0; region < this.regionCount; region += 1) {
      if (this.held[region] === 0) continue
      const at = region * REGION_WORDS
      for (let word = at; word < at + REGION_WORDS; word += 1) {
        held += popCount(this.before[word]! & ~this.current[word]!)
      }
    }
    return held
  }

  #busy(word: number): number {
    return this.next[word]! | this.current[word]! | this.before[word]!
  }

  #copyRegion(region: number, from: Uint32Array, to: Uint32Array): void {
    const at = region * REGION_WORDS
    to.set(from.subarray(at, at + REGION_WORDS), at)
  }

  #countExisting(): Uint32Array {
    const exists = new Uint32Array(this.regionCount)
    for (const { first, end } of this.#intervals) {
      for (let block = first; block < end; ) {
        const region = block >>> REGION_SHIFT
        const to = Math.min(end, (region + 1) * BITS_PER_MAP_BLOCK)
        exists[region] = exists[region]! + to - block
        block = to
      }
    }
    return exists
  }
}

/** A run of so many blocks holds at least so many whole words, wherever it begins. */
const wholeWordsIn = (blockCount: number): number => Math.max(0, Math.floor((blockCount - 31) / 32))
