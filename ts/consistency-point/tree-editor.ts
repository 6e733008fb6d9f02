import { assert } from '../base/assert.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import {
  BIRTH,
  CHECKSUM,
  FLAGS,
  PHYSICAL,
  POINTER_PRESENT,
  POINTER_WORDS,
  POINTERS_PER_BLOCK,
} from '../format/block-pointer.ts'
import type { Plex } from '../plex/plex.ts'
import type { MemoryPort } from '../ports/memory.ts'
import { FAILED } from '../volume/answers.ts'
import type { BlockCache, Waiter } from '../volume/cache.ts'
import type { Space } from '../volume/space.ts'
import { nodeIndex } from '../volume/tree.ts'
import type { BlockWriter } from './block-writer.ts'
import type { PageArena } from './page-arena.ts'

/** Answer of `open` and `reach`: the path is there. Negative ones are WAIT and FAILED. */
export const OPEN = 0

const CLOSED = -1
const NOWHERE = -1
const LEVELS = 6
const WORDS_PER_BLOCK = BLOCK_SIZE / 4
const INDEX_MASK = POINTERS_PER_BLOCK - 1

/**
 * Makes the next generation of one tree from the current one, in ascending order of blocks. One
 * path of nodes, from the root down, is open at a time; a node that is left and has changed gets a
 * new place, its checksum, and is entered into its parent. What did not change stays where it is.
 */
export class TreeEditor {
  height = 0
  /** data blocks in the tree */
  mappedBlocks = 0
  readonly #plex: Plex
  readonly #space: Space
  readonly #cache: BlockCache
  readonly #arena: PageArena
  readonly #writer: BlockWriter
  readonly #port: MemoryPort
  readonly #generation: number
  readonly #words: Uint32Array
  /** per level, of the open node: arena page, index, the place it had, whether it changed, its pointers */
  readonly #page = new Int32Array(LEVELS).fill(CLOSED)
  readonly #index = new Float64Array(LEVELS)
  readonly #old = new Float64Array(LEVELS)
  readonly #dirty = new Uint8Array(LEVELS)
  readonly #live = new Int32Array(LEVELS)
  /** the root pointer lies in a page of its own, as if it were the only pointer of a node above the root */
  readonly #top: number

  constructor(
    parts: { plex: Plex; space: Space; cache: BlockCache; arena: PageArena; writer: BlockWriter },
    port: MemoryPort,
    generation: number,
  ) {
    this.#plex = parts.plex
    this.#space = parts.space
    this.#cache = parts.cache
    this.#arena = parts.arena
    this.#writer = parts.writer
    this.#port = port
    this.#generation = generation
    this.#words = parts.arena.u32
    this.#top = parts.arena.take()
  }

  /** Begins with a tree; it grows to `heightNeeded` if it is lower. */
  begin(root: Uint32Array, height: number, heightNeeded: number, mappedBlocks: number): void {
    this.height = Math.max(height, heightNeeded)
    this.mappedBlocks = mappedBlocks
    const top = this.#arena.word(this.#top)
    this.#words.fill(0, top, top + WORDS_PER_BLOCK)
    this.#page[this.height + 1] = this.#top
    this.#index[this.height + 1] = 0
    if (root[FLAGS] === 0 || height >= heightNeeded) {
      this.#words.set(root, top)
      return
    }
    for (let level = this.height; level > height; level -= 1) this.#openFresh(level, 0)
    this.#words.set(root, this.#entry(0, height))
    this.#live[height + 1] = 1
    this.#dirty[height + 1] = 1
  }

  /** Closes everything. Returns the new root pointer. */
  end(): Uint32Array {
    for (let level = 1; level <= this.height; level += 1) this.#close(level)
    const top = this.#arena.word(this.#top)
    this.#page[this.height + 1] = CLOSED
    return this.#words.slice(top, top + POINTER_WORDS)
  }

  /** After a failure: lets go of everything. */
  abandon(): void {
    for (let level = 1; level < LEVELS; level += 1) {
      const page = this.#page[level]!
      if (page !== CLOSED && page !== this.#top) this.#arena.release(page)
      this.#page[level] = CLOSED
    }
    this.release()
  }

  /** The editor is not used any more. */
  release(): void {
    this.#arena.release(this.#top)
  }

  /** Opens the path to the node of the given level above a block, making nodes where there are none. */
  open(block: number, level: number, waiter: Waiter): number {
    this.#leave(block)
    for (let each = this.height; each >= level; each -= 1) {
      if (this.#page[each] !== CLOSED) continue
      const status = this.#openNode(block, each, waiter)
      if (status < 0) return status
    }
    return OPEN
  }

  /** The same, but ends at a hole: returns the level of what is not there, or OPEN, WAIT or FAILED. */
  reach(block: number, level: number, waiter: Waiter): number {
    this.#leave(block)
    for (let each = this.height; each >= level; each -= 1) {
      if (this.#page[each] !== CLOSED) continue
      if (this.#words[this.#entry(block, each) + FLAGS] === 0) return each
      const status = this.#openNode(block, each, waiter)
      if (status < 0) return status
    }
    return OPEN
  }

  /** Whether the node of this level above the block is open. */
  isOpen(block: number, level: number): boolean {
    return level >= 1 && this.#page[level] !== CLOSED && this.#index[level] === nodeIndex(block, level)
  }

  /** Where the pointer to the subtree of this level is, in words of the arena; its parent is open. */
  pointerWord(block: number, level: number): number {
    return this.#entry(block, level)
  }

  get words(): Uint32Array {
    return this.#words
  }

  /** Puts a block of data into the open leaf; the block that was there is freed. */
  write(block: number, address: number, checksum: number): void {
    const at = this.#entry(block, 0)
    const words = this.#words
    if (words[at + FLAGS] === 0) {
      this.mappedBlocks += 1
      this.#live[1] = this.#live[1]! + 1
    } else {
      this.#space.free(words[at + PHYSICAL]!)
    }
    words[at + PHYSICAL] = this.#writer.data(address)
    words[at + FLAGS] = POINTER_PRESENT
    words[at + BIRTH] = this.#generation
    words[at + CHECKSUM] = checksum
    this.#dirty[1] = 1
  }

  /** Makes a hole of a block in the open leaf. */
  zero(block: number): void {
    const at = this.#entry(block, 0)
    if (this.#words[at + FLAGS] === 0) return
    this.#space.free(this.#words[at + PHYSICAL]!)
    this.mappedBlocks -= 1
    this.clear(block, 0)
  }

  /** Forgets a pointer whose subtree of this level has been freed. */
  clear(block: number, level: number): void {
    const at = this.#entry(block, level)
    this.#words.fill(0, at, at + POINTER_WORDS)
    this.#live[level + 1] = this.#live[level + 1]! - 1
    this.#dirty[level + 1] = 1
  }

  #entry(block: number, level: number): number {
    const node = this.#arena.word(this.#page[level + 1]!)
    return level === this.height ? node : node + (nodeIndex(block, level) & INDEX_MASK) * POINTER_WORDS
  }

  /** Closes the open nodes that do not lie on the path to this block. */
  #leave(block: number): void {
    let highest = 0
    for (let level = 1; level <= this.height; level += 1) {
      if (this.#page[level] !== CLOSED && this.#index[level] !== nodeIndex(block, level)) highest = level
    }
    for (let level = 1; level <= highest; level += 1) this.#close(level)
  }

  #openFresh(level: number, index: number): void {
    const page = this.#arena.take()
    const word = this.#arena.word(page)
    this.#words.fill(0, word, word + WORDS_PER_BLOCK)
    this.#page[level] = page
    this.#index[level] = index
    this.#old[level] = NOWHERE
    this.#live[level] = 0
    this.#dirty[level] = 0
  }

  #openNode(block: number, level: number, waiter: Waiter): number {
    const at = this.#entry(block, level)
    if (this.#words[at + FLAGS] === 0) {
      this.#openFresh(level, nodeIndex(block, level))
      return OPEN
    }
    const physical = this.#words[at + PHYSICAL]!
    if (!this.#plex.holds(physical)) return FAILED
    const frame = this.#cache.get(physical, this.#words[at + CHECKSUM]!, waiter)
    if (frame < 0) return frame
    const page = this.#arena.take()
    const word = this.#arena.word(page)
    const from = this.#cache.frameWord(frame)
    this.#words.set(this.#cache.u32.subarray(from, from + WORDS_PER_BLOCK), word)
    this.#page[level] = page
    this.#index[level] = nodeIndex(block, level)
    this.#old[level] = physical
    this.#dirty[level] = 0
    let live = 0
    for (let entry = word + FLAGS; entry < word + WORDS_PER_BLOCK; entry += POINTER_WORDS) {
      if (this.#words[entry] !== 0) live += 1
    }
    this.#live[level] = live
    return OPEN
  }

  #close(level: number): void {
    const page = this.#page[level]!
    if (page === CLOSED) return
    const block = this.#index[level]! * POINTERS_PER_BLOCK ** level
    const at = this.#entry(block, level)
    this.#page[level] = CLOSED
    if (this.#dirty[level] === 0) return this.#arena.release(page)
    this.#freeOld(level)
    const wasThere = this.#words[at + FLAGS] !== 0
    if (this.#live[level] === 0) {
      this.#arena.release(page)
      if (wasThere) this.clear(block, level)
      return
    }
    this.#enter(at, page)
    if (!wasThere) this.#live[level + 1] = this.#live[level + 1]! + 1
    this.#dirty[level + 1] = 1
  }

  #freeOld(level: number): void {
    const physical = this.#old[level]!
    if (physical === NOWHERE) return
    this.#space.free(physical)
    this.#cache.fade(physical)
  }

  /** Gives a finished node its place and points to it. */
  #enter(at: number, page: number): void {
    const checksum = this.#port.checksum(this.#arena.address(page), BLOCK_SIZE)
    const physical = this.#writer.metadata(page)
    assert(this.#plex.holds(physical), 'a block is placed where there are blocks')
    this.#cache.put(physical, checksum, this.#arena.memory, page * BLOCK_SIZE)
    this.#words[at + PHYSICAL] = physical
    this.#words[at + FLAGS] = POINTER_PRESENT
    this.#words[at + BIRTH] = this.#generation
    this.#words[at + CHECKSUM] = checksum
  }
}
