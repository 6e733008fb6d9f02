import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import { VOLUME_RECORDS_PER_BLOCK, VOLUMES_MAX } from '../format/volume-record.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import type { FrozenDirectory, FrozenVolume, PublishedTree } from '../volume/directory.ts'
import { encodeVolumeBlock } from '../volume/volume-block.ts'
import type { BlockChanges } from './tree-changes.ts'

const DIRECTORY_BLOCKS_MAX = VOLUMES_MAX / VOLUME_RECORDS_PER_BLOCK
const BLOCKS_PER_SLICE = 4

/** The blocks of the volume directory that a consistency point has to write, as changes of volume 0. */
export class DirectoryChanges {
  readonly #pool: MemoryPool
  readonly #memory: Memory
  readonly #checksums = new Uint32Array(DIRECTORY_BLOCKS_MAX)

  constructor(port: MemoryPort) {
    this.#pool = memoryPool(port)
    this.#memory = this.#pool.borrowAsIs(DIRECTORY_BLOCKS_MAX * BLOCK_SIZE)
  }

  close(): void {
    this.#pool.giveBack(this.#memory)
  }

  /** `trees`: what has become of the volumes that this consistency point has touched. */
  *make(frozen: FrozenDirectory, trees: ReadonlyMap<number, PublishedTree>): Procedure<BlockChanges> {
    const byPlace = new Map(frozen.volumes.map((volume) => [volume.place, volume]))
    const touched = new Set<number>()
    for (const place of frozen.changedPlaces) touched.add(Math.floor(place / VOLUME_RECORDS_PER_BLOCK))
    for (const volume of frozen.volumes) {
      if (trees.has(volume.volume)) touched.add(Math.floor(volume.place / VOLUME_RECORDS_PER_BLOCK))
    }
    const blocks = Uint32Array.from(touched).sort()
    const pages = new Int32Array(blocks.length)
    for (const [index, block] of blocks.entries()) {
      pages[index] = this.#encode(block, byPlace, trees) ? block : -1
      if (index % BLOCKS_PER_SLICE === BLOCKS_PER_SLICE - 1) yield 'again'
    }
    return {
      blocks,
      pages,
      from: 0,
      to: blocks.length,
      pageAddress: (page) => this.#memory.address + page * BLOCK_SIZE,
      pageChecksum: (page) => this.#checksums[page]!,
    }
  }

  /** False: no place of the block is in use, so it becomes a hole. */
  #encode(
    block: number,
    byPlace: ReadonlyMap<number, FrozenVolume>,
    trees: ReadonlyMap<number, PublishedTree>,
  ): boolean {
    const records: (readonly [FrozenVolume, PublishedTree] | undefined)[] = []
    for (let index = 0; index < VOLUME_RECORDS_PER_BLOCK; index += 1) {
      const volume = byPlace.get(block * VOLUME_RECORDS_PER_BLOCK + index)
      records.push(volume && [volume, trees.get(volume.volume) ?? volume])
    }
    if (records.every((record) => record === undefined)) return false
    const bytes = this.#memory.bytes.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
    encodeVolumeBlock(records, bytes)
    this.#checksums[block] = this.#pool.port.checksum(this.#memory.address + block * BLOCK_SIZE, BLOCK_SIZE)
    return true
  }
}
