import { isStoreError, StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import type { LabelledDisk } from '../disk/labelled-disk.ts'
import { type SuperblockValues, writeSuperblock } from '../disk/superblock.ts'
import { Transfers } from '../disk/transfers.ts'
import { heightFor } from '../format/block-pointer.ts'
import type { Waiter } from '../volume/cache.ts'
import type { FrozenChanges } from '../volume/changes.ts'
import type { FrozenDirectory, FrozenVolume, PublishedTree } from '../volume/directory.ts'
import type { Image } from '../volume/image.ts'
import { bytesToWords } from '../volume/words.ts'
import { BlockWriter, diskFailed } from './block-writer.ts'
import { DirectoryChanges } from './directory-changes.ts'
import { nextSuperblock } from './next-superblock.ts'
import { PageArena } from './page-arena.ts'
import { SubtreeFreer } from './subtree-freer.ts'
import { changesOf, TreeChanges, type ZeroRange } from './tree-changes.ts'
import { TreeEditor } from './tree-editor.ts'
import { mergedRanges } from './zero-ranges.ts'

export type { FrozenChanges } from '../volume/changes.ts'

export interface ConsistencyPointOptions {
  readonly epoch: number
  /** identity of the node that writes */
  readonly node: Uint8Array
  readonly wallMs: number
  /** asked right before the superblock is written */
  readonly stillOwner: () => boolean
  /** whether everything in the changes is in every copy of the log; the superblock waits for it */
  readonly mayPublish?: () => boolean
  /** waits until a superblock that failed may be written again; without it, the consistency point fails */
  readonly untilRetry?: (error: StoreError) => Procedure
}

/** What one consistency point has done. */
export interface Published {
  readonly epoch: number
  readonly generation: number
  readonly lastSequence: number
  readonly changedBlocks: number
  readonly dataBlocks: number
  readonly metadataBlocks: number
  readonly mapBlocks: number
  readonly freedBlocks: number
  readonly byteLength: number
  /** bytes written per byte of data changed */
  readonly amplification: number
  readonly durationsMs: {
    readonly trees: number
    readonly map: number
    readonly flush: number
    readonly superblock: number
  }
}

/**
 * A new epoch keeps clear of what a writer of an older one may still have on its way, for so long: twice
 * what the kernel gives a disk to answer. Generations say nothing here, they may follow each other at once.
 */
const AVOID_MS = 60_000

/**
 * One atomic step of the image: writes the frozen changes to new places, then everything above them
 * up to the superblock. Nothing that the last two superblocks reach is overwritten, so a crash at
 * any moment leaves the old generation or the new one. If it throws, nothing has changed in
 * memory, and it can be run again with the same changes.
 */
export function* consistencyPoint(
  image: Image,
  changes: FrozenChanges,
  frozen: FrozenDirectory,
  options: ConsistencyPointOptions,
): Procedure<Published> {
  const point = new ConsistencyPoint(image, changes, frozen, options)
  try {
    return yield* point.run()
  } catch (error) {
    if (error instanceof StoreError) yield* point.undo()
    throw error
  }
}

class ConsistencyPoint {
  readonly #image: Image
  readonly #changes: FrozenChanges
  readonly #frozen: FrozenDirectory
  readonly #options: ConsistencyPointOptions
  readonly #generation: number
  readonly #arena: PageArena
  readonly #writer: BlockWriter
  readonly #editor: TreeEditor
  readonly #freer: SubtreeFreer
  readonly #treeChanges: TreeChanges
  readonly #directoryChanges: DirectoryChanges
  readonly #mapTransfers = new Transfers(32)
  readonly #trees = new Map<number, PublishedTree>()
  readonly #waiter: Waiter = { wake: () => {} }
  #mayBeDurable = false
  #mapBlocks = 0

  constructor(
    image: Image,
    changes: FrozenChanges,
    frozen: FrozenDirectory,
    options: ConsistencyPointOptions,
  ) {
    this.#image = image
    this.#changes = changes
    this.#frozen = frozen
    this.#options = options
    this.#generation = image.generation + 1
    const { plex, space, cache, tree } = image
    const { memory } = image.world
    const arena = new PageArena(memory)
    const writer = new BlockWriter(image, arena)
    this.#arena = arena
    this.#writer = writer
    this.#editor = new TreeEditor({ plex, space, cache, arena, writer }, memory, this.#generation)
    this.#freer = new SubtreeFreer({ plex, space, cache }, this.#waiter)
    const parts = { editor: this.#editor, freer: this.#freer, writer, cache, tree, waiter: this.#waiter }
    this.#treeChanges = new TreeChanges(parts)
    this.#directoryChanges = new DirectoryChanges(memory)
  }

  *run(): Procedure<Published> {
    const { space, world, plex, copies, freeMap } = this.#image
    const times = [world.clock.now()]
    if (copies.begin(this.#generation)) freeMap.distrust()
    this.#beginSpace()
    for (const { root, height } of this.#frozen.removed) yield* this.#freer.free(root, height)
    for (const volume of this.#frozen.volumes) yield* this.#writeVolume(volume)
    const directory = yield* this.#writeDirectory()
    this.#writer.finish()
    space.checkSpent()
    times.push(world.clock.now())
    this.#mapBlocks = yield* freeMap.write(space.bits, this.#mapTransfers)
    yield* this.#writer.drain()
    this.#writer.checkFailure()
    yield* this.#succeeded(this.#mapTransfers.drain())
    times.push(world.clock.now())
    yield* this.#succeeded(plex.flushed())
    times.push(world.clock.now())
    const superblock = nextSuperblock(this.#image, this.#frozen, directory, {
      ...this.#options,
      generation: this.#generation,
      lastSequence: this.#changes.lastSequence,
    })
    yield* this.#writeSuperblock(superblock)
    times.push(world.clock.now())
    const published = this.#report(times)
    this.#publish()
    this.#image.published(superblock)
    this.#close()
    return published
  }

  /** Forgets everything. What is in flight has to end first: its memory is used again. */
  *undo(): Procedure {
    yield* this.#writer.drain()
    yield* this.#mapTransfers.drain()
    this.#editor.abandon()
    this.#writer.abandon()
    this.#image.space.revert(this.#mayBeDurable)
    this.#arena.close()
    this.#directoryChanges.close()
  }

  #beginSpace(): void {
    const { space, superblock, logPages, world } = this.#image
    if (this.#options.epoch > superblock.epoch) {
      const window = Math.max(logPages * 2, Math.floor(space.total / 8))
      const blocks = Math.min(window, Math.floor(space.total / 2))
      space.avoid(superblock.cursor, blocks, superblock.blockCount)
      this.#image.avoidsUntilMs = world.clock.now() + AVOID_MS
    } else if (world.clock.now() >= this.#image.avoidsUntilMs) space.avoidNothing()
    space.begin()
  }

  *#writeVolume(volume: FrozenVolume): Procedure {
    const { size, cutBlock, createdIn } = volume
    const blockCount = size / BLOCK_SIZE
    const blocks = changesOf(this.#changes, volume.volume, blockCount)
    const ranges = this.#rangesOf(volume, blockCount)
    const isNew = createdIn === 0
    if (blocks.from === blocks.to && ranges.length === 0 && cutBlock === Number.POSITIVE_INFINITY && !isNew)
      return
    const tree = yield* this.#treeChanges.apply(volume, heightFor(blockCount), ranges, blocks)
    this.#trees.set(volume.volume, { ...tree, createdIn: isNew ? this.#generation : createdIn })
  }

  #rangesOf(volume: FrozenVolume, blockCount: number): readonly ZeroRange[] {
    const { cutBlock } = volume
    const ranges = this.#changes.zeroRanges(volume.volume)
    if (cutBlock === Number.POSITIVE_INFINITY) return ranges
    return mergedRanges([...ranges, { first: Math.min(cutBlock, blockCount), end: Number.POSITIVE_INFINITY }])
  }

  *#writeDirectory(): Procedure<PublishedTree> {
    const { superblock } = this.#image
    const before = {
      root: bytesToWords(superblock.directory),
      height: superblock.directoryHeight,
      mappedBlocks: superblock.directoryBlocks,
    }
    const changes = yield* this.#directoryChanges.make(this.#frozen, this.#trees)
    if (changes.to === 0) return { ...before, createdIn: 0 }
    const height = heightFor(changes.blocks[changes.to - 1]! + 1)
    const after = yield* this.#treeChanges.apply(before, Math.max(height, before.height), [], changes)
    return { ...after, createdIn: 0 }
  }

  /**
   * A superblock that failed may be on a disk all the same, and then nothing that it reaches may be used
   * otherwise: in a full aggregate there would be no room to begin anew. So the same one is written again;
   * what it reaches was flushed.
   */
  *#writeSuperblock(superblock: SuperblockValues): Procedure {
    const { plex } = this.#image
    for (;;) {
      yield* this.#mayPublish()
      this.#mayBeDurable = true
      try {
        yield* this.#succeeded(this.#toAllPlexes(superblock))
        return yield* this.#succeeded(plex.flushed())
      } catch (error) {
        const { untilRetry } = this.#options
        if (untilRetry === undefined || !isStoreError(error, 'DISK_FAILED')) throw error
        yield* untilRetry(error)
      }
    }
  }

  /** A plex that fails is left out, as long as another one is in sync. */
  *#toAllPlexes(superblock: SuperblockValues): Procedure<number> {
    const { copies, world } = this.#image
    const failed = new Set<LabelledDisk>()
    const { writing } = copies
    const disks = writing.flatMap((copy) => copy.disks)
    const result = yield* writeSuperblock(disks, superblock, world.memory, (disk) => failed.add(disk))
    for (const copy of writing) {
      const bad = copy.disks.find((disk) => failed.has(disk))
      if (bad !== undefined) copies.failed(copy, `${bad.disk.path}: ${bad.disk.failure ?? 'a write failed'}`)
    }
    const isLacking = copies.reading.some((copy) => copy.disks.some((disk) => failed.has(disk)))
    return isLacking ? result : 0
  }

  /** The disks must not show what could still be taken back, nor what is no longer ours to write. */
  *#mayPublish(): Procedure {
    const { stillOwner, mayPublish } = this.#options
    while (mayPublish !== undefined && !mayPublish() && stillOwner()) yield 'wait'
    if (!stillOwner()) throw new StoreError('FENCED', 'ownership was lost before the superblock was written')
  }

  *#succeeded(operation: Procedure<number>): Procedure {
    const result = yield* operation
    if (result < 0) throw diskFailed(this.#image.copies, result)
  }

  #publish(): void {
    const { directory, space, freeMap, counters } = this.#image
    directory.publish(this.#trees)
    freeMap.publish()
    counters.consistencyPoints += 1
    counters.changedBlocks += this.#changes.count
    counters.dataBlocksWritten += this.#writer.dataBlocks
    counters.metadataBlocksWritten += this.#writer.metadataBlocks
    counters.mapBlocksWritten += this.#mapBlocks
    counters.freedBlocks += space.freedNow
    counters.bytesWritten += this.#blocksWritten * BLOCK_SIZE
    space.publish()
  }

  get #blocksWritten(): number {
    return this.#writer.dataBlocks + this.#writer.metadataBlocks + this.#mapBlocks
  }

  #report(times: readonly number[]): Published {
    const [start, trees, map, flush, end] = times as [number, number, number, number, number]
    const changedBlocks = this.#changes.count
    return {
      epoch: this.#options.epoch,
      generation: this.#generation,
      lastSequence: this.#changes.lastSequence,
      changedBlocks,
      dataBlocks: this.#writer.dataBlocks,
      metadataBlocks: this.#writer.metadataBlocks,
      mapBlocks: this.#mapBlocks,
      freedBlocks: this.#image.space.freedNow,
      byteLength: this.#blocksWritten * BLOCK_SIZE,
      amplification: this.#blocksWritten / Math.max(1, changedBlocks),
      durationsMs: { trees: trees - start, map: map - trees, flush: flush - map, superblock: end - flush },
    }
  }

  #close(): void {
    this.#editor.release()
    this.#arena.close()
    this.#directoryChanges.close()
  }
}
