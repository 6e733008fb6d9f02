import { NativeMemory } from '../../ts/adapters/memory.ts'
import { assert } from '../../ts/base/assert.ts'
import type { Gather } from '../../ts/base/gather.ts'
import type { MemoryBatch } from '../../ts/base/memory-batch.ts'
import type { Memory, MemoryPort } from '../../ts/ports/memory.ts'

const native = new NativeMemory()

/** Real memory whose addresses can be found again. What is given back is used by those who come later. */
export class Mappings {
  /** by address */
  readonly #pieces: Memory[] = []
  readonly #idle = new Map<number, Memory[]>()

  take(byteLength: number): Memory {
    const again = this.#idle.get(byteLength)?.pop()
    if (again !== undefined) {
      again.bytes.fill(0)
      return again
    }
    const memory = native.allocate(byteLength)
    const at = this.#pieces.findIndex((piece) => piece.address > memory.address)
    this.#pieces.splice(at < 0 ? this.#pieces.length : at, 0, memory)
    return memory
  }

  giveBack(piece: Memory): void {
    const same = this.#idle.get(piece.byteLength)
    if (same === undefined) this.#idle.set(piece.byteLength, [piece])
    else same.push(piece)
  }

  /** Whoever has used it is gone. */
  giveBackAll(): void {
    this.#idle.clear()
    for (const piece of this.#pieces) this.giveBack(piece)
  }

  /** The bytes at an address, as far as one mapping goes. */
  bytesAt(address: number, byteLength: number): Uint8Array {
    const pieces = this.#pieces
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
}

/** What one thread of a process, or one world, has allocated, with the addon's checksums. */
export class SimMemory implements MemoryPort {
  byteLength = 0
  readonly #mappings: Mappings
  readonly #taken = new Set<Memory>()

  constructor(mappings: Mappings) {
    this.#mappings = mappings
  }

  allocate(byteLength: number): Memory {
    const memory = this.#mappings.take(byteLength)
    this.#taken.add(memory)
    this.byteLength += byteLength
    return memory
  }

  giveBack(piece: Memory): void {
    assert(this.#taken.delete(piece), 'memory goes back once, by whom it was allocated')
    this.byteLength -= piece.byteLength
    this.#mappings.giveBack(piece)
  }

  /** The process has ended, or the world. */
  giveBackAll(): void {
    for (const piece of this.#taken) this.giveBack(piece)
  }

  run(batch: MemoryBatch): number {
    return native.run(batch)
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return native.checksum(address, byteLength, seed)
  }

  bytesAt(address: number, byteLength: number): Uint8Array {
    return this.#mappings.bytesAt(address, byteLength)
  }

  /** What a gather list describes, as one copy. */
  gathered(from: Gather): Uint8Array {
    const all = new Uint8Array(from.byteLength)
    let at = 0
    this.#visit(from, (bytes) => {
      all.set(bytes, at)
      at += bytes.length
    })
    return all
  }

  /** Copies parts, one behind the other, to where a gather list says. */
  scatter(parts: readonly Uint8Array[], into: Gather): void {
    let place = 0
    let from = 0
    this.#visit(into, (target) => {
      for (let at = 0; at < target.length; ) {
        const part = parts[place]!
        const bytes = part.subarray(from, from + target.length - at)
        target.set(bytes, at)
        at += bytes.length
        from += bytes.length
        if (from < part.length) continue
        place += 1
        from = 0
      }
    })
  }

  /** Mappings that happen to be neighbours are joined in a gather list, so a piece may lie in two of them. */
  #visit(list: Gather, visit: (bytes: Uint8Array) => void): void {
    for (let i = 0; i < list.count; i += 1) {
      let address = list.addresses[i]!
      for (let left = list.lengths[i]!; left > 0; ) {
        const bytes = this.bytesAt(address, left)
        visit(bytes)
        address += bytes.length
        left -= bytes.length
      }
    }
  }
}
