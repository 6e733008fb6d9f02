import { assert } from '../base/assert.ts'
import { memoryPool } from '../disk/memory-pool.ts'
import { POINTERS_PER_BLOCK } from '../format/block-pointer.ts'
import type { MemoryPort } from '../ports/memory.ts'
import { clearBit, hasBit, setBit } from './bits.ts'
import { FreeBits, REGION_SHIFT } from './free-bits.ts'
import { Reservations } from './reservations.ts'
import { type Interval, SpaceScan, swept } from './space-scan.ts'

/** What writing these blocks of a volume takes from the free space at most: reserved when it is logged. */
export function worstCaseBlocks(firstBlock: number, blockCount: number, height: number): number {
  const last = firstBlock + blockCount - 1
  let blocks = blockCount
  let reach = 1
  for (let level = 1; level <= height; level += 1) {
    reach *= POINTERS_PER_BLOCK
    blocks += Math.floor(last / reach) - Math.floor(firstBlock / reach) + 1
  }
  return blocks
}

/** Kept back so that trim, delete and resize always work: a share of all blocks, and at least this. */
const FLOOR_BLOCKS = 64
const FLOOR_SHARE = 64

/**
 * The free space of an aggregate. Blocks that either of the last two superblocks can reach are
 * never handed out; what generation g frees can be used again from generation g + 2 on.
 */
export class Space {
  readonly total: number
  readonly floor: number
  readonly bits: FreeBits
  readonly reservations = new Reservations()
  /** first block of the run that `allocate` has returned */
  first = 0
  readonly #scan: SpaceScan
  readonly #intervals: readonly Interval[]
  /** one more than the highest block number */
  readonly #span: number
  /** blocks reachable from `current`; from `next`; freed by `next`; held by `before` alone */
  #usedNow = 0
  #usedNext = 0
  #freedNow = 0
  #held = 0

  constructor(intervals: readonly Interval[], blockCount: number, port: MemoryPort) {
    this.total = intervals.reduce((sum, { first, end }) => sum + end - first, 0)
    this.#span = blockCount
    this.#intervals = intervals
    this.floor = Math.max(FLOOR_BLOCKS, Math.floor(this.total / FLOOR_SHARE))
    this.bits = new FreeBits(intervals, blockCount, memoryPool(port))
    this.#scan = new SpaceScan(this.bits, intervals)
  }

  /** Blocks that the newest superblock reaches. */
  get used(): number {
    return this.#usedNow
  }

  /** Blocks that the generation being made reaches. */
  get usedNext(): number {
    return this.#usedNext
  }

  /** Blocks that are free as soon as the next one or two consistency points are on disk. */
  get freeing(): number {
    return this.#freedNow + this.#held
  }

  /** Blocks that the generation being made does not reach any more. */
  get freedNow(): number {
    return this.#freedNow
  }

  get reserved(): number {
    return this.reservations.total
  }

  /** Blocks that can still be promised to clients. */
  get available(): number {
    return Math.max(0, this.#unpromised - this.floor)
  }

  /** Where the sweep of the next generation begins. */
  get cursor(): number {
    return this.#scan.cursor
  }

  set cursor(block: number) {
    this.#scan.cursor = block < this.#span ? block : 0
  }

  /** Promises blocks for an entry that is to be logged. False: the aggregate is full. */
  reserve(blocks: number): boolean {
    if (blocks > this.#unpromised - this.floor) return false
    this.reservations.promised += blocks
    return true
  }

  /** The same for changes that give space back: they may use what is kept from the others. */
  reserveForFreeing(blocks: number): boolean {
    if (blocks > this.#unpromised) return false
    this.reservations.promised += blocks
    return true
  }

  /** For entries that were acknowledged before: their promise was kept when they were logged first. */
  reserveAlways(blocks: number): void {
    this.reservations.promised += blocks
  }

  /** Gives a promise back, for an entry that was not logged after all. */
  release(blocks: number): void {
    this.reservations.release(blocks)
  }

  /**
   * A writer of an older epoch, stopped in the middle, may still have writes on their way from its
   * cursor on. A new epoch keeps clear of them where space permits, until `avoidNothing`. `itsSpan`: as many
   * blocks as that writer may have counted, without disks that were added since.
   */
  avoid(first: number, blockCount: number, itsSpan = this.#span): void {
    const passed = swept(this.#intervals, first, blockCount)
    const known = this.#intervals.filter(({ end }) => end <= itsSpan)
    this.#scan.avoid([...passed, ...swept(known, first, blockCount)])
    this.cursor = passed.at(-1)?.end ?? first
  }

  avoidNothing(): void {
    this.#scan.avoidNothing()
  }

  /** The changes of the next consistency point are settled: it may take what was promised to them. */
  freeze(): void {
    this.reservations.freeze()
  }

  /** A consistency point begins to allocate. */
  begin(): void {
    assert(
      this.#usedNext === this.#usedNow && this.#freedNow === 0,
      'the last attempt was published or reverted',
    )
    this.#scan.begin()
  }

  /** Takes up to `wanted` blocks in a row. Returns how many, from `first` on; 0: there is none left. */
  allocate(wanted: number): number {
    const count = this.#scan.find(wanted)
    if (count === 0) return 0
    this.first = this.#scan.first
    this.bits.fill(this.first, count, true)
    this.#usedNext += count
    this.reservations.spent += count
    return count
  }

  /** Returns blocks of a run that were not used. */
  giveBack(first: number, count: number): void {
    if (count === 0) return
    this.bits.fill(first, count, false)
    this.#usedNext -= count
    this.reservations.spent -= count
  }

  /** The block is not part of the generation being made. It was part of the one before. */
  free(block: number): void {
    const { bits } = this
    assert(hasBit(bits.next, block), 'a block is freed once')
    assert(hasBit(bits.current, block), 'a block is freed in a later generation than it was written')
    clearBit(bits.next, block)
    bits.changed[block >>> REGION_SHIFT] = 1
    this.#usedNext -= 1
    this.#freedNow += 1
  }

  /** The whole allocation of a consistency point is done: it must have kept to its promises. */
  checkSpent(): void {
    const { spent, budget } = this.reservations
    assert(spent <= budget + this.floor, `${spent} blocks were taken and ${budget} were reserved`)
  }

  publish(): void {
    this.bits.advance()
    this.#usedNow = this.#usedNext
    this.#freedNow = 0
    this.#held = this.bits.heldBlocks()
    this.reservations.spent = 0
  }

  /** The consistency point failed; `mayBeDurable`: its superblock may have reached a disk. */
  revert(mayBeDurable: boolean): void {
    this.bits.revert(mayBeDurable)
    this.#usedNext = this.#usedNow
    this.#freedNow = 0
    this.#held = this.bits.heldBlocks()
    this.reservations.spent = 0
  }

  // Loading: the map is read into `bits.current`, or rebuilt with `mark`; then `loaded` is called.

  mark(block: number): boolean {
    if (hasBit(this.bits.current, block)) return false
    setBit(this.bits.current, block)
    return true
  }

  /** The generation before the newest reaches this block. */
  hold(block: number): void {
    setBit(this.bits.before, block)
    this.bits.held[block >>> REGION_SHIFT] = 1
  }

  loaded(): void {
    const { bits } = this
    bits.next.set(bits.current)
    for (let region = 0; region < bits.regionCount; region += 1) bits.recount(region)
    const { used, held } = bits.count()
    this.#usedNow = used
    this.#usedNext = used
    this.#held = held
  }

  close(): void {
    this.bits.close()
  }

  /** Free blocks that are not promised to anybody. */
  get #unpromised(): number {
    const free = this.total - this.#usedNext - this.#freedNow - this.#held
    return free - this.reservations.total
  }
}
