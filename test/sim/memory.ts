import { NativeMemory } from '../../ts/adapters/memory.ts'
import { assert } from '../../ts/base/assert.ts'
import type { Gather } from '../../ts/base/gather.ts'
import type { MemoryBatch } from '../../ts/base/memory-batch.ts'
import type { Memory, MemoryPort } from '../../ts/ports/memory.ts'

/** Real memory with the addon's checksums, but every address can be found again: the kernel of this world. */
export class SimMemory implements MemoryPort {
  readonly #native = new NativeMemory()
  readonly #pieces: Memory[] = []
  #free = new Map<number, Memory[]>()

  allocate(byteLength: number): Memory {
    const again = this.#free.get(byteLength)?.pop()
    if (again !== undefined) {
      again.bytes.fill(0)
      return again
    }
    const memory = this.#native.allocate(byteLength)
    const at = this.#pieces.findIndex((piece) => piece.address > memory.address)
    this.#pieces.splice(at < 0 ? this.#pieces.length : at, 0, memory)
    return memory
  }

  /** All memory is free for the next world; mappings are kept, since making them is slow. */
  recycle(): void {
    this.#free = new Map()
    for (const piece of this.#pieces) {
      const same = this.#free.get(piece.byteLength)
      if (same === undefined) this.#free.set(piece.byteLength, [piece])
      else same.push(piece)
    }
  }

  run(batch: MemoryBatch): number {
    return this.#native.run(batch)
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return this.#native.checksum(address, byteLength, seed)
  }

  /** The bytes at an address. */
  bytesAt(address: number, byteLength: number): Uint8Array {
    let low = 0
    let high = this.#pieces.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#pieces[middle]!.address <= address) low = middle + 1
      else high = middle
    }
    const piece = this.#pieces[low - 1]
    assert(
      piece !== undefined && address + byteLength <= piece.address + piece.byteLength,
      'I/O stays in its memory',
    )
    return piece.bytes.subarray(address - piece.address, address - piece.address + byteLength)
  }

  /** What a gather list describes, as one copy. */
  gathered(from: Gather): Uint8Array {
    const all = new Uint8Array(from.byteLength)
    let at = 0
    for (let i = 0; i < from.count; i += 1) {
      all.set(this.bytesAt(from.addresses[i]!, from.lengths[i]!), at)
      at += from.lengths[i]!
    }
    return all
  }

  scatter(bytes: Uint8Array, into: Gather): void {
    let at = 0
    for (let i = 0; i < into.count; i += 1) {
      const length = into.lengths[i]!
      this.bytesAt(into.addresses[i]!, length).set(bytes.subarray(at, at + length))
      at += length
    }
  }
}
