import { assert } from '../base/assert.ts'
import { Gather } from '../base/gather.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { sliceGather } from '../disk/slice-gather.ts'
import { flushDisk, Transfers } from '../disk/transfers.ts'
import { blockRanges, type DiskZones } from '../disk/zones.ts'
import { AGGREGATE_BLOCKS_MAX } from '../format/free-map.ts'
import type { Completion } from '../ports/completion.ts'
import type { Copy } from './copies.ts'
import { Split } from './split.ts'

/** A disk, or the disks at the same place of both plexes as one. */
export interface PlexDisk {
  readonly disk: {
    readonly path: string
    readonly failure: string | undefined
    /** `copy`: of this plex alone */
    read(at: number, into: Gather, done: Completion, copy?: Copy): void
    write(at: number, from: Gather, done: Completion, copy?: Copy): void
    flush(done: Completion): void
    readmit(): void
    close(whenClosed: () => void): void
  }
  readonly zones: DiskZones
}

/** The blocks [first, end) of the block space that lie on one disk. */
export interface PlexSegment {
  readonly labelled: PlexDisk
  readonly first: number
  readonly end: number
}

type Kind = 'read' | 'write'

/**
 * One complete copy of an aggregate's blocks: its disks, one behind the other, in one block space.
 * Each disk begins at a multiple of a map block's reach, so that each has map blocks of its own;
 * block numbers in the gaps between disks do not exist.
 */
export class Plex {
  readonly segments: readonly PlexSegment[]
  /** one more than the highest block number */
  readonly blockCount: number
  /** blocks that exist */
  readonly usableBlocks: number

  constructor(disks: readonly PlexDisk[]) {
    assert(disks.length > 0, 'a plex has disks')
    const ranges = blockRanges(disks.map(({ zones }) => zones))
    this.segments = disks.map((labelled, index) => ({ labelled, ...ranges[index]! }))
    this.blockCount = ranges.at(-1)!.end
    assert(this.blockCount <= AGGREGATE_BLOCKS_MAX, 'block numbers are 32 bits')
    this.usableBlocks = ranges.reduce((sum, { first, end }) => sum + end - first, 0)
  }

  get disks(): readonly PlexDisk[] {
    return this.segments.map((segment) => segment.labelled)
  }

  /** Whether `blockCount` blocks from `first` on exist. */
  holds(first: number, blockCount = 1): boolean {
    if (first + blockCount > this.blockCount) return false
    if (this.segments.length === 1) return true
    for (let block = first; block < first + blockCount; ) {
      const segment = this.#segmentAt(block)
      if (segment === undefined) return false
      block = segment.end
    }
    return true
  }

  /**
   * Reads blocks from `first` on, of one plex alone if it is named. A part that cannot be read fails the
   * request; the rest still arrives.
   */
  read(first: number, into: Gather, done: Completion, copy?: Copy): void {
    this.#forEachDisk('read', first, into, done, copy)
  }

  /** Writes blocks from `first` on, to one plex alone if it is named. */
  write(first: number, from: Gather, done: Completion, copy?: Copy): void {
    this.#forEachDisk('write', first, from, done, copy)
  }

  flush(done: Completion): void {
    const split = new Split(done, this.segments.length)
    for (const { labelled } of this.segments) labelled.disk.flush(split)
  }

  /** Flushes and waits; returns 0 or -errno. */
  *flushed(): Procedure<number> {
    return yield* flushDisk(this)
  }

  /** Reads blocks into memory and waits; returns the number of bytes or -errno. */
  *readBlocks(first: number, address: number, blockCount: number, copy?: Copy): Procedure<number> {
    const transfers = new Transfers(1)
    yield* transfers.start(address, blockCount * BLOCK_SIZE, (gather, done) =>
      this.read(first, gather, done, copy),
    )
    return yield* transfers.drain()
  }

  /** What failed, with the disk's path; undefined if every disk is good. */
  get failure(): string | undefined {
    for (const { labelled } of this.segments) {
      if (labelled.disk.failure !== undefined) return `${labelled.disk.path}: ${labelled.disk.failure}`
    }
    return undefined
  }

  /** Closes all disks once nothing is in flight on any. */
  close(whenClosed: () => void): void {
    let open = this.segments.length
    for (const { labelled } of this.segments) {
      labelled.disk.close(() => {
        open -= 1
        if (open === 0) whenClosed()
      })
    }
  }

  #forEachDisk(kind: Kind, first: number, gather: Gather, done: Completion, copy: Copy | undefined): void {
    const blockCount = gather.byteLength / BLOCK_SIZE
    const segment = this.#segmentAt(first)
    assert(segment !== undefined, 'a request begins at a block that exists')
    if (first + blockCount <= segment.end) return this.#one(kind, segment, first, gather, done, copy)
    const split = new Split(done, 0)
    let from = 0
    for (let block = first; block < first + blockCount; ) {
      const part = this.#segmentAt(block)
      assert(part !== undefined, 'a request lies on blocks that exist')
      const end = Math.min(part.end, first + blockCount)
      const slice = new Gather()
      sliceGather(gather, from, (end - block) * BLOCK_SIZE, slice)
      split.remaining += 1
      this.#one(kind, part, block, slice, split, copy)
      from += (end - block) * BLOCK_SIZE
      block = end
    }
  }

  #one(
    kind: Kind,
    segment: PlexSegment,
    first: number,
    gather: Gather,
    done: Completion,
    copy: Copy | undefined,
  ): void {
    const { disk, zones } = segment.labelled
    const at = zones.blocksAt + (first - segment.first) * BLOCK_SIZE
    if (kind === 'read') disk.read(at, gather, done, copy)
    else disk.write(at, gather, done, copy)
  }

  #segmentAt(block: number): PlexSegment | undefined {
    for (const segment of this.segments) {
      if (block < segment.end) return block >= segment.first ? segment : undefined
    }
    return undefined
  }
}
