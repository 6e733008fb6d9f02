import { assert } from '../base/assert.ts'
import type { MemoryBatch } from '../base/memory-batch.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { CommandFlag } from '../format/nbd.ts'
import { refusals } from '../nbd/errors.ts'
import {
  CHUNK_START_BYTE_LENGTH_MAX,
  emptyReplyTo,
  encodeDone,
  encodeOffsetData,
  encodeOffsetHole,
  encodeSimpleReply,
  keepReplyTo,
  OFFSET_HOLE_BYTE_LENGTH_MAX,
} from '../nbd/reply.ts'
import type { Memory } from '../ports/memory.ts'
import { FAILED, WAIT } from '../volume/answers.ts'
import type { Waiter } from '../volume/cache.ts'
import type { Aggregate } from './aggregate.ts'
import { type Client, Progress } from './client.ts'
import { OUTPUT_DATA_BYTES } from './output.ts'
import type { Lookup } from './read-queue.ts'

/** A READ is answered in pieces of at most this many blocks; each lies in the output buffer as a whole. */
export const PIECE_BLOCKS_MAX = 64
export const PIECE_BYTES_MAX = PIECE_BLOCKS_MAX * BLOCK_SIZE
const HEADER_BYTES_MAX = OUTPUT_DATA_BYTES - PIECE_BYTES_MAX
assert(HEADER_BYTES_MAX >= CHUNK_START_BYTE_LENGTH_MAX, 'a header fits before a piece')
assert(HEADER_BYTES_MAX >= OFFSET_HOLE_BYTE_LENGTH_MAX, 'a hole fits in place of a piece')

/** Reads of one client under way: as many as a Linux client has in flight on a connection. */
export const READS_PER_CLIENT_MAX = 128

/** Where each block of the current piece lies; 0: it is zero. One piece is looked at at a time. */
const sources = new Float64Array(PIECE_BLOCKS_MAX + 1)

/**
 * One READ. Looks in the log first (newest), then in the consistency point under way, then on disk.
 * Data that is not acknowledged yet may be seen, but not told: its reply waits for the partner.
 *
 * It waits for one thing at a time: a block from disk (`isWaiting`), the partner, or room in the output
 * of its client. While it waits for its client it holds nothing that another client could need.
 */
export class ReadOperation implements Lookup, Waiter {
  session = 0
  isWaiting = false
  /** the entry that must be acknowledged before a parked piece is told */
  parkedUntil = 0
  /** for the queue that it is in */
  next: Lookup | undefined
  isQueued = false
  #client: Client | undefined
  readonly #to = emptyReplyTo()
  /** its data comes in one chunk */
  #isWhole = false
  /** some block of the piece that was looked at is zero */
  #hasZeroes = false
  #offset = 0
  #length = 0
  #position = 0
  #generation = 0
  #parkedBytes = 0
  #parked: Memory | undefined
  /** it was the first of those that wait for room: nobody may be served before it */
  #isFirst = false
  readonly #aggregate: Aggregate

  constructor(aggregate: Aggregate) {
    this.#aggregate = aggregate
  }

  begin(client: Client): void {
    const { request } = client
    this.#client = client
    this.session = client.session
    keepReplyTo(this.#to, request)
    this.#isWhole = (request.flags & CommandFlag.DF) !== 0
    this.#offset = request.offset
    this.#length = request.length
    this.#position = 0
    this.#generation = this.#aggregate.image.generation
    client.isExclusive = this.#isLongAndSimple(client)
    this.step()
  }

  /** The cache has what was waited for, or has failed to get it. */
  wake(): void {
    if (this.isWaiting) {
      this.isWaiting = false
      this.#aggregate.lookups.wake(this)
    }
  }

  /** Goes on as far as possible: to the end, or until a block, room or the partner is waited for. */
  step(): void {
    const client = this.#client!
    this.isWaiting = false
    while (this.#isWanted(client)) {
      if (this.#position === this.#length) return this.#finish(client)
      const byteLength = this.#pieceLength()
      const found = this.#locate(byteLength)
      if (found === WAIT) {
        this.isWaiting = true
        return
      }
      if (found === FAILED) {
        if (this.#mayRetry()) continue
        return this.#fail(client)
      }
      if (found > this.#aggregate.acknowledged) return this.#park(byteLength)
      if (!this.#mayEmit(client, byteLength)) return this.#waitForRoom(client)
      this.#emit(client, byteLength)
    }
    this.#free()
  }

  /** The partner has what a parked piece shows. Without room for it, it is looked up again later. */
  unpark(): void {
    const client = this.#client!
    const byteLength = this.#parkedBytes
    if (byteLength > 0 && this.#isWanted(client) && this.#mayEmit(client, byteLength))
      this.#emitParked(client)
    this.#leaveParked()
    this.step()
  }

  /** Whether the output buffer has room for the next piece. */
  get hasRoom(): boolean {
    return this.#client!.output.hasRoomForData(this.#pieceLength() + HEADER_BYTES_MAX)
  }

  /** There is room in the output buffer again, and it is the first to have it. */
  speak(): void {
    this.#isFirst = true
    this.step()
    this.#isFirst = false
  }

  /** Its client has gone. */
  abandon(): void {
    this.#free()
  }

  #isWanted(client: Client): boolean {
    return client.isOpen && client.session === this.session
  }

  /** Nobody overtakes those that wait for room: small reads would keep long ones from ever having it. */
  #mayEmit(client: Client, byteLength: number): boolean {
    if (!this.#isFirst && client.waitingForRoom.first !== undefined) return false
    return client.output.hasRoomForData(byteLength + HEADER_BYTES_MAX)
  }

  #waitForRoom(client: Client): void {
    if (this.#isFirst) client.waitingForRoom.unshift(this)
    else client.waitingForRoom.push(this)
  }

  #isLongAndSimple(client: Client): boolean {
    return !client.limits.structured && this.#length > PIECE_BYTES_MAX - BLOCK_SIZE
  }

  #pieceLength(): number {
    const inBlock = (this.#offset + this.#position) % BLOCK_SIZE
    return Math.min(this.#length - this.#position, PIECE_BYTES_MAX - inBlock)
  }

  /** Fills `sources`. Returns the newest sequence among dirty blocks (0: none), or WAIT, or FAILED. */
  #locate(byteLength: number): number {
    const aggregate = this.#aggregate
    const from = this.#offset + this.#position
    const first = Math.floor(from / BLOCK_SIZE)
    const count = Math.ceil((from + byteLength) / BLOCK_SIZE) - first
    this.#client!.work += count
    let newest = 0
    let waits = false
    this.#hasZeroes = false
    for (let i = 0; i < count; i += 1) {
      const address = aggregate.locate(this.#client!.volume, first + i, this)
      if (address === FAILED) return FAILED
      if (address === WAIT) waits = true
      if (address === 0) this.#hasZeroes = true
      sources[i] = address
      newest = Math.max(newest, aggregate.locatedSequence)
    }
    return waits ? WAIT : newest
  }

  /** A consistency point may have moved the blocks away under a slow read: look again, once for each. */
  #mayRetry(): boolean {
    if (this.#generation === this.#aggregate.image.generation) return false
    this.#generation = this.#aggregate.image.generation
    return true
  }

  #emit(client: Client, byteLength: number): void {
    if (this.#hasZeroes && client.limits.structured) return this.#emitRuns(client, byteLength)
    this.#emitHeader(client, byteLength)
    this.#emitData(client, byteLength, 0)
  }

  /** What is zero is told as a hole, where it is a block at least: so the reply never gets longer by it. */
  #emitRuns(client: Client, byteLength: number): void {
    const inBlock = (this.#offset + this.#position) % BLOCK_SIZE
    const isZero = zeroLength(inBlock, byteLength) === byteLength
    if (isZero) return this.#emitHole(client, byteLength)
    if (this.#isWhole) {
      this.#emitHeader(client, byteLength)
      return this.#emitData(client, byteLength, 0)
    }
    for (let done = 0; done < byteLength; ) {
      const at = inBlock + done
      const zeroes = zeroLength(at, byteLength - done)
      const run = zeroes >= BLOCK_SIZE ? zeroes : dataLength(at, byteLength - done)
      if (zeroes >= BLOCK_SIZE) this.#emitHole(client, run)
      else {
        this.#emitHeader(client, run)
        this.#emitData(client, run, Math.floor(at / BLOCK_SIZE))
      }
      done += run
    }
  }

  /** Copies what lies in `sources` from the given block on. */
  #emitData(client: Client, byteLength: number, block: number): void {
    const { output } = client
    const at = output.address + output.at
    copyPiece(this.#aggregate.batch, this.#offset + this.#position, byteLength, at, block)
    output.advance(byteLength)
    this.#position += byteLength
  }

  #emitHole(client: Client, byteLength: number): void {
    this.#aggregate.touch(client)
    const { output, limits } = client
    const done = this.#position + byteLength === this.#length
    const from = this.#offset + this.#position
    output.advance(
      encodeOffsetHole(output.view, output.at, this.#to, limits.extended, from, byteLength, done),
    )
    this.#position += byteLength
  }

  #emitHeader(client: Client, byteLength: number): void {
    this.#aggregate.touch(client)
    const { output, limits } = client
    const done = this.#position + byteLength === this.#length
    const to = this.#to
    if (limits.structured) {
      const from = this.#offset + this.#position
      output.advance(encodeOffsetData(output.view, output.at, to, limits.extended, from, byteLength, done))
    } else if (this.#position === 0) {
      output.advance(encodeSimpleReply(output.view, output.at, to, 0))
    }
  }

  /**
   * Keeps the piece as it was seen, until what it shows is acknowledged: a block that is written again and
   * again would else never be told. When too many are kept already, it is looked up again then.
   */
  #park(byteLength: number): void {
    const aggregate = this.#aggregate
    this.#parked = aggregate.parking.take()
    if (this.#parked !== undefined) {
      copyPiece(aggregate.batch, this.#offset + this.#position, byteLength, this.#parked.address, 0)
      this.#parkedBytes = byteLength
    }
    this.parkedUntil = aggregate.log.ring.head - 1
    aggregate.lookups.park(this)
  }

  #leaveParked(): void {
    if (this.#parked !== undefined) this.#aggregate.parking.giveBack(this.#parked)
    this.#parked = undefined
    this.#parkedBytes = 0
  }

  #emitParked(client: Client): void {
    this.#emitHeader(client, this.#parkedBytes)
    const { output } = client
    this.#aggregate.batch.copy(this.#parked!.address, output.address + output.at, this.#parkedBytes)
    output.advance(this.#parkedBytes)
    this.#position += this.#parkedBytes
  }

  #finish(client: Client): void {
    client.inFlight -= 1
    client.isExclusive = false
    this.#free()
  }

  #fail(client: Client): void {
    if (!client.limits.structured && this.#position > 0) {
      client.drop('a block could not be read in the middle of a reply')
      return this.#free()
    }
    client.isExclusive = false
    client.reply(this.#to, refusals.UNREADABLE)
    this.#free()
  }

  #free(): void {
    const client = this.#client!
    this.#client = undefined
    this.isWaiting = false
    this.#leaveParked()
    this.#aggregate.lookups.freeRead(this, client)
  }
}

/** Takes up the current READ of a client. */
export function startRead(aggregate: Aggregate, client: Client): Progress {
  const { request, output } = client
  if (request.length === 0) {
    if (!client.limits.structured) client.reply(request)
    else {
      output.advance(encodeDone(output.view, output.at, request, client.limits.extended))
      client.inFlight -= 1
    }
    return Progress.DONE
  }
  // one chunk was asked for, and longer than a piece it would have to be collected first
  if ((request.flags & CommandFlag.DF) !== 0 && request.length > PIECE_BYTES_MAX - BLOCK_SIZE) {
    return client.refuse(refusals.TOO_LARGE_FOR_ONE_CHUNK)
  }
  const isLong = request.length > PIECE_BYTES_MAX - BLOCK_SIZE
  if (isLong && !client.limits.structured && client.inFlight > 1) return Progress.STALLED
  // the end of one of its own reads lets it go on
  if (client.reads >= READS_PER_CLIENT_MAX) return Progress.STALLED
  aggregate.lookups.takeRead(client).begin(client)
  return Progress.DONE
}

/** How much from `at` on is zero; `at` counts from the block whose place is the first of `sources`. */
function zeroLength(at: number, byteLength: number): number {
  let end = at
  for (let block = Math.floor(at / BLOCK_SIZE); end < at + byteLength && sources[block] === 0; block += 1) {
    end = (block + 1) * BLOCK_SIZE
  }
  return Math.min(end - at, byteLength)
}

/** How much from `at` on is best told as data: up to the next whole block of zeroes. */
function dataLength(at: number, byteLength: number): number {
  let length = 0
  while (length < byteLength) {
    const zeroes = zeroLength(at + length, byteLength - length)
    if (zeroes >= BLOCK_SIZE) break
    length += BLOCK_SIZE - ((at + length) % BLOCK_SIZE)
  }
  return Math.min(length, byteLength)
}

/** Adds the copies of what was located, from byte `offset` in `block` on; neighbours are copied together. */
function copyPiece(batch: MemoryBatch, offset: number, byteLength: number, to: number, from: number): void {
  let block = from
  let inBlock = offset % BLOCK_SIZE
  for (let done = 0; done < byteLength; ) {
    const source = sources[block]!
    let run = BLOCK_SIZE - inBlock
    block += 1
    while (done + run < byteLength && continues(source, block, run + inBlock)) {
      run += BLOCK_SIZE
      block += 1
    }
    run = Math.min(run, byteLength - done)
    if (source === 0) batch.zero(to + done, run)
    else batch.copy(source + inBlock, to + done, run)
    done += run
    inBlock = 0
  }
}

function continues(source: number, block: number, reach: number): boolean {
  const next = sources[block]!
  return source === 0 ? next === 0 : next === source + reach
}
