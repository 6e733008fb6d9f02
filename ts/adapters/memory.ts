import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { MemoryBatch } from '../base/memory-batch.ts'
import { GIB } from '../base/units.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { errnoName, type MappedMemory, native } from './native.ts'

/** One ArrayBuffer holds no more. */
export const MEMORY_BYTES_MAX = 4 * GIB

export function memoryOf(mapped: MappedMemory): Memory {
  const { buffer, address } = mapped
  const bytes = new Uint8Array(buffer)
  return { bytes, u32: new Uint32Array(buffer), address, byteLength: bytes.length }
}

export class NativeMemory implements MemoryPort {
  allocate(byteLength: number): Memory {
    assert(byteLength > 0 && byteLength <= MEMORY_BYTES_MAX, 'a piece of memory has 1 byte to 4 GiB')
    const mapped = native.allocate(byteLength)
    if (typeof mapped !== 'number') return memoryOf(mapped)
    throw new StoreError('NVRAM_UNUSABLE', `no ${byteLength} bytes of memory: ${errnoName(mapped)}`)
  }

  run(batch: MemoryBatch): number {
    if (batch.count === 0) return 0
    const result = native.runBatch(batch.steps, batch.count)
    batch.clear()
    batch.firstFailure = result === 0 ? -1 : result.firstFailure
    return result === 0 ? 0 : result.failures
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return native.checksum(address, byteLength, seed)
  }
}
