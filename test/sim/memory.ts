import { NativeMemory } from '../../ts/adapters/memory.ts'
import { assert } from '../../ts/base/assert.ts'
import type { Gather } from '../../ts/base/gather.ts'
import type { MemoryBatch } from '../../ts/base/memory-batch.ts'
import type { Memory, MemoryPort } from '../../ts/ports/memory.ts'

/** Real memory with the addon's checksums, but every address can be found again: the kernel of this world. */
export class SimMemory implements MemoryPort {
  readonly #native = new NativeMemory()
  /** all mappings of this process, by address: worlds follow each other and use them again */
  static readonly #pieces: Memory[] = []
  readonly #free = new Map<number, Memory[]>()

  /** Of one world. Everything that earlier worlds had is free. */
  constructor() {
    for (const piece of SimMemory.#pieces) this.giveBack(piece)
  }

  allocate(byteLength: number): Memory {
    const again = this.#free.get(byteLength)?.pop()
    if (again !== undefined) {
      again.bytes.fill(0)
      return again
    }
    const memory = this.#native.allocate(byteLength)
    const at = SimMemory.#pieces.findIndex((piece) => piece.address > memory.address)
    SimMemory.#pieces.splice(at < 0 ? SimMemory.#pieces.length : at, 0, memory)
    return memory
  }

  giveBack(piece: Memory): void {
    const same = this.#free.get(piece.byteLength)
    if (same === undefined) this.#free.set(piece.byteLength, [piece])
    else same.push(piece)
  }

  run(batch: MemoryBatch): number {
    return this.#native.run(batch)
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return this.#native.checksum(address, byteLength, seed)
  }

  /** The bytes at an address, as far as one mapping goes. */
  bytesAt(address: number, byteLength: number): Uint8Array {
    const pieces = SimMemory.#pieces
    let low = 0
    let high = pieces.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (pieces[middle]!.address <= address) low = middle + 1
      else high = middle
    }
    const piece = pieces[low - 1]
    assert(piece !== undefined && address < piece.address + piece.byteLength, 'I/O stays in memory')
    const from = address - piece.address
    return piece.bytes.subarray(from, Math.min(from + byteLength, piece.byteLength))
  }

  /** What a gather list describes, as one copy. */
  gathered(from: Gather): Uint8Array {
    const all = new Uint8Array(from.byteLength)
    let at = 0
    for (const bytes of this.#stretches(from)) {
      all.set(bytes, at)
      at += bytes.length
    }
    return all
  }

  scatter(bytes: Uint8Array, into: Gather): void {
    let at = 0
    for (const target of this.#stretches(into)) {
      target.set(bytes.subarray(at, at + target.length))
      at += target.length
    }
  }

  /** Mappings that happen to be neighbours are joined in a gather list, so a piece may lie in two of them. */
  *#stretches(list: Gather): Generator<Uint8Array> {
    for (let i = 0; i < list.count; i += 1) {
      let address = list.addresses[i]!
      for (let left = list.lengths[i]!; left > 0; ) {
        const bytes = this.bytesAt(address, left)
        yield bytes
        address += bytes.length
        left -= bytes.length
      }
    }
  }
}

/** What one thread of a process has allocated: it goes back to the world when the process dies. */
export class ProcessMemory implements MemoryPort {
  byteLength = 0
  readonly #world: SimMemory
  readonly #pieces: Memory[] = []

  constructor(world: SimMemory) {
    this.#world = world
  }

  allocate(byteLength: number): Memory {
    const memory = this.#world.allocate(byteLength)
    this.#pieces.push(memory)
    this.byteLength += byteLength
    return memory
  }

  run(batch: MemoryBatch): number {
    return this.#world.run(batch)
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return this.#world.checksum(address, byteLength, seed)
  }

  giveBackAll(): void {
    for (const piece of this.#pieces.splice(0)) this.#world.giveBack(piece)
    this.byteLength = 0
  }
}
