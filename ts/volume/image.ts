import { StoreError } from '../base/errors.ts'
import type { PlexPlace } from '../base/plex-place.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { giveBackScratch } from '../disk/guarded-disk.ts'
import type { DiskLabelValues } from '../disk/label.ts'
import { type LabelledDisk, tellFailures } from '../disk/labelled-disk.ts'
import {
  eraseSuperblocks,
  readSuperblocks,
  type SuperblockValues,
  writeSuperblock,
} from '../disk/superblock.ts'
import { flushDisk, Transfers } from '../disk/transfers.ts'
import { PLEX_IN_SYNC, SUPERBLOCK_MAGIC, SUPERBLOCK_VERSION, superblockSlot } from '../format/superblock.ts'
import { Copies, Copy } from '../plex/copies.ts'
import { Mender } from '../plex/mender.ts'
import type { Plex } from '../plex/plex.ts'
import type { Disk } from '../ports/disk.ts'
import type { World } from '../ports/world.ts'
import { renewLabels } from './added-disks.ts'
import { BlockCache } from './cache.ts'
import { VolumeDirectory } from './directory.ts'
import { loadDirectory } from './directory-load.ts'
import { FreeMap } from './free-map.ts'
import {
  closePlexes,
  type FoundImage,
  findImage,
  labelledPlex,
  labelledPlexes,
  noSuperblock,
  openDisks,
  type PlexDisks,
  plexOf,
  type RecordedPlex,
  type Whose,
} from './open-plexes.ts'
import { Space } from './space.ts'
import { loadSpace } from './space-load.ts'
import { Tree } from './tree.ts'
import { DiskZone } from './zone.ts'

/** Blocks that are told one by one when they are mended. */
const MENDS_TOLD = 100

export type ImageWorld = Pick<World, 'memory' | 'clock' | 'host'>

export interface ImageSettings extends Whose {
  /** what the record says of each plex; without it, all are in sync */
  readonly recorded?: readonly RecordedPlex[]
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

/**
 * The on-disk image of an aggregate as its newest superblock has it: volumes, their trees, free
 * space. Only a consistency point changes it, all at once, from one generation to the next.
 */
export class Image {
  readonly world: ImageWorld
  readonly copies: Copies
  /** the block space, on all plexes */
  readonly plex: Plex
  readonly mender: Mender
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
  /** disks in sync that the newest superblock was not found on */
  readonly #lacking: readonly LabelledDisk[]
  #isClosed = false

  constructor(world: ImageWorld, { copies, newest, lacking }: FoundImage, settings: ImageSettings) {
    const plex = plexOf(copies)
    this.world = world
    this.copies = copies
    this.plex = plex
    this.superblock = newest
    this.#lacking = lacking
    this.logPages = settings.logPages
    this.mender = new Mender(plex, copies, world.memory)
    const mirrored = copies.isMirrored ? copies : undefined
    this.cache = new BlockCache(plex, world.memory, settings.cacheByteLength, mirrored)
    this.tree = new Tree(this.cache, plex)
    this.space = new Space(plex.segments, plex.blockCount, world.memory)
    this.freeMap = new FreeMap(plex, world.memory)
    this.directory = new VolumeDirectory(this.space)
    const { disk, zones } = plex.segments[0]!.labelled
    this.vault = new DiskZone(disk, zones.vaultAt, zones.vaultByteLength)
    this.#tell()
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

  /**
   * Makes an empty image on the labelled disks of all plexes: generation 1 of epoch 0. Refuses if there is
   * one already. The disks stay open.
   */
  static *format(
    world: ImageWorld,
    plexes: readonly (readonly Disk[])[],
    settings: Whose,
    options: { readonly force: boolean } = { force: false },
  ): Procedure {
    const opened: Copy[] = []
    for (const [plex, disks] of plexes.entries()) {
      opened.push(new Copy(plex, 'in-sync', yield* labelledPlex(world, plex, disks, settings)))
    }
    const copies = new Copies(opened)
    // nothing waits for a record: all plexes have to be whole
    copies.isRecordedStale = () => true
    const plex = plexOf(copies)
    const found = yield* readSuperblocks(copies.disks, Number.POSITIVE_INFINITY, world.memory)
    if (found.newest !== undefined && !options.force) {
      const { path } = copies.disks[0]!.disk
      const text = `${path} holds an image of generation ${found.newest.generation} already`
      throw new StoreError('DISK_FOREIGN', `${text}; to give it up, label its disks again with --force`)
    }
    if (found.newest !== undefined) yield* succeeded(copies, eraseSuperblocks(copies.disks, world.memory))
    const map = new FreeMap(plex, world.memory)
    const transfers = new Transfers()
    yield* map.format(transfers)
    const superblock = emptySuperblock(plex, copies.disks[0]!.label, map, world.clock.wall())
    yield* succeeded(copies, transfers.drain())
    yield* succeeded(copies, plex.flushed())
    yield* succeeded(copies, writeSuperblock(copies.disks, superblock, world.memory))
    yield* succeeded(copies, plex.flushed())
    const missing = copies.all.find(({ state }) => state === 'missing')
    if (missing !== undefined) throw new StoreError('DISK_FAILED', `${missing.because}; check the disk`)
    map.close()
    giveBackScratch(world.memory, copies.disks)
  }

  /**
   * Opens the newest generation whose epoch is allowed, on the plexes that the record calls in sync. Throws
   * DISK_* and IMAGE_UNREADABLE. Writes nothing. The disks belong to the image from here on: it closes them,
   * also when it cannot be opened.
   */
  static *open(world: ImageWorld, plexes: readonly PlexDisks[], settings: ImageSettings): Procedure<Image> {
    const opened = yield* labelledPlexes(world, plexes, settings)
    let image: Image | undefined
    try {
      const recorded = settings.recorded ?? plexes.map(() => 'in-sync' as const)
      const found = yield* findImage(world, opened, recorded, settings.allowedEpoch)
      image = new Image(world, found, settings)
      yield* loadDirectory(image)
      yield* loadSpace(image, found.previous)
      return image
    } catch (error) {
      if (image !== undefined) image.close()
      else yield* closePlexes(world, opened)
      throw error
    }
  }

  /** Whether disks were added that no superblock counts yet. */
  get isGrowing(): boolean {
    return this.superblock.blockCount < this.plex.blockCount
  }

  /** Labels that are damaged, or do not count all disks. For the owner, before it writes anything else. */
  *repairLabels(): Procedure {
    const { copies, world } = this
    for (const copy of [...copies.reading]) {
      const why = yield* renewLabels(copy.disks, world)
      if (why === undefined) continue
      if (copies.isLast(copy)) throw new StoreError('DISK_FAILED', why)
      copies.failed(copy, why)
    }
  }

  /**
   * The superblock that was found is all that the log is measured by from here on. Whoever wrote it may have
   * died before it was on every disk, or out of a disk's cache: now it is. For the owner, once it may write.
   */
  *completeSuperblock(): Procedure {
    const { copies, world, superblock } = this
    const written = new Map<LabelledDisk, number>()
    const failed = (disk: LabelledDisk, result: number): unknown => written.set(disk, result)
    const lacking = copies.disks.filter((disk) => this.#lacking.includes(disk))
    if (lacking.length > 0) yield* writeSuperblock(lacking, superblock, world.memory, failed)
    for (const copy of [...copies.reading]) {
      for (const labelled of copy.disks) {
        const result = written.get(labelled) ?? (yield* flushDisk(labelled.disk))
        if (result >= 0) continue
        const why = `${labelled.disk.path} cannot be written (error ${-result}); check the disk`
        if (copies.isLast(copy)) throw new StoreError('DISK_FAILED', why)
        copies.failed(copy, why)
        break
      }
    }
  }

  /** Before the log lets anything go: whatever a plex lacks, the record calls it stale for that. */
  *settlePlexes(): Procedure {
    const { copies, plex } = this
    if (!copies.isSettled) yield* succeeded(copies, plex.flushed())
  }

  /** A consistency point has made `superblock` durable. */
  published(superblock: SuperblockValues): void {
    this.superblock = superblock
    this.copies.published(superblock)
    this.cache.forgetFailures()
  }

  /** Lets go of disks and memory as soon as no I/O is in flight any more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.copies.close()
    // a plex that is missing may have disks that were added, and that the image does without
    const besides = this.copies.all.flatMap(({ disks }) => disks.slice(this.plex.disks.length))
    for (const { disk } of besides) disk.close()
    this.plex.close(() => {
      this.cache.close()
      this.space.close()
      this.freeMap.close()
      this.mender.close()
      for (const { disks } of this.copies.all) giveBackScratch(this.world.memory, disks)
    })
  }

  #tell(): void {
    const { host } = this.world
    // what was under way when the ownership ended still arrives: it tells nothing, and mends nothing
    this.cache.onDamage = (physical, why) => {
      if (this.copies.isClosed) return
      this.counters.damagedBlocks += 1
      host.event('error', 'block damaged', `block ${physical} is damaged (${why})`, { physical, why })
    }
    this.cache.onFoundElsewhere = (physical, frame, copy) => {
      if (this.copies.isClosed) return
      this.mender.mend(physical, this.cache.memory, frame * BLOCK_SIZE, copy)
    }
    this.mender.onMended = (physical, { plex }) => {
      // the counter goes on
      if (this.mender.mended > MENDS_TOLD) return
      const text = `block ${physical} was damaged on plex ${plex}; it has the other's content again`
      host.event('warn', 'block mended', text, { physical, plex })
    }
    this.copies.onMissing = ({ plex, because }) => {
      host.event('error', 'plex missing', `plex ${plex} is left out: ${because}`, { plex })
    }
    tellFailures(this.copies.disks, host)
  }
}

/** The highest epoch of the superblocks on these disks, whoever wrote them: for one that is not the owner. */
export function* peekEpoch(
  world: Pick<World, 'memory' | 'disks'>,
  plexes: readonly PlexPlace[],
  whose: Whose,
): Procedure<number> {
  const disks = plexes.map((paths) => openDisks(world.disks, paths))
  const opened = yield* labelledPlexes(world, disks, whose)
  try {
    const labelled = opened.flatMap((each) => (each instanceof StoreError ? [] : each))
    const failure = opened.find((each) => each instanceof StoreError)
    if (labelled.length === 0 && failure instanceof StoreError) throw failure
    const found = yield* readSuperblocks(labelled, Number.POSITIVE_INFINITY, world.memory)
    if (found.newest === undefined) throw noSuperblock(labelled.map(({ disk }) => disk.path).join(', '))
    return found.newest.epoch
  } finally {
    yield* closePlexes(world, opened)
  }
}

function* succeeded(copies: Copies, operation: Procedure<number>): Procedure {
  const result = yield* operation
  if (result < 0)
    throw new StoreError('DISK_FAILED', `${copies.failure ?? `error ${-result}`}; check the disk`)
}

function emptySuperblock(
  plex: Plex,
  label: DiskLabelValues,
  map: FreeMap,
  writtenAtMs: number,
): SuperblockValues {
  const [epoch, generation] = [0, 1]
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
    plex0: PLEX_IN_SYNC,
    plex1: PLEX_IN_SYNC,
    base0Epoch: 0,
    base0Generation: 0,
    base1Epoch: 0,
    base1Generation: 0,
    cursor: 0,
    writtenAtMs,
    rest: new Uint8Array(0),
    ...map.superblockFields(),
  }
}
