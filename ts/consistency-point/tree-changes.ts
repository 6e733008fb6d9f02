import type { Procedure } from '../base/procedure.ts'
import { FLAGS, POINTER_WORDS, POINTERS_PER_BLOCK } from '../format/block-pointer.ts'
import { FAILED, WAIT } from '../volume/answers.ts'
import type { BlockCache, Waiter } from '../volume/cache.ts'
import type { FrozenChanges } from '../volume/changes.ts'
import type { PublishedTree } from '../volume/directory.ts'
import { isWithinTree, nodeIndex, reachOf, type Tree } from '../volume/tree.ts'
import type { BlockWriter } from './block-writer.ts'
import { damaged, type SubtreeFreer } from './subtree-freer.ts'
import { OPEN, type TreeEditor } from './tree-editor.ts'

/** Blocks handled before others get a turn; with a pointer block for each that is about a millisecond. */
const BLOCKS_PER_SLICE = 512
/** Pointer blocks asked for ahead. */
const WINDOW = 256

/** Changed blocks of one tree: those at [from, to) of the lists. */
export interface BlockChanges {
  readonly blocks: Uint32Array
  readonly pages: Int32Array
  readonly from: number
  readonly to: number
  pageAddress(page: number): number
  pageChecksum(page: number): number
}

export interface ZeroRange {
  readonly first: number
  readonly end: number
}

export interface EditParts {
  readonly editor: TreeEditor
  readonly freer: SubtreeFreer
  readonly writer: BlockWriter
  readonly cache: BlockCache
  readonly tree: Tree
  readonly waiter: Waiter
}

/** Applies zero ranges and changed blocks to one tree, in one pass from its first block to its last. */
export class TreeChanges {
  readonly #parts: EditParts
  #work = 0
  #ranges: readonly ZeroRange[] = []
  #range = 0
  /** how far the current range has been punched */
  #punched = 0
  #changes: BlockChanges
  #next = 0
  #ahead = 0
  #leavesAhead = 0

  constructor(parts: EditParts) {
    this.#parts = parts
    this.#changes = noChanges
  }

  *apply(
    before: Pick<PublishedTree, 'root' | 'height' | 'mappedBlocks'>,
    heightNeeded: number,
    ranges: readonly ZeroRange[],
    changes: BlockChanges,
  ): Procedure<Pick<PublishedTree, 'root' | 'height' | 'mappedBlocks'>> {
    const { editor } = this.#parts
    yield* this.#ready()
    editor.begin(before.root, before.height, heightNeeded, before.mappedBlocks)
    this.#ranges = ranges
    this.#range = 0
    this.#punched = ranges[0]?.first ?? 0
    this.#changes = changes
    this.#next = changes.from
    this.#ahead = changes.from
    this.#leavesAhead = 0
    while (this.#next < changes.to || this.#range < ranges.length) {
      yield* this.#ready()
      const leafStart = this.#next < changes.to ? this.#leafStart() : Number.POSITIVE_INFINITY
      if (this.#range < ranges.length && this.#punched < leafStart) yield* this.#punchUntil(leafStart)
      else if (!this.#applyLeaf(before)) yield 'wait'
    }
    yield* this.#ready()
    return { root: editor.end(), height: editor.height, mappedBlocks: editor.mappedBlocks }
  }

  /** Waits until a step has room for what it writes. Lets others have a turn now and then. */
  *#ready(): Procedure {
    const { writer } = this.#parts
    if (this.#work >= BLOCKS_PER_SLICE) {
      this.#work = 0
      yield 'again'
    }
    while (!writer.isReady) {
      writer.checkFailure()
      writer.makeRoom()
      yield 'wait'
    }
  }

  #leafStart(): number {
    const block = this.#changes.blocks[this.#next]!
    return block - (block % POINTERS_PER_BLOCK)
  }

  /** Applies the changes under one leaf. False: something has to be read or written first. */
  #applyLeaf(before: Pick<PublishedTree, 'root' | 'height'>): boolean {
    const { editor, writer, waiter } = this.#parts
    const { blocks, pages, to } = this.#changes
    this.#askAhead(before)
    const first = blocks[this.#next]!
    const status = editor.open(first, 1, waiter)
    if (status === WAIT) return false
    if (status === FAILED) throw damaged(first)
    this.#work += 1
    const leafEnd = this.#leafStart() + POINTERS_PER_BLOCK
    this.#zeroInLeaf(leafEnd)
    let next = this.#next
    for (; next < to && blocks[next]! < leafEnd && writer.isReady; next += 1) {
      const page = pages[next]!
      if (page < 0) editor.zero(blocks[next]!)
      else editor.write(blocks[next]!, this.#changes.pageAddress(page), this.#changes.pageChecksum(page))
      this.#work += 1
    }
    const hasMoved = next > this.#next
    this.#next = next
    if (next === to || blocks[next]! >= leafEnd) this.#leavesAhead = Math.max(0, this.#leavesAhead - 1)
    return hasMoved
  }

  /** The part of the ranges that lies in the open leaf. */
  #zeroInLeaf(leafEnd: number): void {
    const { editor } = this.#parts
    while (this.#range < this.#ranges.length && this.#punched < leafEnd) {
      const { end } = this.#ranges[this.#range]!
      const until = Math.min(end, leafEnd)
      for (let block = this.#punched; block < until && isWithinTree(block, editor.height); block += 1) {
        editor.zero(block)
      }
      this.#punchedTo(until)
    }
  }

  #punchedTo(block: number): void {
    this.#punched = block
    if (block < this.#ranges[this.#range]!.end) return
    this.#range += 1
    this.#punched = this.#ranges[this.#range]?.first ?? 0
  }

  /** Punches the current range up to `limit`, whole subtrees at once where they lie within it. */
  *#punchUntil(limit: number): Procedure {
    const { editor, freer, waiter } = this.#parts
    const end = Math.min(limit, this.#ranges[this.#range]!.end)
    let block = this.#punched
    while (block < end && isWithinTree(block, editor.height)) {
      yield* this.#ready()
      this.#work += 1
      const level = this.#wholeLevel(block, end)
      const status = editor.reach(block, level + 1, waiter)
      if (status === WAIT) {
        yield 'wait'
        continue
      }
      if (status === FAILED) throw damaged(block)
      if (status !== OPEN) {
        block = (nodeIndex(block, status) + 1) * reachOf(status)
        continue
      }
      if (level === 0) {
        block = this.#zeroRun(block, end)
        continue
      }
      const at = editor.pointerWord(block, level)
      const pointer = editor.words.slice(at, at + POINTER_WORDS)
      if (pointer[FLAGS] !== 0) {
        yield* freer.free(pointer, level)
        editor.mappedBlocks -= freer.dataBlocks
        editor.clear(block, level)
      }
      block += reachOf(level)
    }
    this.#punchedTo(end)
  }

  #zeroRun(from: number, end: number): number {
    const { editor } = this.#parts
    const leafEnd = from - (from % POINTERS_PER_BLOCK) + POINTERS_PER_BLOCK
    const until = Math.min(end, editor.height === 0 ? from + 1 : leafEnd)
    for (let block = from; block < until; block += 1) editor.zero(block)
    return until
  }

  /** The highest level whose subtree begins at this block, ends before `end`, and has no open node. */
  #wholeLevel(block: number, end: number): number {
    const { editor } = this.#parts
    let level = 0
    while (level < editor.height) {
      const reach = reachOf(level + 1)
      if (block % reach !== 0 || block + reach > end) break
      level += 1
    }
    while (level > 0 && editor.isOpen(block, level)) level -= 1
    return level
  }

  /** Has the pointer blocks of the changes to come read, many at once. */
  #askAhead(before: Pick<PublishedTree, 'root' | 'height'>): void {
    const { tree, cache, waiter } = this.#parts
    const { blocks, to } = this.#changes
    if (before.root[FLAGS] === 0 || before.height === 0) return
    const window = Math.min(WINDOW, cache.frameCount >>> 2)
    if (this.#ahead < this.#next) this.#ahead = this.#next
    while (this.#ahead < to && this.#leavesAhead < window) {
      const block = blocks[this.#ahead]!
      const leaf = block - (block % POINTERS_PER_BLOCK)
      const physical = tree.locate(before.root, before.height, block, 1, waiter)
      if (physical === WAIT) return
      if (physical >= 0) cache.get(physical, tree.checksum, waiter)
      this.#leavesAhead += 1
      while (this.#ahead < to && blocks[this.#ahead]! < leaf + POINTERS_PER_BLOCK) this.#ahead += 1
    }
  }
}

const noChanges: BlockChanges = {
  blocks: new Uint32Array(0),
  pages: new Int32Array(0),
  from: 0,
  to: 0,
  pageAddress: () => 0,
  pageChecksum: () => 0,
}

/** The places of one volume in the frozen changes, without blocks beyond its end. */
export function changesOf(changes: FrozenChanges, volume: number, blockCount: number): BlockChanges {
  const from = firstAtOrAfter(changes, volume, 0)
  const to = firstAtOrAfter(changes, volume, blockCount)
  return {
    blocks: changes.blocks,
    pages: changes.pages,
    from,
    to,
    pageAddress: (page) => changes.pageAddress(page),
    pageChecksum: (page) => changes.pageChecksum(page),
  }
}

function firstAtOrAfter(changes: FrozenChanges, volume: number, block: number): number {
  let low = 0
  let high = changes.count
  while (low < high) {
    const middle = (low + high) >>> 1
    const there = changes.volumes[middle]!
    if (there < volume || (there === volume && changes.blocks[middle]! < block)) low = middle + 1
    else high = middle
  }
  return low
}
