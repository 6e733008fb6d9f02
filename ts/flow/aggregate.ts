import { assert } from '../base/assert.ts'
import { MemoryBatch } from '../base/memory-batch.ts'
import { BLOCK_SIZE, lowWord } from '../base/units.ts'
import { ENTRY_PAGES_MAX, EntryKind } from '../format/log-ring.ts'
import { Command } from '../format/nbd.ts'
import type { LogCopy } from '../log/copy.ts'
import { DirtyIndex, NOT_DIRTY, ZERO_BLOCK } from '../log/dirty-index.ts'
import type { MemoryPort } from '../ports/memory.ts'
import { FAILED, HOLE } from '../volume/answers.ts'
import type { Waiter } from '../volume/cache.ts'
import type { Image } from '../volume/image.ts'
import { Admission } from './admission.ts'
import { apply } from './apply.ts'
import { startStatus } from './block-status.ts'
import { type Client, Progress, type Server } from './client.ts'
import { Lookups } from './lookups.ts'
import { Parking } from './parking.ts'
import { PendingReplies } from './pending.ts'
import { PIECE_BYTES_MAX, startRead } from './read.ts'
import { Sessions } from './sessions.ts'
import { SpacePromises } from './space-promises.ts'
import { flush, write, writeZeroes } from './write.ts'

/** Pieces kept for reads that wait for the partner. */
const PARKED_MAX = 256
const REPLIES_MAX = 65536
/** A change that found no space waits for this many consistency points, which free what was overwritten. */
const SPACE_PATIENCE_GENERATIONS = 3

export interface AggregateLimits {
  readonly connectionsMax: number
}

/** What the aggregate asks of the engine around it. */
export interface Surroundings {
  requestConsistencyPoint(why: string): void
  /** the same, even if there is nothing to write: blocks that were freed become free with it */
  requestSpace(why: string): void
  clientGone(client: Client, reason: string): void
}

/**
 * The owner's side of an aggregate: its clients, the log they write to, the index of what is dirty,
 * and the image that everything else is read from. Reads and writes meet here and nowhere else.
 *
 * Invariants: acknowledged < head of the log; a block is looked up in `active`, then `frozen`, then the
 * image, so the newest change wins; space for every dirty block is reserved.
 */
export class Aggregate implements Server {
  readonly log: LogCopy
  readonly image: Image
  readonly memory: MemoryPort
  readonly batch = new MemoryBatch(4096)
  readonly epoch: number
  active: DirtyIndex
  frozen: DirtyIndex | undefined
  /** disk space for the changes in `active` and in `frozen` */
  readonly promises: SpacePromises
  /** every entry up to here is in every copy of the log that the record calls in sync */
  acknowledged: number
  /** every entry up to here is as safe as the durability class promises for FLUSH and FUA */
  stable: number
  /** replies that wait for `acknowledged`, and for `stable` */
  readonly acknowledgements = new PendingReplies(REPLIES_MAX)
  readonly stabilities = new PendingReplies(REPLIES_MAX)
  readonly lookups = new Lookups(this)
  readonly parking: Parking
  readonly admission = new Admission()
  /** of the last block that `locate` found in the log; 0: it was not there */
  locatedSequence = 0
  readonly counters = { reads: 0, writes: 0, ranges: 0, flushes: 0, bytesRead: 0, bytesWritten: 0 }
  readonly sessions: Sessions
  readonly #surroundings: Surroundings

  constructor(
    log: LogCopy,
    image: Image,
    memory: MemoryPort,
    epoch: number,
    limits: AggregateLimits,
    around: Surroundings,
  ) {
    this.log = log
    this.image = image
    this.memory = memory
    this.epoch = epoch
    this.active = new DirtyIndex(log.layout.pageCount)
    this.acknowledged = log.ring.head - 1
    this.stable = this.acknowledged
    this.promises = new SpacePromises(image)
    this.parking = new Parking(memory, PARKED_MAX, PIECE_BYTES_MAX)
    this.sessions = new Sessions(this, memory, limits.connectionsMax)
    this.#surroundings = around
  }

  get directory(): Image['directory'] {
    return this.image.directory
  }

  get ring(): LogCopy['ring'] {
    return this.log.ring
  }

  /** Where the newest content of a block lies: an address, 0 for zeroes, WAIT or FAILED. */
  locate(volume: number, block: number, waiter: Waiter): number {
    this.locatedSequence = 0
    const inActive = this.#inLog(this.active, volume, block)
    if (inActive !== NOT_DIRTY) return inActive
    if (this.frozen !== undefined) {
      const inFrozen = this.#inLog(this.frozen, volume, block)
      if (inFrozen !== NOT_DIRTY) return inFrozen
    }
    const record = this.image.directory.get(volume)
    if (record === undefined) return FAILED
    const { tree, cache } = this.image
    const physical = tree.resolve(record.root, record.height, block, waiter)
    if (physical < 0) return physical === HOLE ? 0 : physical
    const frame = cache.get(physical, tree.checksum, waiter)
    return frame >= 0 ? cache.frameAddress(frame) : frame
  }

  #inLog(index: DirtyIndex, volume: number, block: number): number {
    const page = index.lookup(volume, block)
    if (page === NOT_DIRTY) return NOT_DIRTY
    this.locatedSequence = this.acknowledged + ((index.foundSequence - lowWord(this.acknowledged)) | 0)
    return page === ZERO_BLOCK ? 0 : this.log.ring.pageAddress(page)
  }

  /** Whether another change may be logged in this turn (back-pressure is smooth, see admission.ts). */
  get mayLog(): boolean {
    return this.admission.open
  }

  /** After a failed reservation: whether consistency points may still free enough; then the client stalls. */
  mayStillFindSpace(client: Client): boolean {
    const { generation, space } = this.image
    if (this.#isOnDisk && space.freeing === 0) return false
    if (client.shortOfSpaceSince < 0) client.shortOfSpaceSince = generation
    if (generation - client.shortOfSpaceSince >= SPACE_PATIENCE_GENERATIONS) return false
    this.#surroundings.requestSpace('the aggregate is short of space')
    this.stall(client)
    return true
  }

  /** Everything that was logged is on disk: no promise of space is open. */
  get #isOnDisk(): boolean {
    return this.frozen === undefined && this.image.lastSequence === this.log.ring.head - 1
  }

  requestConsistencyPoint(why: string): void {
    this.#surroundings.requestConsistencyPoint(why)
  }

  /** Logs a change whose place, data and space have been settled, and applies it. */
  append(
    kind: number,
    flags: number,
    client: Client,
    offset: number,
    length: number,
    firstPage: number,
    pages: number,
  ): number {
    assert(pages <= ENTRY_PAGES_MAX, 'an entry has at most 64 pages')
    const { cookieLow, cookieHigh } = client.request
    this.admission.spend(pages * BLOCK_SIZE)
    const generation = this.image.generation + 1
    const sequence = this.log.ring.append(
      this.batch,
      this.epoch,
      kind,
      flags,
      client.volume,
      generation,
      offset,
      length,
      firstPage,
      pages,
      cookieLow,
      cookieHigh,
    )
    apply(this, sequence)
    return sequence
  }

  /** Logs a request to the server; `page` is its body. */
  appendRequest(kind: number, volume: number, page: Uint8Array, firstPage: number): number {
    const { ring } = this.log
    ring.pageBytes(firstPage).set(page)
    const address = ring.pageAddress(firstPage)
    this.batch.copyWithChecksums(address, address, 1, ring.checksumAddress(firstPage))
    const generation = this.image.generation + 1
    const sequence = ring.append(
      this.batch,
      this.epoch,
      kind,
      0,
      volume,
      generation,
      0,
      page.length,
      firstPage,
      1,
      0,
      0,
    )
    apply(this, sequence)
    return sequence
  }

  /** Logs that this epoch began: no entry of an older one can follow it in a scan. */
  appendNothing(): number {
    const { ring } = this.log
    const place = ring.placeOfMark()
    assert(place >= 0, 'the first entry of an epoch finds a place')
    return ring.append(
      this.batch,
      this.epoch,
      EntryKind.NOTHING,
      0,
      0,
      this.image.generation + 1,
      0,
      0,
      place,
      0,
      0,
      0,
    )
  }

  // --- clients -------------------------------------------------------------------------------------

  ready(client: Client): void {
    this.sessions.ready(client)
  }

  touch(client: Client): void {
    this.sessions.touch(client)
  }

  /** Waits for room, space or admission; asked again in the next turns. */
  stall(client: Client): void {
    this.sessions.stall(client)
  }

  gone(client: Client, reason: string): void {
    this.#surroundings.clientGone(client, reason)
  }

  get hasWork(): boolean {
    return this.sessions.hasReady || this.lookups.hasWoken
  }

  execute(client: Client): Progress {
    switch (client.request.command) {
      case Command.READ:
        return this.#count('reads', 'bytesRead', client, startRead(this, client))
      case Command.WRITE:
        return this.#count('writes', 'bytesWritten', client, write(this, client))
      case Command.TRIM:
      case Command.WRITE_ZEROES:
        return this.#count('ranges', undefined, client, writeZeroes(this, client))
      case Command.FLUSH:
        return this.#count('flushes', undefined, client, flush(this, client))
      case Command.BLOCK_STATUS:
        return startStatus(this, client)
      default:
        assert(client.request.command === Command.CACHE, 'validated commands are executed')
        client.reply(client.request)
        return Progress.DONE
    }
  }

  #count(
    what: 'reads' | 'writes' | 'ranges' | 'flushes',
    bytes: 'bytesRead' | 'bytesWritten' | undefined,
    client: Client,
    progress: Progress,
  ): Progress {
    if (progress === Progress.DONE) {
      this.counters[what] += 1
      if (bytes !== undefined) this.counters[bytes] += client.request.length
    }
    return progress
  }

  /** Reads that are under way; with nothing in flight there are none. */
  get readsInUse(): number {
    return this.sessions.clients.reduce((count, { reads, statuses }) => count + reads + statuses, 0)
  }

  // --- the turn ------------------------------------------------------------------------------------

  beginTurn(nowMs: number): void {
    this.acknowledgements.nowMs = nowMs
    this.stabilities.nowMs = nowMs
  }

  /** Takes up what clients have sent and what has become possible. Fills the memory batch. */
  takeRequests(nowMs: number): void {
    this.admission.refill(nowMs, this.log.ring.fill)
    this.lookups.stepWoken()
    if (this.mayLog) this.sessions.wakeStalled()
    this.sessions.parse()
  }

  /** Whether replies were queued that wait for nothing, such as for a FLUSH of what is stable already. */
  get hasDueReplies(): boolean {
    const { acknowledgements, stabilities } = this
    return acknowledgements.nextSequence <= this.acknowledged || stabilities.nextSequence <= this.stable
  }

  /** Copies and checksums everything that this turn has gathered. */
  runBatch(): void {
    if (this.batch.count === 0) return
    const failures = this.memory.run(this.batch)
    assert(failures === 0, 'the owner verifies nothing while it copies')
  }

  /** Lets out the replies that have become due. Fills the memory batch with parked reads. */
  releaseReplies(acknowledged: number, stable: number): void {
    assert(acknowledged >= this.acknowledged, 'acknowledgements never go back')
    assert(acknowledged < this.log.ring.head, 'only what is logged is acknowledged')
    this.acknowledged = acknowledged
    // may go back: what rested on two memories does not once the partner is gone
    this.stable = Math.min(stable, acknowledged)
    this.log.marks.acknowledge(acknowledged)
    this.#release(this.acknowledgements, this.acknowledged)
    this.#release(this.stabilities, this.stable)
    this.lookups.unpark(acknowledged)
  }

  #release(replies: PendingReplies, through: number): void {
    while (replies.nextSequence <= through) {
      const place = replies.front
      const client = this.sessions.clients[replies.connections[place]!]!
      const isThere = client.isOpen && client.session === replies.sessions[place]
      const to = replies.shift()
      if (isThere) client.reply(to)
    }
  }

  // --- consistency points --------------------------------------------------------------------------

  /** From here on new changes go into a fresh index; what was dirty is written by one consistency point. */
  freeze(): DirtyIndex {
    assert(this.frozen === undefined, 'one consistency point at a time')
    this.frozen = this.active
    this.promises.freeze()
    this.active = new DirtyIndex(Math.max(1024, Math.min(this.log.layout.pageCount, this.frozen.blockCount)))
    return this.frozen
  }

  /** The consistency point is durable: the image has all that was frozen. */
  thaw(): void {
    assert(this.frozen !== undefined, 'a consistency point was under way')
    this.promises.kept()
    this.frozen = undefined
  }
}
