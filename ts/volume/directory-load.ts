import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { TREE_HEIGHT_MAX } from '../format/block-pointer.ts'
import { VOLUME_RECORDS_PER_BLOCK, VOLUMES_MAX } from '../format/volume-record.ts'
import type { Volume, VolumeDirectory } from './directory.ts'
import type { Image } from './image.ts'
import { decodeVolumeBlock } from './volume-block.ts'
import { TreeWalk } from './walk.ts'
import { bytesToWords } from './words.ts'

/** Reads the volume directory of the newest superblock. Without all of it the image is unreadable. */
export function* loadDirectory(image: Image): Procedure {
  const { superblock, plex, world, directory } = image
  const path = plex.disks[0]!.disk.path
  const problems: string[] = []
  const walk = new TreeWalk(
    plex,
    world.memory,
    {
      enter: () => true,
      damaged: (block, why) => problems.push(`block ${block.physical} of the volume directory: ${why}`),
      data(block, memory, from) {
        const bytes = memory.bytes.subarray(from, from + BLOCK_SIZE)
        for (const volume of decodeVolumeBlock(bytes, block.firstBlock * VOLUME_RECORDS_PER_BLOCK)) {
          const mistake = volumeMistake(volume, superblock.nextVolume, directory)
          if (mistake === undefined) directory.load(volume)
          else problems.push(`volume ${volume.volume} ${mistake}`)
        }
      },
    },
    image,
  )
  yield* walk.run(bytesToWords(superblock.directory), superblock.directoryHeight)
  walk.close()
  if (problems.length > 0) {
    const text = `${path}: ${problems[0]}`
    throw new StoreError('IMAGE_UNREADABLE', `${text}; see all that is wrong with: pollux check ${path}`)
  }
  directory.nextVolume = superblock.nextVolume
}

/** What is wrong with a record that was read; undefined if nothing is. */
export function volumeMistake(
  volume: Volume,
  nextVolume: number,
  directory: Pick<VolumeDirectory, 'get' | 'find' | 'mistakeInCreate'>,
): string | undefined {
  if (volume.volume >= nextVolume) return 'has a number that was not given out yet'
  if (volume.place >= VOLUMES_MAX) return 'has an impossible place'
  if (directory.get(volume.volume) !== undefined) return 'is there twice'
  if (directory.find(volume.name) !== undefined) return `has a name that is there twice: ${volume.name}`
  if (volume.height > TREE_HEIGHT_MAX) return 'has a tree of impossible height'
  return directory.mistakeInCreate(volume.name, volume.size)?.message
}
