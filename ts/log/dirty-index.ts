import { assert } from '../base/assert.ts'
import { TWO_32 } from '../base/units.ts'
import { type BlockRange, isBefore, Ranges } from './ranges.ts'
import type { LogRing } from './ring.ts'

/** What `lookup` answers instead of a ring page. */
export const ZERO_BLOCK = -1
export const NOT_DIRTY = -2

/** A zeroed or trimmed stretch of so many blocks is kept as a range, a shorter one block by block. */
const RANGE_FROM_BLOCKS = 2

const WORDS = 4
const VOLUME = 0
const BLOCK = 1
const PAGE = 2
const SEQUENCE = 3

/**
 * (volume, block) -> newest ring page, for the changes that one consistency point will write.
 * Open addressing over one Int32Array; volume number 0 marks an empty place. Ranges hold zeroed
 * stretches. What is newer, a block's entry or a range over it, their sequences tell, so that a range
 * costs the same whatever blocks it hides: nothing is looked for, and nothing is taken out.
 */
export class DirtyIndex {
  #table: Int32Array
  #mask: number
  #used = 0
  #ranges = new Map<number, Ranges>()
  /** volumes that were deleted, and by which entry: nothing older counts */
  #dropped = new Map<number, number>()
  /** the sequence of the looked-up block's entry; valid after `lookup` found a page or a zero block */
  foundSequence = 0

  constructor(expectedBlocks = 1024) {
    const places = 2 ** Math.ceil(Math.log2(expectedBlocks * 2))
    this.#table = new Int32Array(places * WORDS)
    this.#mask = places - 1
  }

  /** At most so many blocks have an entry of their own that counts. */
  get blockCount(): number {
    return this.#used
  }

  get isEmpty(): boolean {
    return this.#used === 0 && this.#ranges.size === 0
  }

  set(volume: number, block: number, page: number, sequence: number): void {
    if (this.#used * 3 > this.#mask * 2) this.#grow()
    const at = this.#find(volume, block)
    const table = this.#table
    if (table[at + VOLUME] === 0) {
      table[at + VOLUME] = volume
      table[at + BLOCK] = block | 0
      this.#used += 1
    }
    table[at + PAGE] = page
    table[at + SEQUENCE] = sequence | 0
  }

  lookup(volume: number, block: number): number {
    const at = this.#find(volume, block)
    const ranges = this.#ranges.size === 0 ? undefined : this.#ranges.get(volume)
    if (this.#table[at + VOLUME] !== 0 && this.#counts(at, ranges)) {
      this.foundSequence = this.#table[at + SEQUENCE]! >>> 0
      return this.#table[at + PAGE]!
    }
    if (ranges === undefined || !ranges.has(block)) return NOT_DIRTY
    this.foundSequence = ranges.foundSequence >>> 0
    return ZERO_BLOCK
  }

  /** Places that `collect` goes through. If they have become more, each means something else. */
  get placeCount(): number {
    return this.#mask + 1
  }

  /**
   * Adds what places [from, to) have of the volume's blocks [first, end), in no order: twice the number of
   * the block, and one more if it is zero. Blocks that only a range covers are not among them.
   */
  collect(volume: number, first: number, end: number, from: number, to: number, into: number[]): void {
    const table = this.#table
    const ranges = this.#ranges.get(volume)
    for (let at = from * WORDS; at < to * WORDS; at += WORDS) {
      if (table[at + VOLUME] !== volume) continue
      const block = table[at + BLOCK]! >>> 0
      if (block < first || block >= end || !this.#counts(at, ranges)) continue
      into.push(block * 2 + (table[at + PAGE] === ZERO_BLOCK ? 1 : 0))
    }
  }

  /** The zeroed stretches of a volume; entries of blocks may be newer. */
  rangesIn(volume: number): Ranges | undefined {
    return this.#ranges.get(volume)
  }

  zero(volume: number, first: number, end: number, sequence: number): void {
    if (end - first < RANGE_FROM_BLOCKS) {
      for (let block = first; block < end; block += 1) this.set(volume, block, ZERO_BLOCK, sequence)
      return
    }
    let ranges = this.#ranges.get(volume)
    if (ranges === undefined) {
      ranges = new Ranges()
      this.#ranges.set(volume, ranges)
    }
    ranges.add(first, end, sequence)
  }

  /** The volume is deleted: none of its changes matters any more. */
  dropVolume(volume: number, sequence: number): void {
    this.#dropped.set(volume, sequence | 0)
    this.#ranges.delete(volume)
  }

  clear(): void {
    if (this.#used > 0) this.#table.fill(0)
    this.#used = 0
    this.#ranges = new Map()
    this.#dropped = new Map()
  }

  rangesOf(volume: number): readonly BlockRange[] {
    return this.#ranges.get(volume)?.merged() ?? []
  }

  rangedVolumes(): IterableIterator<number> {
    return this.#ranges.keys()
  }

  /** All changed blocks as volume * 2^32 + block, ascending. */
  sortedKeys(): Float64Array {
    const keys = new Float64Array(this.#used)
    let count = 0
    for (let at = 0; at < this.#table.length; at += WORDS) {
      const volume = this.#table[at + VOLUME]!
      if (volume === 0 || !this.#counts(at, this.#ranges.get(volume))) continue
      keys[count] = volume * TWO_32 + (this.#table[at + BLOCK]! >>> 0)
      count += 1
    }
    return keys.subarray(0, count).sort()
  }

  /** Whether the entry of a block is newer than a range over it and than the end of its volume. */
  #counts(at: number, ranges: Ranges | undefined): boolean {
    const sequence = this.#table[at + SEQUENCE]!
    if (ranges?.hides(this.#table[at + BLOCK]! >>> 0, sequence)) return false
    if (this.#dropped.size === 0) return true
    const dropped = this.#dropped.get(this.#table[at + VOLUME]!)
    return dropped === undefined || !isBefore(sequence, dropped)
  }

  /** The place of the key, or the empty place where it belongs. */
  #find(volume: number, block: number): number {
    const key = block | 0
    let place = hash(volume, key) & this.#mask
    for (;;) {
      const at = place * WORDS
      const there = this.#table[at + VOLUME]!
      if (there === 0 || (there === volume && this.#table[at + BLOCK] === key)) return at
      place = (place + 1) & this.#mask
    }
  }

  #grow(): void {
    const old = this.#table
    this.#table = new Int32Array(old.length * 2)
    this.#mask = this.#mask * 2 + 1
    this.#used = 0
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + VOLUME] === 0) continue
      this.set(old[at + VOLUME]!, old[at + BLOCK]! >>> 0, old[at + PAGE]!, old[at + SEQUENCE]!)
    }
  }
}

function hash(volume: number, block: number): number {
  let mixed = Math.imul(block ^ Math.imul(volume, 0x9e3779b1), 0x85ebca6b)
  mixed ^= mixed >>> 15
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return (mixed ^ (mixed >>> 13)) >>> 0
}

/** The frozen index in the order in which a consistency point writes it. */
export class FrozenIndex {
  readonly lastSequence: number
  readonly count: number
  readonly volumes: Uint32Array
  readonly blocks: Uint32Array
  readonly pages: Int32Array
  readonly #ring: LogRing
  readonly #zeroRanges = new Map<number, readonly BlockRange[]>()

  constructor(ring: LogRing, index: DirtyIndex, lastSequence: number) {
    const keys = index.sortedKeys()
    this.#ring = ring
    this.lastSequence = lastSequence
    for (const volume of index.rangedVolumes()) this.#zeroRanges.set(volume, index.rangesOf(volume))
    this.count = keys.length
    this.volumes = new Uint32Array(keys.length)
    this.blocks = new Uint32Array(keys.length)
    this.pages = new Int32Array(keys.length)
    for (let i = 0; i < keys.length; i += 1) {
      const volume = Math.floor(keys[i]! / TWO_32)
      const block = keys[i]! - volume * TWO_32
      this.volumes[i] = volume
      this.blocks[i] = block
      this.pages[i] = index.lookup(volume, block)
      assert(this.pages[i] !== NOT_DIRTY, 'a key of the index is in the index')
    }
  }

  pageAddress(page: number): number {
    return this.#ring.pageAddress(page)
  }

  pageChecksum(page: number): number {
    return this.#ring.pageChecksum(page)
  }

  zeroRanges(volume: number): readonly BlockRange[] {
    return this.#zeroRanges.get(volume) ?? []
  }

  touchedVolumes(): readonly number[] {
    const touched = new Set(this.#zeroRanges.keys())
    let last = 0
    for (const volume of this.volumes) {
      if (volume !== last) touched.add(volume)
      last = volume
    }
    return [...touched].sort((a, b) => a - b)
  }
}
