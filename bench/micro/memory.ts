import { NativeMemory } from '../../ts/adapters/memory.ts'
import { MemoryBatch } from '../../ts/base/memory-batch.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Micro } from './harness.ts'

/** Requests that one turn of the engine finds under load. */
const BLOCKS_PER_BATCH = 32

/** A log, which no cache of a processor holds. */
const BATCHES_IN_LOG = 1024

/**
 * What happens to each block of a write: it is copied into the log, and its checksum computed on the way, by
 * the owner, who sends it on, and by its partner, who does not.
 */
const copying = (name: string, copy: 'copyWithChecksums' | 'storeWithChecksums'): Micro => ({
  name,
  per: 'block of 4 KiB',
  prepare: (scale) => {
    const inLog = scale === 'small' ? 2 : BATCHES_IN_LOG
    const batches = 2 * inLog
    const memory = new NativeMemory()
    const from = memory.allocate(BLOCKS_PER_BATCH * BLOCK_SIZE)
    const to = memory.allocate(inLog * BLOCKS_PER_BATCH * BLOCK_SIZE)
    const checksums = memory.allocate(BLOCKS_PER_BATCH * 4)
    for (let word = 0; word < from.u32.length; word += 1) from.u32[word] = Math.imul(word, 2654435761)
    const batch = new MemoryBatch()
    const run = () => {
      for (let round = 0; round < batches; round += 1) {
        const target = to.address + (round % inLog) * BLOCKS_PER_BATCH * BLOCK_SIZE
        for (let block = 0; block < BLOCKS_PER_BATCH; block += 1) {
          const at = block * BLOCK_SIZE
          batch[copy](from.address + at, target + at, 1, checksums.address + block * 4)
        }
        memory.run(batch)
      }
      return batches * BLOCKS_PER_BATCH
    }
    return { run, hash: () => checksums.u32.reduce((mixed, one) => Math.imul(mixed ^ one, 16777619), 0) }
  },
})

export const memoryMicros: readonly Micro[] = [
  copying('memory: copy and checksum', 'copyWithChecksums'),
  copying('memory: store and checksum', 'storeWithChecksums'),
]
