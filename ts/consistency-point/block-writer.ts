import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import { Gather } from '../base/gather.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import type { Copies } from '../plex/copies.ts'
import type { Plex } from '../plex/plex.ts'
import type { Completion } from '../ports/completion.ts'
import type { BlockCache } from '../volume/cache.ts'
import type { Space } from '../volume/space.ts'
import type { PageArena } from './page-arena.ts'

/** What of an image is written to. */
export interface WrittenImage {
  readonly plex: Plex
  readonly copies: Copies
  readonly space: Space
  readonly cache: BlockCache
  readonly generation: number
}

/** One write has up to 1 MiB. */
const WRITE_BLOCKS_MAX = 256
/** Short ones keep a disk busy only if there are many; the partner takes 32 requests to its disks at once. */
const WRITES_IN_FLIGHT = 24
const BLOCKS_IN_FLIGHT = 8 * WRITE_BLOCKS_MAX
/** A step of the caller closes at most a path of nodes. */
const PAGES_PER_STEP = 8
const NO_PAGE = -1

export function diskFailed(copies: Copies, result: number): StoreError {
  const what = copies.failure ?? `a write failed with error ${-result}`
  return new StoreError('DISK_FAILED', `${what}; nothing of the consistency point counts; check the disk`)
}

/** One write on its way, and the arena pages that it sends. */
class Write implements Completion {
  readonly gather = new Gather()
  readonly pages = new Int32Array(WRITE_BLOCKS_MAX)
  first = 0
  count = 0
  readonly #writer: BlockWriter

  constructor(writer: BlockWriter) {
    this.#writer = writer
  }

  complete(result: number): void {
    this.#writer.ended(this, result)
  }
}

/** A run of free blocks that is being filled, and the write that collects its content. */
class Stream {
  next = 0
  end = 0
  write: Write | undefined
  readonly runBlocks: number

  constructor(runBlocks: number) {
    this.runBlocks = runBlocks
  }
}

/**
 * Gives every block its place on disk and writes blocks that lie together with one request. Data
 * and pointer blocks have runs of their own, so that both stay sequential.
 */
export class BlockWriter {
  inFlight = 0
  blocksInFlight = 0
  /** the first negative result, or 0 */
  failure = 0
  dataBlocks = 0
  metadataBlocks = 0
  writes = 0
  readonly #plex: Plex
  readonly #copies: Copies
  /** the generation that is published while this writes the next one */
  readonly #published: number
  readonly #space: Space
  readonly #cache: BlockCache
  readonly #arena: PageArena
  readonly #data = new Stream(WRITE_BLOCKS_MAX)
  readonly #metadata = new Stream(64)
  readonly #idle: Write[] = []

  constructor(image: WrittenImage, arena: PageArena) {
    this.#plex = image.plex
    this.#copies = image.copies
    this.#published = image.generation
    this.#space = image.space
    this.#cache = image.cache
    this.#arena = arena
  }

  /** Whether another step may be taken; else `makeRoom` and wait. */
  get isReady(): boolean {
    const isBusy = this.inFlight >= WRITES_IN_FLIGHT || this.blocksInFlight >= BLOCKS_IN_FLIGHT
    const hasRoom = !isBusy && this.#arena.freeCount >= PAGES_PER_STEP
    return hasRoom && this.failure === 0 && this.#copies.pins.mayOverwrite(this.#published)
  }

  /** Sends what keeps pages from being used again. */
  makeRoom(): void {
    if (this.#arena.freeCount < PAGES_PER_STEP) this.#send(this.#metadata)
  }

  /** Writes a block of data from where it is. Returns its place. */
  data(address: number): number {
    this.dataBlocks += 1
    return this.#append(this.#data, address, NO_PAGE)
  }

  /** Writes a pointer block; its page goes back to the arena afterwards. Returns its place. */
  metadata(page: number): number {
    this.metadataBlocks += 1
    return this.#append(this.#metadata, this.#arena.address(page), page)
  }

  /** Sends what is left and returns what was not used of the runs. */
  finish(): void {
    for (const stream of [this.#data, this.#metadata]) {
      this.#send(stream)
      this.#space.giveBack(stream.next, stream.end - stream.next)
      stream.next = 0
      stream.end = 0
    }
  }

  /** Forgets what was not sent, after a failure. The space is reverted as a whole. */
  abandon(): void {
    for (const stream of [this.#data, this.#metadata]) {
      if (stream.write !== undefined) this.#free(stream.write)
      stream.write = undefined
      stream.next = 0
      stream.end = 0
    }
  }

  *drain(): Procedure {
    while (this.inFlight > 0) yield 'wait'
  }

  checkFailure(): void {
    if (this.failure < 0) throw diskFailed(this.#copies, this.failure)
  }

  ended(write: Write, result: number): void {
    this.inFlight -= 1
    this.blocksInFlight -= write.count
    if (result < 0 && this.failure === 0) this.failure = result
    this.#free(write)
  }

  #append(stream: Stream, address: number, page: number): number {
    if (stream.next === stream.end) this.#nextRun(stream)
    const physical = stream.next
    stream.next += 1
    this.#cache.invalidate(physical)
    const write = stream.write ?? this.#begin(stream, physical)
    write.gather.add(address, BLOCK_SIZE)
    write.pages[write.count] = page
    write.count += 1
    if (write.count === WRITE_BLOCKS_MAX) this.#send(stream)
    return physical
  }

  #nextRun(stream: Stream): void {
    let count = this.#space.allocate(stream.runBlocks)
    if (count === 0) count = this.#takeFromOther(stream)
    assert(count > 0, 'space that was reserved is there')
    const isNext = this.#space.first === stream.end && stream.end > 0
    if (!isNext) this.#send(stream)
    stream.next = this.#space.first
    stream.end = this.#space.first + count
  }

  /** The last free blocks lie in the other stream's run. */
  #takeFromOther(stream: Stream): number {
    const other = stream === this.#data ? this.#metadata : this.#data
    this.#space.giveBack(other.next, other.end - other.next)
    other.end = other.next
    return this.#space.allocate(1)
  }

  #begin(stream: Stream, physical: number): Write {
    const write = this.#idle.pop() ?? new Write(this)
    write.gather.clear()
    write.count = 0
    write.first = physical
    stream.write = write
    return write
  }

  #send(stream: Stream): void {
    const { write } = stream
    if (write === undefined) return
    stream.write = undefined
    this.inFlight += 1
    this.blocksInFlight += write.count
    this.writes += 1
    this.#plex.write(write.first, write.gather, write)
  }

  #free(write: Write): void {
    for (let i = 0; i < write.count; i += 1) {
      const page = write.pages[i]!
      if (page !== NO_PAGE) this.#arena.release(page)
    }
    write.count = 0
    this.#idle.push(write)
  }
}
