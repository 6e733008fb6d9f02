import { assert } from '../base/assert.ts'

export interface BlockRange {
  readonly first: number
  readonly end: number
}

/** Sorted, disjoint, merged ranges [first, end) of block numbers. */
export class Ranges {
  readonly list: { first: number; end: number }[] = []

  add(first: number, end: number): void {
    assert(first < end, 'a range is not empty')
    let from = this.#firstEndingAtOrAfter(first)
    let to = from
    let lowest = first
    let highest = end
    while (to < this.list.length && this.list[to]!.first <= end) {
      lowest = Math.min(lowest, this.list[to]!.first)
      highest = Math.max(highest, this.list[to]!.end)
      to += 1
    }
    if (from > this.list.length) from = this.list.length
    this.list.splice(from, to - from, { first: lowest, end: highest })
  }

  has(block: number): boolean {
    const range = this.list[this.#firstEndingAtOrAfter(block + 1)]
    return range !== undefined && range.first <= block
  }

  #firstEndingAtOrAfter(block: number): number {
    let low = 0
    let high = this.list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.list[middle]!.end < block) low = middle + 1
      else high = middle
    }
    return low
  }
}
