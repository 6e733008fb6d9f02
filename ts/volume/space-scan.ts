import { BITS_PER_MAP_BLOCK } from '../format/free-map.ts'
import { type FreeBits, REGION_SHIFT } from './free-bits.ts'

/** Blocks [first, end). */
export interface Interval {
  readonly first: number
  readonly end: number
}

/** Runs shorter than the first are passed over at first, so that writes stay long; then below the second. */
const LONG_RUNS = [256, 64] as const
/** Then what is long for its region is taken, by how much of it is free; and then anything. */
const BY_REGION = LONG_RUNS.length
const ANYTHING = BY_REGION + 1
/** So many regions are looked through in vain until anything is taken. */
const REGIONS_IN_VAIN = 4

/**
 * The sweep for free space: ever forward through the block space, taking long runs, and shorter ones only
 * when there are none. What a search costs does not grow with the blocks of the disks: regions tell what they
 * cannot have, and where all that is free is in short runs, as after random overwrites, none is looked for
 * far away.
 */
export class SpaceScan {
  /** where the next search begins */
  cursor = 0
  first = 0
  readonly #bits: FreeBits
  readonly #everything: readonly Interval[]
  #intervals: readonly Interval[]
  /** a place in LONG_RUNS, BY_REGION or ANYTHING */
  #stage = 0
  /** the region in which anything is taken; the next one is asked for more again */
  #poorRegion = -1
  #inVain = 0

  constructor(bits: FreeBits, intervals: readonly Interval[]) {
    this.#bits = bits
    this.#everything = intervals
    this.#intervals = intervals
  }

  get isAvoiding(): boolean {
    return this.#intervals !== this.#everything
  }

  /** Takes nothing from these blocks as long as there is space elsewhere. */
  avoid(intervals: readonly Interval[]): void {
    this.#intervals = intervals.reduce(without, this.#everything)
  }

  avoidNothing(): void {
    this.#intervals = this.#everything
  }

  /** A new consistency point hopes for long runs again. */
  begin(): void {
    this.#stage = 0
  }

  /** Finds up to `wanted` free blocks in a row; returns how many, from `first` on, or 0: there are none. */
  find(wanted: number): number {
    if (this.#stage === ANYTHING && this.#regionAtCursor !== this.#poorRegion) this.#stage = BY_REGION
    for (;;) {
      this.#inVain = 0
      const count = this.#lap(wanted)
      if (count > 0) {
        this.cursor = this.first + count
        return count
      }
      if (this.#stage < ANYTHING) this.#stage += 1
      else if (this.isAvoiding) this.avoidNothing()
      else return 0
      this.#poorRegion = this.#regionAtCursor
    }
  }

  get #regionAtCursor(): number {
    return this.cursor >>> REGION_SHIFT
  }

  #lap(wanted: number): number {
    const start = this.cursor
    for (const { first, end } of this.#intervals) {
      if (end <= start) continue
      const count = this.#search(Math.max(first, start), end, wanted)
      if (count > 0) return count
    }
    for (const { first, end } of this.#intervals) {
      if (first >= start) return 0
      const count = this.#search(first, Math.min(end, start + wanted), wanted)
      if (count > 0) return count
    }
    return 0
  }

  #search(from: number, end: number, wanted: number): number {
    for (let block = from; block < end && this.#inVain < REGIONS_IN_VAIN; ) {
      const region = block >>> REGION_SHIFT
      const least = Math.min(wanted, this.#leastIn(region))
      const regionEnd = (region + 1) * BITS_PER_MAP_BLOCK
      if (this.#bits.mayHold(region, least)) {
        const count = this.#searchRegion(block, Math.min(end, regionEnd), end, least, wanted)
        if (count > 0) return count
        const isWhole = block === region * BITS_PER_MAP_BLOCK && regionEnd <= end
        if (isWhole) this.#bits.holdsLess(region, least)
        if (this.#stage === BY_REGION) this.#inVain += 1
      }
      block = regionEnd
    }
    return 0
  }

  /** The shortest run that is taken in a region. */
  #leastIn(region: number): number {
    if (this.#stage !== BY_REGION) return LONG_RUNS[this.#stage] ?? 1
    const share = this.#bits.freeIn(region) / BITS_PER_MAP_BLOCK
    return share > 7 / 8 ? 16 : share > 1 / 4 ? 4 : share > 1 / 16 ? 2 : 1
  }

  /** Of the runs that begin before `regionEnd`; they may be longer than the region. */
  #searchRegion(from: number, regionEnd: number, end: number, least: number, wanted: number): number {
    for (let block = from; block < regionEnd; ) {
      const first = this.#bits.nextFree(block, regionEnd)
      if (first >= regionEnd) return 0
      const last = this.#bits.nextBusy(first, Math.min(end, first + wanted))
      if (last - first >= least) {
        this.first = first
        return last - first
      }
      block = last
    }
    return 0
  }
}

/** What a sweep of so many blocks passes over from `first` on; after the last block comes the first. */
export function swept(intervals: readonly Interval[], first: number, blockCount: number): Interval[] {
  const after = intervals.map((each) => ({ first: Math.max(each.first, first), end: each.end }))
  const before = intervals.map((each) => ({ first: each.first, end: Math.min(each.end, first) }))
  const passed: Interval[] = []
  let left = blockCount
  for (const each of [...after, ...before]) {
    const count = Math.min(left, each.end - each.first)
    if (count <= 0) continue
    passed.push({ first: each.first, end: each.first + count })
    left -= count
  }
  return passed
}

function without(intervals: readonly Interval[], hole: Interval): readonly Interval[] {
  const left: Interval[] = []
  for (const { first, end } of intervals) {
    if (first < Math.min(end, hole.first)) left.push({ first, end: Math.min(end, hole.first) })
    if (Math.max(first, hole.end) < end) left.push({ first: Math.max(first, hole.end), end })
  }
  return left
}
