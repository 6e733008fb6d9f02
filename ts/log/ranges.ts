import { assert } from '../base/assert.ts'

export interface BlockRange {
  readonly first: number
  readonly end: number
}

/** Ranges kept together: what a change moves in memory is at most one chunk, however many there are. */
const CHUNK_RANGES = 256

/** Some neighbours of the sorted list of ranges. */
class Chunk {
  count = 0
  readonly firsts = new Uint32Array(CHUNK_RANGES)
  /** last blocks, inclusive: the end of the last possible range does not fit into 32 bits */
  readonly lasts = new Uint32Array(CHUNK_RANGES)
  readonly sequences = new Int32Array(CHUNK_RANGES)

  get isFull(): boolean {
    return this.count === CHUNK_RANGES
  }

  /** The first range that reaches to the block or lies behind it; `count`: there is none. */
  reaching(block: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.lasts[middle]! < block) low = middle + 1
      else high = middle
    }
    return low
  }

  insert(at: number, first: number, last: number, sequence: number): void {
    this.#move(at, at + 1)
    this.firsts[at] = first
    this.lasts[at] = last
    this.sequences[at] = sequence
  }

  remove(from: number, to: number): void {
    if (to > from) this.#move(to, from)
  }

  /** Gives the upper half to a chunk that follows it. */
  split(): Chunk {
    const upper = new Chunk()
    const from = this.count >>> 1
    upper.count = this.count - from
    upper.firsts.set(this.firsts.subarray(from, this.count))
    upper.lasts.set(this.lasts.subarray(from, this.count))
    upper.sequences.set(this.sequences.subarray(from, this.count))
    this.count = from
    return upper
  }

  /** Moves the ranges from `from` on to where `to` is. */
  #move(from: number, to: number): void {
    this.firsts.copyWithin(to, from, this.count)
    this.lasts.copyWithin(to, from, this.count)
    this.sequences.copyWithin(to, from, this.count)
    this.count += to - from
  }
}

/**
 * Disjoint ranges [first, end) of block numbers, each with the sequence of the entry that made it. A new
 * one takes the place of what it covers. Chunks are sorted, and the ranges in them.
 */
export class Ranges {
  /** of the entry that made the range that `has` found, as 32 bits */
  foundSequence = 0
  /** bounds of the range that `find` found */
  foundFirst = 0
  foundEnd = 0
  #newest = 0
  readonly #chunks: Chunk[] = [new Chunk()]

  add(first: number, end: number, sequence: number): void {
    assert(first < end, 'a range is not empty')
    this.#cut(first, end - 1)
    this.#insert(first, end - 1, sequence | 0)
    this.#newest = sequence | 0
  }

  /** Whether a range covers the block that is newer than what an entry has written there. */
  hides(block: number, sequence: number): boolean {
    if (!isBefore(sequence, this.#newest)) return false
    return this.has(block) && isBefore(sequence, this.foundSequence)
  }

  /** Whether a range covers the block. */
  has(block: number): boolean {
    const chunk = this.#chunks[this.#chunkReaching(block)]
    if (chunk === undefined) return false
    const at = chunk.reaching(block)
    if (at === chunk.count || chunk.firsts[at]! > block) return false
    this.foundSequence = chunk.sequences[at]!
    return true
  }

  /** Finds the range that covers the block, or else the next one. False: there is none. */
  find(block: number): boolean {
    const chunk = this.#chunks[this.#chunkReaching(block)]
    if (chunk === undefined) return false
    const at = chunk.reaching(block)
    this.foundFirst = chunk.firsts[at]!
    this.foundEnd = chunk.lasts[at]! + 1
    return true
  }

  /** All blocks in ranges, ascending; ranges that touch are one. */
  merged(): BlockRange[] {
    const merged: { first: number; end: number }[] = []
    for (const { firsts, lasts, count } of this.#chunks) {
      for (let at = 0; at < count; at += 1) {
        const before = merged.at(-1)
        if (before !== undefined && before.end === firsts[at]) before.end = lasts[at]! + 1
        else merged.push({ first: firsts[at]!, end: lasts[at]! + 1 })
      }
    }
    return merged
  }

  /** Takes the blocks out of all ranges. */
  #cut(first: number, last: number): void {
    const chunks = this.#chunks
    let from = this.#chunkReaching(first)
    while (from < chunks.length && !this.#cutChunk(chunks[from]!, first, last) && chunks[from]!.count > 0)
      from += 1
    let to = from
    while (to < chunks.length && chunks[to]!.count === 0) {
      to += 1
      if (to < chunks.length) this.#cutChunk(chunks[to]!, first, last)
    }
    if (to > from) this.#drop(from, to)
  }

  /** Returns whether all that could overlap has been seen. */
  #cutChunk(chunk: Chunk, first: number, last: number): boolean {
    const { firsts, lasts } = chunk
    let from = chunk.reaching(first)
    if (from < chunk.count && firsts[from]! < first) {
      const lastBefore = lasts[from]!
      lasts[from] = first - 1
      if (lastBefore > last) {
        this.#insert(last + 1, lastBefore, chunk.sequences[from]!)
        return true
      }
      from += 1
    }
    let to = from
    while (to < chunk.count && lasts[to]! <= last) to += 1
    const isEnd = to < chunk.count
    if (isEnd && firsts[to]! <= last) firsts[to] = last + 1
    chunk.remove(from, to)
    return isEnd
  }

  #drop(from: number, to: number): void {
    this.#chunks.splice(from, to - from)
    if (this.#chunks.length === 0) this.#chunks.push(new Chunk())
  }

  #insert(first: number, last: number, sequence: number): void {
    const index = Math.min(this.#chunkReaching(first), this.#chunks.length - 1)
    let chunk = this.#chunks[index]!
    if (chunk.isFull) {
      const upper = chunk.split()
      this.#chunks.splice(index + 1, 0, upper)
      if (chunk.lasts[chunk.count - 1]! < first) chunk = upper
    }
    chunk.insert(chunk.reaching(first), first, last, sequence)
  }

  /** The first chunk with a range that reaches to the block or lies behind it. */
  #chunkReaching(block: number): number {
    const chunks = this.#chunks
    let low = 0
    let high = chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const chunk = chunks[middle]!
      if (chunk.count === 0 || chunk.lasts[chunk.count - 1]! < block) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Of two sequences as 32 bits: those in one index lie close together. */
export function isBefore(one: number, other: number): boolean {
  return ((one - other) | 0) < 0
}
