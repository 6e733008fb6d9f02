import { StoreError } from '../base/errors.ts'
import type { LabelledDisk } from '../disk/labelled-disk.ts'
import type { SuperblockValues } from '../disk/superblock.ts'
import type { Branch } from '../format/owner-record.ts'
import { PLEX_FILLING, plexWord } from '../format/superblock.ts'

/** The newest superblock of each disk of a plex that comes back. */
type Found = readonly (SuperblockValues | undefined)[]

/**
 * The branch that was given up stays as it is until its disks are labelled anew, however far the image that
 * counts has come since; and also if it has no more generations than that has gone on from: its log has
 * more. Throws DISK_FOREIGN.
 */
export function mustNotBeLost(
  branch: Branch | undefined,
  disks: readonly LabelledDisk[],
  newestOf: Found,
): void {
  if (branch === undefined) return
  for (const [index, found] of newestOf.entries()) {
    const { disk, label } = disks[index]!
    if (found === undefined || plexWord(found, label.plex) === PLEX_FILLING) continue
    // an image that was formatted, and never used, has nothing to keep
    if (found.epoch === 0 || found.epoch >= branch.epoch) continue
    const text = `${disk.path} has generation ${found.generation} of epoch ${found.epoch}`
    const why = `the takeover of epoch ${branch.epoch} went on without it, from generation ${branch.generation}`
    const remedy =
      'it is kept as it is. To give up what it has, and its log: pollux disk label --force --plex'
    throw new StoreError('DISK_FOREIGN', `${text}; ${why}; ${remedy} ${label.plex}`)
  }
}

/** A plex never has more than the one in sync, of which this is the generation. Throws DISK_FOREIGN. */
export function mustNotBeAhead(generation: number, disks: readonly LabelledDisk[], newestOf: Found): void {
  const ahead = newestOf.findIndex((found) => found !== undefined && found.generation > generation + 1)
  if (ahead < 0) return
  const { path } = disks[ahead]!.disk
  const text = `${path} has generation ${newestOf[ahead]!.generation}, the plex in sync only ${generation}`
  const remedy = 'to give up what it has: pollux disk label --force'
  throw new StoreError('DISK_FOREIGN', `${text}: it comes from another branch; ${remedy}`)
}
