import { assert } from '../base/assert.ts'
import type { MemoryBatch } from '../base/memory-batch.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { CommandFlag, NbdError } from '../format/nbd.ts'
import { ERROR_CHUNK_BYTE_LENGTH, encodeDone, encodeOffsetData, encodeSimpleReply } from '../nbd/reply.ts'
import type { Memory } from '../ports/memory.ts'
import { FAILED, WAIT } from '../volume/answers.ts'
import type { Waiter } from '../volume/cache.ts'
import type { Aggregate } from './aggregate.ts'
import { type Client, Progress } from './client.ts'
import { OUTPUT_DATA_BYTES } from './output.ts'

/** A READ is answered in pieces of at most this many blocks; each lies in the output buffer as a whole. */
export const PIECE_BLOCKS_MAX = 64
export const PIECE_BYTES_MAX = PIECE_BLOCKS_MAX * BLOCK_SIZE
const HEADER_BYTES_MAX = OUTPUT_DATA_BYTES - PIECE_BYTES_MAX
assert(HEADER_BYTES_MAX >= ERROR_CHUNK_BYTE_LENGTH, 'a header fits before a piece')

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
export class ReadOperation implements Waiter {
  session = 0
  isWaiting = false
  /** the entry that must be acknowledged before a parked piece is told */
  parkedUntil = 0
  /** for the queue that it is in */
  next: ReadOperation | undefined
  isQueued = false
  #client: Client | undefined
  #cookieHigh = 0
  #cookieLow = 0
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
    this.#cookieHigh = request.cookieHigh
    this.#cookieLow = request.cookieLow
    this.#offset = request.offset
    this.#length = request.length
    this.#position = 0
    this.#generation = this.#aggregate.image.generation
    client.isExclusive = this.#isLongAndSimple(client)
    this.step()
  }

  /** The cache has what was waited for, or has failed to get it. */
  wake(): void {
    if (this.isWaiting) this.#aggregate.wakeRead(this)
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
    for (let i = 0; i < count; i += 1) {
      const address = aggregate.locate(this.#client!.volume, first + i, this)
      if (address === FAILED) return FAILED
      if (address === WAIT) waits = true
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
    this.#emitHeader(client, byteLength)
    const { output } = client
    copyPiece(this.#aggregate.batch, this.#offset + this.#position, byteLength, output.address + output.at)
    output.advance(byteLength)
    this.#position += byteLength
  }

  #emitHeader(client: Client, byteLength: number): void {
    this.#aggregate.touch(client)
    const { output } = client
    const done = this.#position + byteLength === this.#length
    const [high, low] = [this.#cookieHigh, this.#cookieLow]
    if (client.limits.structured) {
      const at = this.#offset + this.#position
      output.advance(encodeOffsetData(output.view, output.at, high, low, at, byteLength, done))
    } else if (this.#position === 0) {
      output.advance(encodeSimpleReply(output.view, output.at, high, low, 0))
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
      copyPiece(aggregate.batch, this.#offset + this.#position, byteLength, this.#parked.address)
      this.#parkedBytes = byteLength
    }
    this.parkedUntil = aggregate.log.ring.head - 1
    aggregate.parkedReads.push(this)
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
    client.reply(this.#cookieHigh, this.#cookieLow, NbdError.EIO, true)
    this.#free()
  }

  #free(): void {
    const client = this.#client!
    this.#client = undefined
    this.isWaiting = false
    this.#leaveParked()
    this.#aggregate.freeRead(this, client)
  }
}

/** Takes up the current READ of a client. */
export function startRead(aggregate: Aggregate, client: Client): Progress {
  const { request, output } = client
  if (request.length === 0) {
    if (!client.limits.structured) client.reply(request.cookieHigh, request.cookieLow, 0)
    else {
      output.advance(encodeDone(output.view, output.at, request.cookieHigh, request.cookieLow))
      client.inFlight -= 1
    }
    return Progress.DONE
  }
  // one chunk was asked for, and longer than a piece it would have to be collected first
  if ((request.flags & CommandFlag.DF) !== 0 && request.length > PIECE_BYTES_MAX - BLOCK_SIZE) {
    return client.refuse(NbdError.EOVERFLOW)
  }
  const isLong = request.length > PIECE_BYTES_MAX - BLOCK_SIZE
  if (isLong && !client.limits.structured && client.inFlight > 1) return Progress.STALLED
  // the end of one of its own reads lets it go on
  if (client.reads >= READS_PER_CLIENT_MAX) return Progress.STALLED
  aggregate.takeRead(client).begin(client)
  return Progress.DONE
}

/** Adds the copies of the located piece that begins at byte `offset`; neighbours are copied together. */
function copyPiece(batch: MemoryBatch, offset: number, byteLength: number, to: number): void {
  let block = 0
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
