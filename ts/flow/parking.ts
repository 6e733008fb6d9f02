import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'

/** Memory for pieces of data that must not be told yet: a bounded number, made when first needed. */
export class Parking {
  readonly #pool: MemoryPool
  readonly #placesMax: number
  readonly #byteLength: number
  readonly #places: Memory[] = []
  readonly #free: Memory[] = []

  constructor(memory: MemoryPort, placesMax: number, byteLength: number) {
    this.#pool = memoryPool(memory)
    this.#placesMax = placesMax
    this.#byteLength = byteLength
  }

  /** Undefined: all are taken. */
  take(): Memory | undefined {
    const free = this.#free.pop()
    if (free !== undefined || this.#places.length === this.#placesMax) return free
    const place = this.#pool.borrowAsIs(this.#byteLength)
    this.#places.push(place)
    return place
  }

  giveBack(place: Memory): void {
    this.#free.push(place)
  }

  /** Nobody reads or writes any more, whoever has not given back: all of it serves others. */
  release(): void {
    this.#free.length = 0
    for (const place of this.#places.splice(0)) this.#pool.giveBack(place)
  }
}
