import { BLOCK_SIZE } from '../base/units.ts'
import { CommandFlag, EXTENDED_EXTENT_BYTE_LENGTH, EXTENT_BYTE_LENGTH } from '../format/nbd.ts'
import { refusals } from '../nbd/errors.ts'
import { contexts, extentFlags, NO_CONTEXTS } from '../nbd/meta-context.ts'
import {
  CHUNK_START_BYTE_LENGTH_MAX,
  emptyReplyTo,
  encodeBlockStatus,
  encodeExtent,
  keepReplyTo,
} from '../nbd/reply.ts'
import { FAILED, WAIT } from '../volume/answers.ts'
import type { Waiter } from '../volume/cache.ts'
import type { Aggregate } from './aggregate.ts'
import { type Client, Progress } from './client.ts'
import { AGAIN, ExtentSearch } from './extents.ts'
import type { Lookup } from './read-queue.ts'

/** BLOCK_STATUSes of one client under way; each may hold a long list of extents. */
const STATUSES_PER_CLIENT_MAX = 4

/**
 * One BLOCK_STATUS. It collects extents over several turns (flow/extents.ts), waits until the partner has
 * what it may have seen, and is told in one chunk for each context. Like a READ it waits for one thing at a
 * time.
 */
export class StatusOperation implements Lookup, Waiter {
  session = 0
  isWaiting = false
  parkedUntil = 0
  next: Lookup | undefined
  isQueued = false
  #client: Client | undefined
  #isFirst = false
  readonly #to = emptyReplyTo()
  #offset = 0
  #length = 0
  #contexts = NO_CONTEXTS
  #generation = 0
  readonly #aggregate: Aggregate
  readonly #search: ExtentSearch

  constructor(aggregate: Aggregate) {
    this.#aggregate = aggregate
    this.#search = new ExtentSearch(aggregate)
  }

  begin(client: Client): void {
    const { request } = client
    this.#client = client
    this.session = client.session
    keepReplyTo(this.#to, request)
    this.#offset = request.offset
    this.#length = request.length
    this.#contexts = request.contexts === NO_CONTEXTS ? client.limits.contexts : request.contexts
    this.#generation = this.#aggregate.image.generation
    const onlyOne = (request.flags & CommandFlag.REQ_ONE) !== 0
    const end = Math.ceil((request.offset + request.length) / BLOCK_SIZE)
    this.#search.begin(client.volume, Math.floor(request.offset / BLOCK_SIZE), end, onlyOne)
    this.step()
  }

  /** The cache has the pointer block that was waited for, or has failed to get it. */
  wake(): void {
    if (!this.isWaiting) return
    this.isWaiting = false
    this.#aggregate.lookups.wake(this)
  }

  step(): void {
    if (!this.#isWanted) return this.#free()
    const found = this.#search.step(this)
    if (found === WAIT) {
      this.isWaiting = true
    } else if (found === AGAIN || (found === FAILED && this.#mayRetry())) {
      this.#aggregate.lookups.wake(this)
    } else if (this.#search.ends.length === 0) {
      this.#client!.reply(this.#to, refusals.UNREADABLE)
      this.#free()
    } else {
      // what comes behind a block that cannot be read is left for the next request
      this.#park()
    }
  }

  unpark(): void {
    this.#tell()
  }

  get hasRoom(): boolean {
    return this.#client!.output.hasRoomForData(this.#byteLength)
  }

  speak(): void {
    this.#isFirst = true
    this.#tell()
    this.#isFirst = false
  }

  abandon(): void {
    this.#free()
  }

  get #isWanted(): boolean {
    return this.#client!.isOpen && this.#client!.session === this.session
  }

  /** A consistency point may have moved pointer blocks away under a slow search. */
  #mayRetry(): boolean {
    if (this.#generation === this.#aggregate.image.generation) return false
    this.#generation = this.#aggregate.image.generation
    return true
  }

  /** What was seen in the log is told when the partner has it: a takeover must not take it back. */
  #park(): void {
    const { acknowledged, log, lookups } = this.#aggregate
    this.parkedUntil = log.ring.head - 1
    if (this.#search.sawLog && this.parkedUntil > acknowledged) return lookups.park(this)
    this.#tell()
  }

  get #byteLength(): number {
    const each = this.#client!.limits.extended ? EXTENDED_EXTENT_BYTE_LENGTH : EXTENT_BYTE_LENGTH
    const chunk = CHUNK_START_BYTE_LENGTH_MAX + this.#search.ends.length * each
    return contexts.length * chunk
  }

  #tell(): void {
    const client = this.#client!
    if (!this.#isWanted) return this.#free()
    // nobody overtakes those that wait for room
    const isBehind = !this.#isFirst && client.waitingForRoom.first !== undefined
    if (isBehind || !this.hasRoom) {
      if (this.#isFirst) client.waitingForRoom.unshift(this)
      else client.waitingForRoom.push(this)
      return
    }
    this.#encode(client)
    client.inFlight -= 1
    this.#aggregate.touch(client)
    this.#free()
  }

  #encode(client: Client): void {
    const { output, limits } = client
    const count = this.#search.ends.length
    let left = this.#contexts
    for (const context of contexts) {
      if ((left & context) === 0) continue
      left &= ~context
      const done = left === NO_CONTEXTS
      output.advance(
        encodeBlockStatus(output.view, output.at, this.#to, limits.extended, context, count, done),
      )
      this.#encodeExtents(client, context)
    }
  }

  #encodeExtents({ output, limits: { extended } }: Client, context: number): void {
    const { ends, isData } = this.#search
    const end = this.#offset + this.#length
    let from = this.#offset
    for (const [index, block] of ends.entries()) {
      const to = Math.min(block * BLOCK_SIZE, end)
      output.advance(
        encodeExtent(output.view, output.at, extended, to - from, extentFlags(context, isData[index]!)),
      )
      from = to
    }
  }

  #free(): void {
    const client = this.#client!
    this.#client = undefined
    this.isWaiting = false
    this.#search.end()
    this.#aggregate.lookups.freeStatus(this, client)
  }
}

/** Takes up the current BLOCK_STATUS of a client. */
export function startStatus(aggregate: Aggregate, client: Client): Progress {
  // the end of one of its own lets it go on
  if (client.statuses >= STATUSES_PER_CLIENT_MAX) return Progress.STALLED
  aggregate.lookups.takeStatus(client).begin(client)
  return Progress.DONE
}
