import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { closeDisks } from '../disk/guarded-disk.ts'
import { readSuperblocks, type SuperblockValues } from '../disk/superblock.ts'
import { PLEX_FILLING, plexWord } from '../format/superblock.ts'
import type { World } from '../ports/world.ts'
import { isWhole, labelledPlex, noSuperblock, openDisks, type Whose } from './open-plexes.ts'

/**
 * The newest image on the disks of one plex, whatever its epoch, if all of it is there. Throws DISK_* and
 * IMAGE_UNREADABLE. Writes nothing; the disks are closed again.
 */
export function* wholeImage(
  world: Pick<World, 'memory' | 'disks'>,
  plex: number,
  paths: readonly string[],
  whose: Whose,
): Procedure<SuperblockValues> {
  const disks = openDisks(world.disks, paths)
  if (disks instanceof StoreError) throw disks
  const labelled = yield* labelledPlex({ memory: world.memory }, plex, disks, whose)
  try {
    const where = paths.join(', ')
    const { newest, newestOf } = yield* readSuperblocks(labelled, Number.POSITIVE_INFINITY, world.memory)
    if (newestOf.some((found) => found !== undefined && plexWord(found, plex) === PLEX_FILLING))
      throw unusable(where, 'a resync was filling it, and has not ended: it is no whole image')
    if (newest === undefined) throw noSuperblock(where)
    if (newest.epoch === 0) throw unusable(where, 'its image is empty, and was never in use')
    const lacking = newestOf.findIndex((found) => !isWhole(found, plex, newest))
    if (lacking >= 0) throw unusable(paths[lacking]!, `it lacks generation ${newest.generation} of its plex`)
    return newest
  } finally {
    yield* closeDisks(world.memory, labelled)
  }
}

const unusable = (where: string, why: string): StoreError =>
  new StoreError('IMAGE_UNREADABLE', `${where}: ${why}`)
