import { assert } from '../../../ts/base/assert.ts'
import { crc32c } from '../../../ts/base/crc32c.ts'
import type { Gather } from '../../../ts/base/gather.ts'
import { type MemoryBatch, MemoryOp, STEP_WORDS } from '../../../ts/base/memory-batch.ts'
import { BLOCK_SIZE, roundUp } from '../../../ts/base/units.ts'
import type { Memory, MemoryPort } from '../../../ts/ports/memory.ts'

const FIRST_ADDRESS = 0x7000_0000_0000

/** Memory without the addon: addresses are made up, and every step stays inside of what was allocated. */
export class MemoryTwin implements MemoryPort {
  readonly #pieces: Memory[] = []
  #next = FIRST_ADDRESS

  allocate(byteLength: number): Memory {
    const bytes = new Uint8Array(roundUp(byteLength, BLOCK_SIZE))
    const memory = { bytes, u32: new Uint32Array(bytes.buffer), address: this.#next, byteLength }
    // A gap behind every piece: running over the end never hits the next one.
    this.#next += bytes.length + 16 * BLOCK_SIZE
    this.#pieces.push(memory)
    return memory
  }

  run(batch: MemoryBatch): number {
    let failures = 0
    batch.firstFailure = -1
    for (let index = 0; index < batch.count; index += 1) {
      const at = index * STEP_WORDS
      if (this.#step(batch.steps.subarray(at, at + STEP_WORDS))) continue
      if (failures === 0) batch.firstFailure = index
      failures += 1
    }
    batch.clear()
    return failures
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return crc32c(this.at(address, byteLength), 0, byteLength, seed)
  }

  at(address: number, byteLength: number): Uint8Array {
    if (byteLength === 0) return new Uint8Array(0)
    const piece = this.#pieces.find(
      (one) => address >= one.address && address < one.address + one.bytes.length,
    )
    assert(piece !== undefined, `there is memory at ${address}`)
    const from = address - piece.address
    assert(from + byteLength <= piece.bytes.length, 'a step stays inside of its memory')
    return piece.bytes.subarray(from, from + byteLength)
  }

  gathered(from: Gather): Uint8Array {
    const parts: Uint8Array[] = []
    for (let i = 0; i < from.count; i += 1) parts.push(this.at(from.addresses[i]!, from.lengths[i]!))
    return new Uint8Array(Buffer.concat(parts))
  }

  scatter(bytes: Uint8Array, into: Gather): void {
    for (let i = 0, done = 0; i < into.count; done += into.lengths[i]!, i += 1)
      this.at(into.addresses[i]!, into.lengths[i]!).set(bytes.subarray(done, done + into.lengths[i]!))
  }

  #step(step: Float64Array): boolean {
    const [op, a, b, c, d, e] = Array.from(step) as [number, number, number, number, number, number]
    switch (op) {
      case MemoryOp.COPY:
        this.at(b, c).set(this.at(a, c).slice())
        return true
      case MemoryOp.COPY_CHECKSUM:
        this.at(b, c * BLOCK_SIZE).set(this.at(a, c * BLOCK_SIZE).slice())
        for (let i = 0; i < c; i += 1) this.#store(d + i * 4, this.checksum(b + i * BLOCK_SIZE, BLOCK_SIZE))
        return true
      case MemoryOp.SEAL:
        this.#store(e, this.checksum(c, d, this.checksum(a, b)))
        return true
      case MemoryOp.VERIFY_SEAL:
        return this.#load(e) === this.checksum(c, d, this.checksum(a, b))
      case MemoryOp.VERIFY_BLOCKS:
        for (let i = 0; i < b; i += 1)
          if (this.#load(c + i * 4) !== this.checksum(a + i * BLOCK_SIZE, BLOCK_SIZE)) return false
        return true
      case MemoryOp.ZERO:
        this.at(a, b).fill(0)
        return true
      default:
        return false
    }
  }

  #store(address: number, value: number): void {
    const bytes = this.at(address, 4)
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, value, true)
  }

  #load(address: number): number {
    const bytes = this.at(address, 4)
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  }
}
