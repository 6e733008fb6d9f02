import type { FreeBits } from './free-bits.ts'

/** Blocks [first, end). */
export interface Interval {
  readonly first: number
  readonly end: number
}

/** Runs shorter than this are passed over at first, so that writes stay long. */
const RUN_BLOCKS_GOOD = 256

/**
 * The sweep for free space: ever forward through the block space, taking long runs, and shorter
 * ones only after a lap that found none.
 */
export class SpaceScan {
  /** where the next search begins */
  cursor = 0
  first = 0
  readonly #bits: FreeBits
  readonly #everything: readonly Interval[]
  #intervals: readonly Interval[]
  #runMinimum = RUN_BLOCKS_GOOD

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
    this.#runMinimum = RUN_BLOCKS_GOOD
  }

  /** Finds up to `wanted` free blocks in a row; returns how many, from `first` on, or 0: there are none. */
  find(wanted: number): number {
    for (;;) {
      const count = this.#lap(Math.min(wanted, this.#runMinimum), wanted)
      if (count > 0) {
        this.cursor = this.first + count
        return count
      }
      if (this.#runMinimum > 1) this.#runMinimum >>>= 2
      else if (this.isAvoiding) this.avoidNothing()
      else return 0
    }
  }

  #lap(minimum: number, wanted: number): number {
    const start = this.cursor
    for (const { first, end } of this.#intervals) {
      if (end <= start) continue
      const count = this.#search(Math.max(first, start), end, minimum, wanted)
      if (count > 0) return count
    }
    for (const { first, end } of this.#intervals) {
      if (first >= start) return 0
      const count = this.#search(first, Math.min(end, start + wanted), minimum, wanted)
      if (count > 0) return count
    }
    return 0
  }

  #search(from: number, end: number, minimum: number, wanted: number): number {
    let block = from
    while (block < end) {
      const first = this.#bits.nextFree(block, end)
      if (first >= end) return 0
      const last = this.#bits.nextBusy(first, Math.min(end, first + wanted))
      if (last - first >= minimum) {
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
