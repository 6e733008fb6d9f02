import { BLOCK_SIZE } from '../base/units.ts'
import { ENTRY_FLAG_FUA, ENTRY_FLAG_NO_HOLE, ENTRY_PAGES_MAX, EntryKind } from '../format/log-ring.ts'
import { Command, CommandFlag } from '../format/nbd.ts'
import { NO_ROOM } from '../log/ring.ts'
import { type Refusal, refusals } from '../nbd/errors.ts'
import { mistakeInRange } from '../nbd/validate.ts'
import { FAILED, WAIT } from '../volume/answers.ts'
import type { Aggregate } from './aggregate.ts'
import { type Client, isFua, Progress } from './client.ts'

/** A long payload is logged in stretches of at least this many blocks, as it arrives. */
const STRETCH_BLOCKS_MIN = 32
/** No payload: the bytes to log are zeroes. */
const ZEROES = 0

/**
 * The life of a WRITE, in order:
 *   1. its bytes go from the receive buffer into a slot of our NVRAM, whole blocks with their CRC32C;
 *   2. the same bytes go to the partner's NVRAM (partner/mirror.ts, at the end of the turn);
 *   3. the reply waits until both have it (`acknowledgements`; with FUA `stabilities`);
 *   4. later, a consistency point writes the slot to disk (consistency-point/).
 * What is not a whole block is merged with what the block held before, at the moment it is logged.
 */
export function write(aggregate: Aggregate, client: Client): Progress {
  const { request } = client
  const mistake = shrunkMeanwhile(client)
  if (mistake !== undefined) return refuse(client, mistake)
  while (client.progress < request.length) {
    const offset = request.offset + client.progress
    const remaining = request.length - client.progress
    const inBlock = offset % BLOCK_SIZE
    if (inBlock !== 0 || remaining < BLOCK_SIZE) {
      const byteLength = Math.min(BLOCK_SIZE - inBlock, remaining)
      if (client.available < byteLength) return Progress.MORE
      const progress = logPartial(aggregate, client, offset, byteLength, client.payloadAddress)
      if (progress !== Progress.DONE || client.progress < 0) return progress
      client.consume(byteLength)
      client.progress += byteLength
    } else {
      const wanted = Math.floor(remaining / BLOCK_SIZE)
      const blocks = Math.min(wanted, Math.floor(client.available / BLOCK_SIZE), ENTRY_PAGES_MAX)
      if (blocks < Math.min(wanted, STRETCH_BLOCKS_MIN)) return Progress.MORE
      const progress = logBlocks(aggregate, client, offset, blocks)
      if (progress !== Progress.DONE || client.progress < 0) return progress
      client.consume(blocks * BLOCK_SIZE)
      client.progress += blocks * BLOCK_SIZE
    }
  }
  return replyWhenSafe(aggregate, client)
}

/** TRIM and WRITE_ZEROES: one entry for all whole blocks, whatever their number. */
export function writeZeroes(aggregate: Aggregate, client: Client): Progress {
  const { request } = client
  const isTrim = request.command === Command.TRIM
  const mistake = shrunkMeanwhile(client)
  if (mistake !== undefined) return refuse(client, mistake)
  const end = request.offset + request.length
  while (client.progress < request.length) {
    const offset = request.offset + client.progress
    const inBlock = offset % BLOCK_SIZE
    const whole = Math.floor((end - offset) / BLOCK_SIZE) * BLOCK_SIZE
    const byteLength = inBlock === 0 && whole > 0 ? whole : Math.min(BLOCK_SIZE - inBlock, end - offset)
    if (inBlock === 0 && whole > 0) {
      const progress = logRange(aggregate, client, offset, byteLength, isTrim)
      if (progress !== Progress.DONE || client.progress < 0) return progress
    } else if (!isTrim) {
      // a trim is a hint: less than a block of it is ignored
      const progress = logPartial(aggregate, client, offset, byteLength, ZEROES)
      if (progress !== Progress.DONE || client.progress < 0) return progress
    }
    client.progress += byteLength
  }
  return replyWhenSafe(aggregate, client)
}

/** FLUSH: everything answered before must be as safe as the durability class promises. */
export function flush(aggregate: Aggregate, client: Client): Progress {
  return replyWhenStable(aggregate, client)
}

function logBlocks(aggregate: Aggregate, client: Client, offset: number, blocks: number): Progress {
  const firstPage = admit(aggregate, client, offset, blocks)
  if (firstPage < 0) return refusedOrStalled(client, firstPage)
  const { ring } = aggregate.log
  const target = ring.pageAddress(firstPage)
  aggregate.batch.copyWithChecksums(client.payloadAddress, target, blocks, ring.checksumAddress(firstPage))
  aggregate.append(EntryKind.WRITE, flagsOf(client), client, offset, blocks * BLOCK_SIZE, firstPage, blocks)
  return Progress.DONE
}

/** Less than a block: the rest of the block comes from where it is now, in the log or on disk. */
function logPartial(
  aggregate: Aggregate,
  client: Client,
  offset: number,
  byteLength: number,
  from: number,
): Progress {
  const base = aggregate.locate(client.volume, Math.floor(offset / BLOCK_SIZE), client.waiter)
  if (base === WAIT) return Progress.STALLED
  if (base === FAILED) return refuse(client, refusals.UNREADABLE)
  const firstPage = admit(aggregate, client, offset, 1)
  if (firstPage < 0) return refusedOrStalled(client, firstPage)
  const { ring } = aggregate.log
  const { batch } = aggregate
  const page = ring.pageAddress(firstPage)
  if (base === 0) batch.zero(page, BLOCK_SIZE)
  else batch.copy(base, page, BLOCK_SIZE)
  const target = page + (offset % BLOCK_SIZE)
  if (from === ZEROES) batch.zero(target, byteLength)
  else batch.copy(from, target, byteLength)
  batch.copyWithChecksums(page, page, 1, ring.checksumAddress(firstPage))
  aggregate.append(EntryKind.WRITE, flagsOf(client), client, offset, byteLength, firstPage, 1)
  return Progress.DONE
}

function logRange(
  aggregate: Aggregate,
  client: Client,
  offset: number,
  byteLength: number,
  isTrim: boolean,
): Progress {
  const place = admit(aggregate, client, offset, 0)
  if (place < 0) return refusedOrStalled(client, place)
  const kind = isTrim ? EntryKind.TRIM : EntryKind.WRITE_ZEROES
  aggregate.append(kind, flagsOf(client), client, offset, byteLength, place, 0)
  return Progress.DONE
}

const STALLED = -1
const NO_SPACE = -2
const NO_VOLUME = -3

/**
 * Everything that a change needs, at once: admission, a place in the ring, and space on disk for the
 * worst case. Returns the first page of its place, or why not.
 */
function admit(aggregate: Aggregate, client: Client, offset: number, pages: number): number {
  const volume = aggregate.image.directory.get(client.volume)
  if (volume === undefined) return NO_VOLUME
  if (!aggregate.mayLog) {
    aggregate.stall(client)
    return STALLED
  }
  const firstPage = aggregate.log.ring.place(pages)
  if (firstPage === NO_ROOM) {
    aggregate.requestConsistencyPoint('the log is full')
    aggregate.stall(client)
    return STALLED
  }
  if (!aggregate.promises.forChange(volume, Math.floor(offset / BLOCK_SIZE), pages)) {
    return aggregate.mayStillFindSpace(client) ? STALLED : NO_SPACE
  }
  client.shortOfSpaceSince = -1
  return firstPage
}

function refusedOrStalled(client: Client, why: number): Progress {
  if (why === STALLED) return Progress.STALLED
  return refuse(client, why === NO_SPACE ? refusals.FULL : refusals.GONE)
}

/**
 * The volume may have shrunk since the request was taken up, while its payload or room was waited for: what
 * is logged beyond the new end would be acknowledged and lost.
 */
function shrunkMeanwhile({ request, limits, progress }: Client): Refusal | undefined {
  return progress < request.length ? mistakeInRange(request, limits.byteLength) : undefined
}

/** A progress of -1 tells the loops above that the request is over. */
function refuse(client: Client, refusal: Refusal): Progress {
  client.shortOfSpaceSince = -1
  client.refuse(refusal)
  client.progress = -1
  return Progress.DONE
}

function flagsOf(client: Client): number {
  const noHole = (client.request.flags & CommandFlag.NO_HOLE) !== 0 ? ENTRY_FLAG_NO_HOLE : 0
  return (isFua(client) ? ENTRY_FLAG_FUA : 0) | noHole
}

function replyWhenSafe(aggregate: Aggregate, client: Client): Progress {
  return isFua(client)
    ? replyWhenStable(aggregate, client)
    : wait(aggregate, client, aggregate.acknowledgements)
}

function replyWhenStable(aggregate: Aggregate, client: Client): Progress {
  return wait(aggregate, client, aggregate.stabilities)
}

function wait(aggregate: Aggregate, client: Client, replies: Aggregate['acknowledgements']): Progress {
  if (replies.isFull) {
    aggregate.stall(client)
    return Progress.STALLED
  }
  const sequence = aggregate.log.ring.head - 1
  replies.push(sequence, client.slot, client.session, client.request)
  return Progress.DONE
}
