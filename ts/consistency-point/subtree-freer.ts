import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { CHECKSUM, FLAGS, PHYSICAL, POINTER_WORDS } from '../format/block-pointer.ts'
import type { Plex } from '../plex/plex.ts'
import { WAIT } from '../volume/answers.ts'
import type { BlockCache, Waiter } from '../volume/cache.ts'
import type { Space } from '../volume/space.ts'

const WORDS_PER_BLOCK = BLOCK_SIZE / 4
/** Pointer blocks asked for ahead. */
const WINDOW = 64
const NODES_PER_SLICE = 128

/** Frees whole subtrees: a deleted volume, a trimmed stretch. Reads their pointer blocks, not their data. */
export class SubtreeFreer {
  /** blocks of data freed by the last `free` */
  dataBlocks = 0
  #nodes = 0
  readonly #plex: Plex
  readonly #space: Space
  readonly #cache: BlockCache
  readonly #waiter: Waiter
  /** per level: the pointers of the node that is being freed */
  readonly #pointers = Array.from({ length: 5 }, () => new Uint32Array(WORDS_PER_BLOCK))

  constructor(parts: { plex: Plex; space: Space; cache: BlockCache }, waiter: Waiter) {
    this.#plex = parts.plex
    this.#space = parts.space
    this.#cache = parts.cache
    this.#waiter = waiter
  }

  /** Frees the block that the pointer names, and all below it. Level 0: it is a block of data. */
  *free(pointer: Uint32Array, level: number): Procedure {
    this.dataBlocks = 0
    if (pointer[FLAGS] !== 0) yield* this.#free(pointer[PHYSICAL]!, pointer[CHECKSUM]!, level)
  }

  *#free(physical: number, checksum: number, level: number): Procedure {
    if (!this.#plex.holds(physical)) throw damaged(physical)
    if (level === 0) this.dataBlocks += 1
    else yield* this.#freeNode(physical, checksum, level)
    this.#space.free(physical)
  }

  *#freeNode(physical: number, checksum: number, level: number): Procedure {
    const pointers = this.#pointers[level]!
    let frame = this.#cache.get(physical, checksum, this.#waiter)
    while (frame === WAIT) {
      yield 'wait'
      frame = this.#cache.get(physical, checksum, this.#waiter)
    }
    if (frame < 0) throw damaged(physical)
    const from = this.#cache.frameWord(frame)
    pointers.set(this.#cache.u32.subarray(from, from + WORDS_PER_BLOCK))
    this.#nodes += 1
    if (this.#nodes % NODES_PER_SLICE === 0) yield 'again'
    if (level === 1) return this.#freeData(pointers)
    let asked = 0
    for (let at = 0; at < WORDS_PER_BLOCK; at += POINTER_WORDS) {
      if (pointers[at + FLAGS] === 0) continue
      asked = this.#askAhead(pointers, Math.max(asked, at), at + WINDOW * POINTER_WORDS)
      yield* this.#free(pointers[at + PHYSICAL]!, pointers[at + CHECKSUM]!, level - 1)
    }
  }

  #freeData(pointers: Uint32Array): void {
    for (let at = 0; at < WORDS_PER_BLOCK; at += POINTER_WORDS) {
      if (pointers[at + FLAGS] === 0) continue
      const physical = pointers[at + PHYSICAL]!
      if (!this.#plex.holds(physical)) throw damaged(physical)
      this.#space.free(physical)
      this.dataBlocks += 1
    }
  }

  #askAhead(pointers: Uint32Array, from: number, end: number): number {
    const until = Math.min(end, WORDS_PER_BLOCK)
    for (let at = from; at < until; at += POINTER_WORDS) {
      if (pointers[at + FLAGS] === 0 || !this.#plex.holds(pointers[at + PHYSICAL]!)) continue
      this.#cache.get(pointers[at + PHYSICAL]!, pointers[at + CHECKSUM]!, this.#waiter)
    }
    return until
  }
}

export function damaged(physical: number): StoreError {
  const text = `pointer block ${physical} cannot be read or does not check; the consistency point cannot go on`
  return new StoreError('DISK_CORRUPT', `${text}; see all that is wrong with: pollux check`)
}
