import { assert } from '../base/assert.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'

/** Pages for the pointer blocks that a consistency point makes: 8 MiB, however large it is. */
const ARENA_PAGES = 2048

/**
 * A bounded number of pages. They are given out in the order in which they came back, so that pages
 * taken one after the other mostly lie one behind the other and go to disk as one piece.
 */
export class PageArena {
  readonly memory: Memory
  readonly u32: Uint32Array
  freeCount = ARENA_PAGES
  readonly #queue = new Int32Array(ARENA_PAGES)
  #head = 0
  #tail = 0
  readonly #pool: MemoryPool

  constructor(port: MemoryPort) {
    this.#pool = memoryPool(port)
    this.memory = this.#pool.borrowAsIs(ARENA_PAGES * BLOCK_SIZE)
    this.u32 = this.memory.u32
    for (let page = 0; page < ARENA_PAGES; page += 1) this.#queue[page] = page
  }

  take(): number {
    assert(this.freeCount > 0, 'there is room in the arena')
    const page = this.#queue[this.#head]!
    this.#head = (this.#head + 1) % ARENA_PAGES
    this.freeCount -= 1
    return page
  }

  release(page: number): void {
    this.#queue[this.#tail] = page
    this.#tail = (this.#tail + 1) % ARENA_PAGES
    this.freeCount += 1
    assert(this.freeCount <= ARENA_PAGES, 'a page is released once')
  }

  address(page: number): number {
    return this.memory.address + page * BLOCK_SIZE
  }

  word(page: number): number {
    return page * (BLOCK_SIZE / 4)
  }

  /** To be called when no write is in flight. */
  close(): void {
    this.#pool.giveBack(this.memory)
  }
}
