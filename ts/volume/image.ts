import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { repairLabels } from '../disk/label.ts'
import { type ExpectedDisk, type LabelledDisk, openLabelled } from '../disk/labelled-disk.ts'
import { memoryPool } from '../disk/memory-pool.ts'
import {
  eraseSuperblocks,
  readSuperblocks,
  type SuperblockValues,
  writeSuperblock,
} from '../disk/superblock.ts'
import { Transfers } from '../disk/transfers.ts'
import { identityFromText } from '../format/identity.ts'
import { SUPERBLOCK_MAGIC, SUPERBLOCK_VERSION, superblockSlot } from '../format/superblock.ts'
import { Plex } from '../plex/plex.ts'
import type { Disk } from '../ports/disk.ts'
import type { World } from '../ports/world.ts'
import { BlockCache } from './cache.ts'
import { VolumeDirectory } from './directory.ts'
import { loadDirectory } from './directory-load.ts'
import { FreeMap } from './free-map.ts'
import { Space } from './space.ts'
import { loadSpace } from './space-load.ts'
import { Tree } from './tree.ts'
import { DiskZone } from './zone.ts'

export type ImageWorld = Pick<World, 'memory' | 'clock' | 'host'>

export interface ImageSettings {
  /** identities of pair and aggregate, as texts */
  readonly pair: string
  readonly aggregate: string
  /** superblocks of later epochs are not recognised */
  readonly allowedEpoch: number
  readonly cacheByteLength: number
  readonly logPages: number
}

/** What consistency points have written since the image was opened. */
export interface ImageCounters {
  consistencyPoints: number
  changedBlocks: number
  dataBlocksWritten: number
  metadataBlocksWritten: number
  mapBlocksWritten: number
  freedBlocks: number
  bytesWritten: number
  damagedBlocks: number
}

const PLEX = 0

/**
 * The on-disk image of an aggregate as its newest superblock has it: volumes, their trees, free
 * space. Only a consistency point changes it, all at once, from one generation to the next.
 */
export class Image {
  readonly world: ImageWorld
  readonly plex: Plex
  readonly cache: BlockCache
  readonly tree: Tree
  readonly space: Space
  readonly freeMap: FreeMap
  readonly directory: VolumeDirectory
  /** the zone on the first disk that is reserved for a copy of the log ring */
  readonly vault: DiskZone
  readonly logPages: number
  readonly counters: ImageCounters = {
    consistencyPoints: 0,
    changedBlocks: 0,
    dataBlocksWritten: 0,
    metadataBlocksWritten: 0,
    mapBlocksWritten: 0,
    freedBlocks: 0,
    bytesWritten: 0,
    damagedBlocks: 0,
  }
  /** until then, consistency points keep clear of what a writer of an older epoch may still write */
  avoidsUntilMs = 0
  /** the newest superblock */
  superblock: SuperblockValues
  #isClosed = false

  constructor(world: ImageWorld, plex: Plex, superblock: SuperblockValues, settings: ImageSettings) {
    this.world = world
    this.plex = plex
    this.superblock = superblock
    this.logPages = settings.logPages
    this.cache = new BlockCache(plex, world.memory, settings.cacheByteLength)
    this.tree = new Tree(this.cache, plex)
    this.space = new Space(plex.segments, plex.blockCount, world.memory)
    this.freeMap = new FreeMap(plex, world.memory)
    this.directory = new VolumeDirectory(this.space)
    const { disk, zones } = plex.segments[0]!.labelled
    this.vault = new DiskZone(disk, zones.vaultAt, zones.vaultByteLength)
    this.cache.onDamage = (physical, why) => {
      this.counters.damagedBlocks += 1
      world.host.event('error', 'block damaged', `block ${physical} is damaged (${why})`, { physical, why })
    }
    for (const { disk } of plex.disks) {
      disk.onFailure = (_, what) => world.host.event('error', 'disk failed', `${disk.path}: ${what}`)
    }
  }

  /** epoch in which the newest superblock was written */
  get epoch(): number {
    return this.superblock.epoch
  }

  get generation(): number {
    return this.superblock.generation
  }

  /** the last log entry that the image contains */
  get lastSequence(): number {
    return this.superblock.lastSequence
  }

  /** one number that stands for the whole content of this generation */
  get rootDigest(): number {
    return this.superblock.root
  }

  /** Makes an empty image on labelled disks: generation 1 of epoch 0. Refuses if there is one already. */
  static *format(
    world: ImageWorld,
    disks: readonly Disk[],
    settings: Pick<ImageSettings, 'pair' | 'aggregate'>,
    options: { readonly force: boolean } = { force: false },
  ): Procedure {
    const plex = new Plex(yield* openAll(world, disks, settings))
    const found = yield* readSuperblocks(plex.disks, Number.POSITIVE_INFINITY, world.memory)
    if (found.newest !== undefined && !options.force) {
      const text = `${disks[0]!.path} holds an image of generation ${found.newest.generation} already`
      throw new StoreError('DISK_FOREIGN', `${text}; to give it up, label its disks again with --force`)
    }
    if (found.newest !== undefined) yield* succeeded(plex, eraseSuperblocks(plex.disks, world.memory))
    const map = new FreeMap(plex, world.memory)
    const transfers = new Transfers()
    yield* map.format(transfers)
    const superblock = emptySuperblock(plex, map, world.clock.wall())
    yield* succeeded(plex, transfers.drain())
    yield* succeeded(plex, plex.flushed())
    yield* succeeded(plex, writeSuperblock(plex.disks, superblock, world.memory))
    yield* succeeded(plex, plex.flushed())
    map.close()
    giveBackScratch(world, plex)
  }

  /**
   * Opens the newest generation whose epoch is allowed. Throws DISK_* and IMAGE_UNREADABLE. Writes
   * nothing. The disks belong to the image from here on: it closes them, also when it cannot be opened.
   */
  static *open(world: ImageWorld, disks: readonly Disk[], settings: ImageSettings): Procedure<Image> {
    let image: Image | undefined
    try {
      const labelled = yield* openAll(world, disks, settings)
      const { newest, previous } = yield* newestSuperblock(world, labelled, settings.allowedEpoch)
      image = new Image(world, new Plex(labelled), newest, settings)
      yield* loadDirectory(image)
      yield* loadSpace(image, previous)
      return image
    } catch (error) {
      if (image !== undefined) image.close()
      else for (const disk of disks) disk.close()
      throw error
    }
  }

  /** Mends labels that were found damaged. For the owner, once it may write. */
  *repairLabels(): Procedure {
    for (const { disk, label, damaged } of this.plex.disks) {
      if (damaged === undefined) continue
      yield* repairLabels(disk, label, this.world.memory)
      this.world.host.event(
        'info',
        'label repaired',
        `${disk.path}: the label at its ${damaged} was written anew`,
      )
    }
  }

  /** A consistency point has made `superblock` durable. */
  published(superblock: SuperblockValues): void {
    this.superblock = superblock
    this.cache.forgetFailures()
  }

  /** Lets go of disks and memory as soon as no I/O is in flight any more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.plex.close(() => {
      this.cache.close()
      this.space.close()
      this.freeMap.close()
      giveBackScratch(this.world, this.plex)
    })
  }
}

/** The epoch of the newest superblock on these disks, whoever wrote it: for a node that is not the owner. */
export function* peekEpoch(
  world: Pick<World, 'memory' | 'disks'>,
  paths: readonly string[],
  whose: Pick<ImageSettings, 'pair' | 'aggregate'>,
): Procedure<number> {
  const disks: Disk[] = []
  try {
    for (const path of paths) disks.push(world.disks.open(path))
    const plex = new Plex(yield* openAll(world, disks, whose))
    const found = yield* readSuperblocks(plex.disks, Number.POSITIVE_INFINITY, world.memory)
    giveBackScratch(world, plex)
    if (found.newest === undefined) throw noSuperblock(disks.map((disk) => disk.path).join(', '))
    return found.newest.epoch
  } finally {
    for (const disk of disks) disk.close()
  }
}

function* openAll(
  world: Pick<World, 'memory'> & Partial<Pick<World, 'host'>>,
  disks: readonly Disk[],
  whose: Pick<ImageSettings, 'pair' | 'aggregate'>,
): Procedure<LabelledDisk[]> {
  const pair = identity('pair', whose.pair)
  const aggregate = identity('aggregate', whose.aggregate)
  const labelled: LabelledDisk[] = []
  for (const [diskIndex, disk] of disks.entries()) {
    const expected: ExpectedDisk = { pair, aggregate, plex: PLEX, diskIndex, diskCount: disks.length }
    const opened = yield* openLabelled(disk, expected, world.memory)
    if (opened.damaged !== undefined) {
      world.host?.event(
        'warn',
        'label damaged',
        `${disk.path}: the label at its ${opened.damaged} does not check`,
      )
    }
    labelled.push(opened)
  }
  return labelled
}

function identity(of: string, text: string): Uint8Array {
  const found = identityFromText(text)
  if (found === undefined)
    throw new StoreError('CONFIG_INVALID', `the identity of the ${of} is wrong: ${text}`)
  return found
}

function giveBackScratch(world: Pick<World, 'memory'>, plex: Plex): void {
  for (const { scratch } of plex.disks) memoryPool(world.memory).giveBack(scratch)
}

function* newestSuperblock(
  world: ImageWorld,
  disks: readonly LabelledDisk[],
  allowedEpoch: number,
): Procedure<{ newest: SuperblockValues; previous: SuperblockValues | undefined }> {
  const { newest, previous, refusedEpoch, problems } = yield* readSuperblocks(
    disks,
    allowedEpoch,
    world.memory,
  )
  for (const problem of problems) world.host.event('warn', 'superblock damaged', problem)
  const where = disks.map(({ disk }) => disk.path).join(', ')
  if (refusedEpoch >= 0) {
    // an owner's epoch is in the record before it is on the disks: the record is from the past, or not theirs
    const text = `${where}: a superblock is of epoch ${refusedEpoch}, the arbiter knows only ${allowedEpoch}`
    const remedy = "restore the arbiter's data, or check that these disks belong to this arbiter"
    throw new StoreError('IMAGE_UNREADABLE', `${text}; ${remedy}`)
  }
  if (newest === undefined) throw noSuperblock(where)
  return { newest, previous }
}

const noSuperblock = (where: string): StoreError =>
  new StoreError('IMAGE_UNREADABLE', `${where}: no valid superblock; look with: pollux check ${where}`)

function* succeeded(plex: Plex, operation: Procedure<number>): Procedure {
  const result = yield* operation
  if (result < 0) throw new StoreError('DISK_FAILED', `${plex.failure ?? `error ${-result}`}; check the disk`)
}

function emptySuperblock(plex: Plex, map: FreeMap, writtenAtMs: number): SuperblockValues {
  const [epoch, generation] = [0, 1]
  const { label } = plex.disks[0]!
  return {
    magic: SUPERBLOCK_MAGIC,
    version: SUPERBLOCK_VERSION,
    seal: 0,
    slot: superblockSlot(epoch, generation),
    pair: label.pair,
    aggregate: label.aggregate,
    disk: label.disk,
    node: new Uint8Array(16),
    epoch,
    generation,
    lastSequence: 0,
    root: 0,
    nextVolume: 1,
    directory: new Uint8Array(16),
    directoryHeight: 0,
    directoryBlocks: 0,
    blockCount: plex.blockCount,
    usedBlocks: 0,
    plex0: 0,
    plex1: 0,
    cursor: 0,
    writtenAtMs,
    rest: new Uint8Array(0),
    ...map.superblockFields(),
  }
}
