import { NativeMemory } from '../../../ts/adapters/memory.ts'
import { assert } from '../../../ts/base/assert.ts'
import type { Gather } from '../../../ts/base/gather.ts'
import type { MemoryBatch } from '../../../ts/base/memory-batch.ts'
import type { Memory, MemoryPort } from '../../../ts/ports/memory.ts'

/** Real memory whose addresses can be found again. A world that ends gives all of its memory to the next. */
export class ScopeMemory implements MemoryPort {
  static readonly #native = new NativeMemory()
  /** all mappings of this process, by address */
  static readonly #pieces: Memory[] = []
  static readonly #idle = new Map<number, Memory[]>()
  #taken: Memory[] = []

  allocate(byteLength: number): Memory {
    const again = ScopeMemory.#idle.get(byteLength)?.pop()
    again?.bytes.fill(0)
    const memory = again ?? ScopeMemory.#map(byteLength)
    this.#taken.push(memory)
    return memory
  }

  static #map(byteLength: number): Memory {
    const memory = ScopeMemory.#native.allocate(byteLength)
    const pieces = ScopeMemory.#pieces
    const at = pieces.findIndex((piece) => piece.address > memory.address)
    pieces.splice(at < 0 ? pieces.length : at, 0, memory)
    return memory
  }

  /** Nothing of this world runs any more. */
  dispose(): void {
    for (const memory of this.#taken) {
      const same = ScopeMemory.#idle.get(memory.byteLength)
      if (same === undefined) ScopeMemory.#idle.set(memory.byteLength, [memory])
      else same.push(memory)
    }
    this.#taken = []
  }

  run(batch: MemoryBatch): number {
    return ScopeMemory.#native.run(batch)
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return ScopeMemory.#native.checksum(address, byteLength, seed)
  }

  /** The bytes at an address, as far as one mapping goes. */
  bytesAt(address: number, byteLength: number): Uint8Array {
    const pieces = ScopeMemory.#pieces
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
