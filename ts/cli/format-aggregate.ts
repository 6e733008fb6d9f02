import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { labelDisk, mustBeBlank } from '../disk/label.ts'
import { layOutZones } from '../disk/zones.ts'
import { IDENTITY_BYTES, identityFromText, identityText } from '../format/identity.ts'
import { type LogLayout, logLayout, vaultByteLengthOf } from '../format/log-ring.ts'
import type { Disk } from '../ports/disk.ts'
import { Image } from '../volume/image.ts'
import type { DiskWorld } from './in-process.ts'

/** What the labels of all disks of an aggregate have in common. */
export interface AggregateFacts {
  readonly pair: string
  readonly name: string
  readonly identity: string
  readonly force: boolean
}

export interface AggregateToFormat extends AggregateFacts {
  /** paths of the disks, by plex; disk i of one mirrors disk i of the other */
  readonly plexes: readonly (readonly string[])[]
  readonly logByteLength: number
  readonly sizes?: Sizes
}

/** How many bytes of each disk of a plex are laid out; a single one is for all. None: as many as it has. */
export type Sizes = readonly number[]

export interface FormattedDisk {
  readonly path: string
  readonly plex: number
  readonly identity: string
  readonly byteLength: number
  /** how much of it is laid out */
  readonly layoutByteLength: number
}

/** Where a disk belongs, and how it is laid out. */
export interface PlaceInPlex {
  readonly plex: number
  readonly diskIndex: number
  readonly diskCount: number
  readonly vaultByteLength: number
  readonly byteLength: number
}

export type OpenPath = (path: string) => Disk

/** What is opened through `open` is closed when `use` has ended, in whichever way. */
export function* withDisks<T>(world: DiskWorld, use: (open: OpenPath) => Procedure<T>): Procedure<T> {
  const opened: Disk[] = []
  const open = (path: string): Disk => {
    const disk = world.disks.open(path)
    opened.push(disk)
    return disk
  }
  try {
    return yield* use(open)
  } finally {
    for (const disk of opened) disk.close()
  }
}

/** Labels the disks of an aggregate and makes its empty image. All are looked at before any is written. */
export function* formatAggregate(world: DiskWorld, wanted: AggregateToFormat): Procedure<FormattedDisk[]> {
  const plexes: Disk[][] = []
  try {
    for (const paths of wanted.plexes) {
      const disks: Disk[] = []
      plexes.push(disks)
      for (const path of paths) disks.push(world.disks.open(path))
    }
    if (!wanted.force) for (const disk of plexes.flat()) yield* mustBeBlank(disk, world.memory)
    const formatted: FormattedDisk[] = []
    for (const { disk, place } of layOut(plexes, wanted)) {
      formatted.push(yield* labelOne(world, wanted, disk, place))
    }
    const { pair, identity: aggregate, force } = wanted
    yield* Image.format(world, plexes, { pair, aggregate }, { force })
    return formatted
  } finally {
    for (const disk of plexes.flat()) disk.close()
  }
}

/**
 * The place of each disk; throws if one is too small. Without sizes, the smaller disk of two decides the
 * zones of both.
 */
export function layOut(
  plexes: readonly (readonly Disk[])[],
  { logByteLength, sizes = [] }: Pick<AggregateToFormat, 'logByteLength' | 'sizes'>,
  firstPlex = 0,
): { disk: Disk; place: PlaceInPlex }[] {
  return plexes[0]!.flatMap((_, diskIndex) => {
    const mirrors = plexes.map((disks) => disks[diskIndex]!)
    const smallest = mirrors.reduce((a, b) => (b.byteLength < a.byteLength ? b : a))
    const vaultBytes = diskIndex === 0 ? vaultByteLength(logByteLength) : 0
    const wanted = sizes.length === 1 ? sizes[0] : sizes[diskIndex]
    const { byteLength } = layOutZones(smallest.path, reach(smallest, wanted), vaultBytes)
    const same = { diskIndex, diskCount: plexes[0]!.length, vaultByteLength: vaultBytes, byteLength }
    return mirrors.map((disk, index) => ({ disk, place: { plex: firstPlex + index, ...same } }))
  })
}

/** How many bytes of a disk are laid out. Throws DISK_TOO_SMALL. */
export function reach({ path, byteLength }: Disk, wanted = byteLength): number {
  if (wanted <= byteLength) return wanted
  const text = `${path} has ${byteLength} bytes, and ${wanted} are to be laid out`
  throw new StoreError(
    'DISK_TOO_SMALL',
    `${text}; take a larger disk, or label both plexes for less (--size)`,
  )
}

/** Labels one disk, with an identity of its own. */
export function* labelOne(
  world: DiskWorld,
  aggregate: AggregateFacts,
  disk: Disk,
  place: PlaceInPlex,
): Procedure<FormattedDisk> {
  const identity = new Uint8Array(IDENTITY_BYTES)
  world.entropy.fill(identity)
  const { byteLength, plex, diskIndex, diskCount, vaultByteLength } = place
  const facts = {
    pair: identityFromText(aggregate.pair)!,
    aggregate: identityFromText(aggregate.identity)!,
    disk: identity,
    aggregateName: aggregate.name,
    plex,
    diskIndex,
    diskCount,
    vaultByteLength,
    labelledAtMs: Math.round(world.clock.wall()),
  }
  const options = { force: aggregate.force, byteLength }
  const { byteLength: layoutByteLength } = yield* labelDisk(disk, facts, options, world.memory)
  const { path, byteLength: diskByteLength } = disk
  return { path, plex, identity: identityText(identity), byteLength: diskByteLength, layoutByteLength }
}

const layoutFor = (logByteLength: number): LogLayout => logLayout(logByteLength / BLOCK_SIZE)

/** The file of a log ring: its data, and what describes it. */
export const ringByteLength = (logByteLength: number): number => layoutFor(logByteLength).byteLength

/** What the vault takes of the first disk. */
export const vaultByteLength = (logByteLength: number): number => vaultByteLengthOf(layoutFor(logByteLength))
