import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import type { SuperblockValues } from '../disk/superblock.ts'
import { VOLUME_RECORDS_PER_BLOCK } from '../format/volume-record.ts'
import { hasBit } from './bits.ts'
import type { Image } from './image.ts'
import { decodeVolumeBlock } from './volume-block.ts'
import { type TreeVisitor, TreeWalk } from './walk.ts'
import { bytesToWords } from './words.ts'

/** Reads the free map; where it does not check, the trees themselves say which blocks are in use. */
export function* loadSpace(image: Image, previous: SuperblockValues | undefined): Procedure {
  const { space, freeMap, superblock } = image
  let isWhole = yield* freeMap.load(superblock, space.bits)
  if (isWhole) isWhole = space.bits.countCurrent() === superblock.usedBlocks
  if (!isWhole) yield* rebuild(image)
  if (previous !== undefined && !(yield* freeMap.loadPrevious(previous, space.bits))) {
    yield* holdPrevious(image, previous)
  }
  space.loaded()
  space.cursor = superblock.cursor
}

/** Walks all trees of the newest generation and marks what they reach. */
function* rebuild(image: Image): Procedure {
  const { space, freeMap, superblock, world, directory } = image
  world.host.event('warn', 'free map damaged', 'the free map does not check and is rebuilt from the trees')
  space.bits.current.fill(0)
  freeMap.distrust()
  const visitor: TreeVisitor = {
    enter(block) {
      if (!space.mark(block.physical)) throw unreadable(image, `block ${block.physical} is used twice`)
      return block.level > 0
    },
    damaged(block, why) {
      throw unreadable(image, `block ${block.physical} is damaged (${why}), so free space cannot be told`)
    },
  }
  const walk = new TreeWalk(image.plex, world.memory, visitor, image)
  try {
    yield* walk.run(bytesToWords(superblock.directory), superblock.directoryHeight)
    for (const volume of directory.list()) yield* walk.run(volume.root, volume.height)
  } finally {
    walk.close()
  }
}

function unreadable(image: Image, what: string): StoreError {
  const path = image.plex.disks[0]!.disk.path
  return new StoreError(
    'IMAGE_UNREADABLE',
    `${path}: ${what}; see all that is wrong with: pollux check ${path}`,
  )
}

/**
 * Holds what only the generation before reaches, from its trees. A block that the newest generation
 * reaches too is the same block in both, and so is everything below it: only the differences are read.
 */
function* holdPrevious(image: Image, previous: SuperblockValues): Procedure {
  const { space, plex, world } = image
  let damaged = 0
  const volumes: { root: Uint32Array; height: number }[] = []
  const hold = (physical: number): boolean => {
    if (hasBit(space.bits.current, physical)) return false
    space.hold(physical)
    return true
  }
  const walk = new TreeWalk(
    plex,
    world.memory,
    {
      enter: (block) => hold(block.physical) && block.level > 0,
      damaged: () => {
        damaged += 1
      },
    },
    image,
  )
  // the directory is small: it is read as a whole, for the roots of all volumes
  const directory = new TreeWalk(
    plex,
    world.memory,
    {
      enter(block) {
        hold(block.physical)
        return true
      },
      damaged: () => {
        damaged += 1
      },
      data(block, memory, from) {
        const bytes = memory.bytes.subarray(from, from + BLOCK_SIZE)
        volumes.push(...decodeVolumeBlock(bytes, block.firstBlock * VOLUME_RECORDS_PER_BLOCK))
      },
    },
    image,
  )
  yield* directory.run(bytesToWords(previous.directory), previous.directoryHeight)
  directory.close()
  for (const { root, height } of volumes) yield* walk.run(root, Math.min(height, 4))
  walk.close()
  if (damaged > 0) {
    const text = `${damaged} blocks of generation ${previous.generation} are damaged`
    world.host.event('warn', 'previous generation damaged', `${text}; it cannot be gone back to`)
  }
}
