import { roundDown } from '../base/units.ts'
import {
  BIRTH,
  CHECKSUM,
  FLAGS,
  PHYSICAL,
  POINTER_PRESENT,
  POINTER_WORDS,
  POINTERS_PER_BLOCK,
  POINTERS_SHIFT,
} from '../format/block-pointer.ts'
import type { Plex } from '../plex/plex.ts'
import { FAILED, HOLE, MAPPED } from './answers.ts'
import type { BlockCache, Waiter } from './cache.ts'

/** Index, among all nodes of its level, of the node that `block` lies under. */
export function nodeIndex(block: number, level: number): number {
  return level >= LEVEL_OVER_ALL ? 0 : block >>> (level * POINTERS_SHIFT)
}

/** A pointer of this level would have every possible block under it. */
const LEVEL_OVER_ALL = 4

/**
 * Whoever reads a whole tree looks up a block again after it FAILED, so often: the cache remembers a failure
 * for a while, and has asked the disk again by then.
 */
export const FAILURES_MAX = 20

/** Data blocks under one pointer of the given level. */
export const reachOf = (level: number): number => POINTERS_PER_BLOCK ** level

/** The first block that does not lie under the node of this level that `block` lies under. */
export const nextUnder = (block: number, level: number): number =>
  roundDown(block, reachOf(level)) + reachOf(level)

/** Whether a tree of this height has a place for the block. */
export const isWithinTree = (block: number, height: number): boolean => block < reachOf(height)

/**
 * Finds where a block of a volume is on disk. What was found is left in fields, so that a look-up
 * allocates nothing.
 */
export class Tree {
  checksum = 0
  birth = 0
  /** after HOLE: the level of the node that is not there; nothing under it is */
  holeLevel = 0
  /** the first block behind those that `probe` has found to be like the one asked for */
  runEnd = 0
  readonly #cache: BlockCache
  readonly #plex: Plex

  constructor(cache: BlockCache, plex: Plex) {
    this.#cache = cache
    this.#plex = plex
  }

  /** The physical block of a volume's block, or HOLE, WAIT or FAILED (of the cache). */
  resolve(root: Uint32Array, height: number, block: number, waiter: Waiter | undefined): number {
    return this.locate(root, height, block, 0, waiter)
  }

  /** The same for the pointer block of a given level above the block. */
  locate(
    root: Uint32Array,
    height: number,
    block: number,
    downTo: number,
    waiter: Waiter | undefined,
  ): number {
    this.holeLevel = LEVEL_OVER_ALL
    if (!isWithinTree(block, height)) return HOLE
    let words = root
    let at = 0
    for (let level = height; ; level -= 1) {
      if (words[at + FLAGS] === 0) {
        this.holeLevel = level
        return HOLE
      }
      const physical = words[at + PHYSICAL]!
      const checksum = words[at + CHECKSUM]!
      const birth = words[at + BIRTH]!
      if (words[at + FLAGS] !== POINTER_PRESENT || !this.#plex.holds(physical)) {
        this.#cache.onDamage(physical, 'pointer')
        return FAILED
      }
      if (level === downTo) {
        this.checksum = checksum
        this.birth = birth
        return physical
      }
      const frame = this.#cache.get(physical, checksum, waiter)
      if (frame < 0) return frame
      words = this.#cache.u32
      at =
        this.#cache.frameWord(frame) +
        (nodeIndex(block, level - 1) & (POINTERS_PER_BLOCK - 1)) * POINTER_WORDS
    }
  }

  /**
   * Whether a block of a volume is on disk: MAPPED or HOLE, found without reading any data, or WAIT or
   * FAILED. `runEnd` is how far at least the same is so.
   */
  probe(root: Uint32Array, height: number, block: number, waiter: Waiter): number {
    if (!isWithinTree(block, height)) {
      this.runEnd = Number.POSITIVE_INFINITY
      return HOLE
    }
    if (root[FLAGS] === 0) {
      this.runEnd = reachOf(height)
      return HOLE
    }
    if (height === 0) {
      this.runEnd = 1
      return MAPPED
    }
    for (let level = height - 1; ; level -= 1) {
      const frame = this.#frameAbove(root, height, block, level, waiter)
      if (frame < 0) return frame
      const index = nodeIndex(block, level)
      const place = index & (POINTERS_PER_BLOCK - 1)
      const first = this.#cache.frameWord(frame)
      const isHole = this.#cache.u32[first + place * POINTER_WORDS + FLAGS] === 0
      if (!isHole && level > 0) continue
      this.runEnd = (index + this.#alike(first, place, isHole)) * reachOf(level)
      return isHole ? HOLE : MAPPED
    }
  }

  /** The frame of the pointer block above the block that points to nodes of `level`. */
  #frameAbove(root: Uint32Array, height: number, block: number, level: number, waiter: Waiter): number {
    const physical = this.locate(root, height, block, level + 1, waiter)
    return physical < 0 ? physical : this.#cache.get(physical, this.checksum, waiter)
  }

  /** How many pointers of a block from one on are holes, or are none. */
  #alike(first: number, place: number, isHole: boolean): number {
    const { u32 } = this.#cache
    let next = place + 1
    while (next < POINTERS_PER_BLOCK && (u32[first + next * POINTER_WORDS + FLAGS] === 0) === isHole)
      next += 1
    return next - place
  }
}
