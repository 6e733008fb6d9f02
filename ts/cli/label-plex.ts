import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { mustBeBlank } from '../disk/label.ts'
import { type LabelledDisk, openLabelled } from '../disk/labelled-disk.ts'
import { memoryPool } from '../disk/memory-pool.ts'
import { readSuperblocks } from '../disk/superblock.ts'
import { identityFromText } from '../format/identity.ts'
import { PLEX_IN_SYNC, plexWord } from '../format/superblock.ts'
import type { Disk } from '../ports/disk.ts'
import {
  type AggregateFacts,
  type FormattedDisk,
  labelOne,
  layOut,
  type OpenPath,
  type Sizes,
  withDisks,
} from './format-aggregate.ts'
import type { DiskWorld } from './in-process.ts'

export interface PlexToLabel extends AggregateFacts {
  /** paths of the disks of both plexes */
  readonly plexes: readonly (readonly string[])[]
  /** the one whose disks are labelled */
  readonly plex: number
}

/**
 * Labels the disks of one plex as an empty copy, for the owner to fill. They are laid out as their mirrors
 * in the other plex are, which has to hold an image. All are looked at before any is written.
 */
export function* labelPlex(world: DiskWorld, wanted: PlexToLabel): Procedure<FormattedDisk[]> {
  return yield* withDisks(world, function* (open) {
    const mirrors = yield* openMirrors(world, wanted, open)
    const disks = wanted.plexes[wanted.plex]!.map(open)
    for (const [index, disk] of disks.entries()) mustReach(disk, mirrors[index]!)
    if (!wanted.force) for (const disk of disks) yield* mustBeBlank(disk, world.memory)
    const formatted: FormattedDisk[] = []
    for (const [diskIndex, disk] of disks.entries()) {
      const { byteLength, vaultByteLength } = mirrors[diskIndex]!.zones
      const place = { plex: wanted.plex, diskIndex, diskCount: disks.length, vaultByteLength, byteLength }
      formatted.push(yield* labelOne(world, wanted, disk, place))
    }
    return formatted
  })
}

export interface PlexAlone extends AggregateFacts {
  readonly plex: number
  /** paths of its disks */
  readonly paths: readonly string[]
  readonly logByteLength: number
  readonly sizes: Sizes
}

/** The same where the other plex is out of reach: whether both are laid out alike, their owner sees later. */
export function* labelPlexAlone(world: DiskWorld, wanted: PlexAlone): Procedure<FormattedDisk[]> {
  const disks: Disk[] = []
  try {
    for (const path of wanted.paths) disks.push(world.disks.open(path))
    if (!wanted.force) for (const disk of disks) yield* mustBeBlank(disk, world.memory)
    const formatted: FormattedDisk[] = []
    for (const { disk, place } of layOut([disks], wanted, wanted.plex)) {
      formatted.push(yield* labelOne(world, wanted, disk, place))
    }
    return formatted
  } finally {
    for (const disk of disks) disk.close()
  }
}

/** The disks of the other plex: what is on them is the only copy, so they must be what they should be. */
function* openMirrors(world: DiskWorld, wanted: PlexToLabel, open: OpenPath): Procedure<LabelledDisk[]> {
  const plex = 1 - wanted.plex
  const paths = wanted.plexes[plex]!
  const [pair, aggregate] = [identityFromText(wanted.pair)!, identityFromText(wanted.identity)!]
  const labelled: LabelledDisk[] = []
  try {
    for (const [diskIndex, path] of paths.entries()) {
      const expected = { pair, aggregate, plex, diskIndex, diskCount: paths.length }
      labelled.push(yield* openLabelled(open(path), expected, world.memory))
    }
    const { latest } = yield* readSuperblocks(labelled, Number.POSITIVE_INFINITY, world.memory)
    if (latest !== undefined && plexWord(latest, plex) === PLEX_IN_SYNC) return labelled
    const lack = latest === undefined ? 'no valid superblock' : 'an image that is not whole itself'
    const text = `${paths.join(' ')}: ${lack}, so plex ${wanted.plex} could not be filled from plex ${plex}`
    throw new StoreError('IMAGE_UNREADABLE', `${text}; to begin anew, label the disks of both plexes`)
  } finally {
    for (const { scratch } of labelled) memoryPool(world.memory).giveBack(scratch)
  }
}

function mustReach(disk: Disk, { disk: mirror, label }: LabelledDisk): void {
  if (disk.byteLength >= label.byteLength) return
  const text = `${disk.path} has ${disk.byteLength} bytes, and its mirror ${mirror.path} uses ${label.byteLength}`
  throw new StoreError('DISK_TOO_SMALL', `${text}; take a disk that is at least as large`)
}
