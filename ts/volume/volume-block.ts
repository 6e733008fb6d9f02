import { BLOCK_SIZE } from '../base/units.ts'
import { heightFor } from '../format/block-pointer.ts'
import { VOLUME_RECORDS_PER_BLOCK, VolumeRecord } from '../format/volume-record.ts'
import type { FrozenVolume, PublishedTree, Volume } from './directory.ts'
import { bytesToWords, wordsToBytes } from './words.ts'

/** Writes one block of the volume directory. `records`: one per place; undefined: the place is free. */
export function encodeVolumeBlock(
  records: readonly (readonly [FrozenVolume, PublishedTree] | undefined)[],
  into: Uint8Array,
): void {
  into.fill(0)
  for (const [index, record] of records.entries()) {
    if (record === undefined) continue
    const [volume, tree] = record
    const name = new TextEncoder().encode(volume.name)
    VolumeRecord.encode(
      {
        volume: volume.volume,
        flags: 0,
        nameByteLength: name.length,
        height: tree.height,
        size: volume.size,
        mappedBlocks: tree.mappedBlocks,
        root: wordsToBytes(tree.root),
        identity: volume.identity,
        createdIn: tree.createdIn,
        reserved: 0,
        name,
        rest: new Uint8Array(0),
      },
      into,
      index * VolumeRecord.byteLength,
    )
  }
}

/** Reads one block of the directory; free places are left out. */
export function decodeVolumeBlock(block: Uint8Array, firstPlace: number): Volume[] {
  const volumes: Volume[] = []
  for (let index = 0; index < VOLUME_RECORDS_PER_BLOCK; index += 1) {
    const record = VolumeRecord.decode(block, index * VolumeRecord.byteLength)
    if (record.volume === 0) continue
    const { volume, size, height, mappedBlocks, identity, createdIn, nameByteLength } = record
    volumes.push({
      volume,
      place: firstPlace + index,
      name: new TextDecoder().decode(record.name.subarray(0, nameByteLength)),
      size,
      identity,
      createdIn,
      root: bytesToWords(record.root),
      height,
      mappedBlocks,
      heightNeeded: Math.max(height, heightFor(size / BLOCK_SIZE)),
    })
  }
  return volumes
}
