import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { mustBeBlank } from '../disk/label.ts'
import { type LabelledDisk, openLabelled } from '../disk/labelled-disk.ts'
import { memoryPool } from '../disk/memory-pool.ts'
import { readSuperblocks } from '../disk/superblock.ts'
import { blockRanges, layOutZones, spaceMistake } from '../disk/zones.ts'
import { identityFromText } from '../format/identity.ts'
import type { Disk } from '../ports/disk.ts'
import {
  type AggregateFacts,
  type FormattedDisk,
  labelOne,
  type OpenPath,
  reach,
  type Sizes,
  withDisks,
} from './format-aggregate.ts'
import type { DiskWorld } from './in-process.ts'

/** A plex of which disks are at hand: those that are new come last. */
export interface GrowingPlex {
  readonly plex: number
  readonly paths: readonly string[]
}

export interface DisksToAdd extends AggregateFacts {
  /** all lists have the same length */
  readonly plexes: readonly GrowingPlex[]
  /** how many of each plex are new */
  readonly count: number
  readonly sizes: Sizes
}

/**
 * Labels new disks as the last ones of their plexes, empty, for the owner to use when it opens the aggregate
 * with the longer list. Those before them are only read. All are looked at before any is written.
 */
export function* addDisks(world: DiskWorld, wanted: DisksToAdd): Procedure<FormattedDisk[]> {
  return yield* withDisks(world, function* (open) {
    const plexes: { plex: number; before: LabelledDisk[]; added: Disk[] }[] = []
    for (const { plex, paths } of wanted.plexes) {
      const before = yield* openBefore(world, wanted, plex, paths, open)
      plexes.push({ plex, before, added: paths.slice(before.length).map(open) })
    }
    if (!wanted.force)
      for (const disk of plexes.flatMap(({ added }) => added)) yield* mustBeBlank(disk, world.memory)
    const layouts = layOutAdded(plexes, wanted.sizes)
    const formatted: FormattedDisk[] = []
    for (const [at, byteLength] of layouts.entries()) {
      for (const { plex, before, added } of plexes) {
        const diskCount = before.length + added.length
        const place = { plex, diskIndex: before.length + at, diskCount, vaultByteLength: 0, byteLength }
        formatted.push(yield* labelOne(world, wanted, added[at]!, place))
      }
    }
    return formatted
  })
}

/** The disks that are there already: each in its place, and none of the new places is in use. */
function* openBefore(
  world: DiskWorld,
  { pair, identity, count }: DisksToAdd,
  plex: number,
  paths: readonly string[],
  open: OpenPath,
): Procedure<LabelledDisk[]> {
  const labelled: LabelledDisk[] = []
  const whose = { pair: identityFromText(pair)!, aggregate: identityFromText(identity)! }
  try {
    for (const [diskIndex, path] of paths.slice(0, -count).entries()) {
      const expected = { ...whose, plex, diskIndex, diskCount: paths.length }
      labelled.push(yield* openLabelled(open(path), expected, world.memory))
    }
    const { latest } = yield* readSuperblocks(labelled, Number.POSITIVE_INFINITY, world.memory)
    const { end } = blockRanges(labelled.map(({ zones }) => zones)).at(-1)!
    if (latest === undefined || latest.blockCount <= end) return labelled
    const text = `${paths[labelled.length]} is no new disk: the image of plex ${plex} lies on that place already`
    throw new StoreError('DISK_FOREIGN', `${text}; a disk that replaces another one is labelled with --plex`)
  } finally {
    for (const { scratch } of labelled) memoryPool(world.memory).giveBack(scratch)
  }
}

/** How much of each new disk is laid out: without sizes, the smaller one of two decides for both. */
function layOutAdded(
  plexes: readonly { readonly before: readonly LabelledDisk[]; readonly added: readonly Disk[] }[],
  sizes: Sizes,
): number[] {
  const zones = plexes[0]!.added.map((_, at) => {
    const mirrors = plexes.map(({ added }) => added[at]!)
    const smallest = mirrors.reduce((a, b) => (b.byteLength < a.byteLength ? b : a))
    return layOutZones(smallest.path, reach(smallest, sizes.length === 1 ? sizes[0] : sizes[at]), 0)
  })
  const { before, added } = plexes[0]!
  const mistake = spaceMistake([...before.map((disk) => disk.zones), ...zones])
  if (mistake === undefined) return zones.map(({ byteLength }) => byteLength)
  throw new StoreError('USAGE', `with ${added.map(({ path }) => path).join(' ')}: ${mistake}`)
}
