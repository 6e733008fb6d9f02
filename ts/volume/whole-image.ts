import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { closeDisks } from '../disk/guarded-disk.ts'
import type { LabelledDisk } from '../disk/labelled-disk.ts'
import { readSuperblocks, type SuperblockValues } from '../disk/superblock.ts'
import { diskCountOf } from '../disk/zones.ts'
import { PLEX_FILLING, plexWord } from '../format/superblock.ts'
import type { MemoryPort } from '../ports/memory.ts'
import type { World } from '../ports/world.ts'
import { reachMistake } from './added-disks.ts'
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
    return yield* wholeOf(labelled, plex, world.memory)
  } finally {
    yield* closeDisks(world.memory, labelled)
  }
}

/** The same of disks that are open. */
export function* wholeOf(
  disks: readonly LabelledDisk[],
  plex: number,
  memory: MemoryPort,
): Procedure<SuperblockValues> {
  const where = disks.map(({ disk }) => disk.path).join(', ')
  const { newest, newestOf } = yield* readSuperblocks(disks, Number.POSITIVE_INFINITY, memory)
  if (newestOf.some((found) => found !== undefined && plexWord(found, plex) === PLEX_FILLING))
    throw unusable(where, 'a resync was filling it, and has not ended: it is no whole image')
  if (newest === undefined) throw noSuperblock(where)
  if (newest.epoch === 0) throw unusable(where, 'its image is empty, and was never in use')
  const mistake = reachMistake(disks, newest)
  if (mistake !== undefined) throw unusable(where, mistake)
  const zones = disks.map((disk) => disk.zones)
  // disks that were added since are empty, and lack nothing
  for (const [index, { disk }] of disks.slice(0, diskCountOf(zones, newest.blockCount)).entries())
    if (!isWhole(newestOf[index], plex, newest))
      throw unusable(disk.path, `it lacks generation ${newest.generation} of its plex`)
  return newest
}

const unusable = (where: string, why: string): StoreError =>
  new StoreError('IMAGE_UNREADABLE', `${where}: ${why}`)
