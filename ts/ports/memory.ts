import type { MemoryBatch } from '../base/memory-batch.ts'

/** A page-aligned piece of memory that JavaScript, the addon and the kernel all see at once. */
export interface Memory {
  readonly bytes: Uint8Array
  readonly u32: Uint32Array
  /** Where it starts, for `Gather`, `MemoryBatch`, disks and streams. Never 0. */
  readonly address: number
  readonly byteLength: number
}

export interface MemoryPort {
  /** Zeroed, page-aligned, kept until the process ends. Untouched pages cost nothing. */
  allocate(byteLength: number): Memory
  /** Carries out all steps in order and clears the batch. Returns the number of failed verifications. */
  run(batch: MemoryBatch): number
  /** CRC32C (Castagnoli) of bytes in a `Memory`, continued from `seed`. */
  checksum(address: number, byteLength: number, seed?: number): number
}
