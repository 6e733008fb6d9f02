import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { repairLabels } from '../disk/label.ts'
import type { LabelledDisk } from '../disk/labelled-disk.ts'
import { readSuperblocks, type SuperblockValues } from '../disk/superblock.ts'
import { blockRanges, diskCountOf } from '../disk/zones.ts'
import type { MemoryPort } from '../ports/memory.ts'
import type { World } from '../ports/world.ts'

/*
 * A plex gets more disks: they are labelled as the last ones of a longer list, and empty. An opening with
 * that list has the labels of the others count them first, then writes superblocks to them, and its first
 * consistency point makes them part of the image.
 */

/** The labels of the others do not count these disks yet. */
export function addedDisks(disks: readonly LabelledDisk[]): readonly LabelledDisk[] {
  return disks.slice(Math.min(...disks.map(({ label }) => label.diskCount)))
}

/**
 * Such disks hold nothing, or what the others hold as well: then a label has come to say what it said before.
 * What holds anything else was part of another image. Throws DISK_FOREIGN.
 */
export function* addedMustBeEmpty(disks: readonly LabelledDisk[], port: MemoryPort): Procedure {
  const added = addedDisks(disks)
  if (added.length === 0) return
  const { newestOf } = yield* readSuperblocks(disks, Number.POSITIVE_INFINITY, port)
  const counted = newestOf.slice(0, disks.length - added.length)
  const isKnown = ({ epoch, generation }: SuperblockValues): boolean =>
    counted.some((found) => found?.epoch === epoch && found.generation === generation)
  for (const [at, { disk }] of added.entries()) {
    const found = newestOf[counted.length + at]
    if (found === undefined || isKnown(found)) continue
    const text = `${disk.path} holds generation ${found.generation} of another image`
    const remedy = 'if it is not needed any more: pollux disk label --add --force'
    throw new StoreError('DISK_FOREIGN', `${text}, and ${disks[0]!.disk.path} does not count it; ${remedy}`)
  }
}

/** Why an image that this superblock describes cannot lie on these disks; undefined: it can. */
export function reachMistake(
  disks: readonly LabelledDisk[],
  { blockCount, generation }: Pick<SuperblockValues, 'blockCount' | 'generation'>,
): string | undefined {
  const zones = disks.map((disk) => disk.zones)
  if (diskCountOf(zones, blockCount) > 0) return undefined
  const paths = disks.map(({ disk }) => disk.path).join(' ')
  const has = blockRanges(zones).at(-1)!.end
  const text = `generation ${generation} has ${blockCount} blocks, and ${paths} have ${has}`
  if (blockCount > has) return `${text}: a disk is missing from the list; add it`
  return `${text}: it does not end where one of these disks does; correct the list of disks`
}

/**
 * Writes labels anew that were found damaged, or do not count all disks yet. A disk that was added gets its
 * first superblock only after this. Returns what could not be written; undefined: all labels are good now.
 */
export function* renewLabels(
  disks: readonly LabelledDisk[],
  { memory, host }: Pick<World, 'memory' | 'host'>,
): Procedure<string | undefined> {
  for (const labelled of disks) {
    const { disk, label, damaged } = labelled
    // the list of the partner may be longer than that of this node
    const diskCount = Math.max(label.diskCount, disks.length)
    if (damaged === undefined && diskCount === label.diskCount) continue
    try {
      labelled.label = { ...label, diskCount }
      yield* repairLabels(disk, labelled.label, memory)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      return error.message
    }
    const why = damaged === undefined ? `counts ${diskCount} disks now` : `at its ${damaged} was written anew`
    host.event('info', 'label repaired', `${disk.path}: the label ${why}`)
  }
  return undefined
}
