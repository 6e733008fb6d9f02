import { crc32c } from '../base/crc32c.ts'
import type { SuperblockValues } from '../disk/superblock.ts'
import { superblockSlot } from '../format/superblock.ts'
import type { FrozenDirectory, PublishedTree } from '../volume/directory.ts'
import type { Image } from '../volume/image.ts'
import { wordsToBytes } from '../volume/words.ts'

interface NextFacts {
  readonly epoch: number
  readonly generation: number
  readonly lastSequence: number
  readonly node: Uint8Array
  readonly wallMs: number
}

/** The superblock of the generation whose blocks have all been written. */
export function nextSuperblock(
  image: Image,
  frozen: FrozenDirectory,
  directory: PublishedTree,
  facts: NextFacts,
): SuperblockValues {
  const { superblock, space, freeMap, copies, plex } = image
  const { epoch, generation, lastSequence, node, wallMs } = facts
  const map = freeMap.superblockFields()
  const directoryPointer = wordsToBytes(directory.root)
  return {
    ...superblock,
    ...map,
    ...copies.words(generation),
    seal: 0,
    slot: superblockSlot(epoch, generation),
    node,
    epoch,
    generation,
    lastSequence,
    root: crc32c(map.mapIndex, 0, map.mapIndex.length, crc32c(directoryPointer)),
    nextVolume: frozen.nextVolume,
    directory: directoryPointer,
    directoryHeight: directory.height,
    directoryBlocks: directory.mappedBlocks,
    blockCount: plex.blockCount,
    usedBlocks: space.usedNext,
    cursor: space.cursor,
    writtenAtMs: wallMs,
  }
}
