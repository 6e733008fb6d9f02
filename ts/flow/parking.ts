import type { Memory, MemoryPort } from '../ports/memory.ts'

/** Memory for pieces of data that must not be told yet: a bounded number, made when first needed. */
export class Parking {
  readonly #memory: MemoryPort
  readonly #placesMax: number
  readonly #byteLength: number
  readonly #free: Memory[] = []
  #made = 0

  constructor(memory: MemoryPort, placesMax: number, byteLength: number) {
    this.#memory = memory
    this.#placesMax = placesMax
    this.#byteLength = byteLength
  }

  /** Undefined: all are taken. */
  take(): Memory | undefined {
    const free = this.#free.pop()
    if (free !== undefined || this.#made === this.#placesMax) return free
    this.#made += 1
    return this.#memory.allocate(this.#byteLength)
  }

  giveBack(place: Memory): void {
    this.#free.push(place)
  }
}
