import { assert } from '../base/assert.ts'
import { BLOCK_SIZE, KIB } from '../base/units.ts'
import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import { Command, CommandFlag, EXTENDED_REQUEST_BYTE_LENGTH, REQUEST_BYTE_LENGTH } from '../format/nbd.ts'
import { REFUSAL_TEXT_BYTE_LENGTH_MAX, type Refusal } from '../nbd/errors.ts'
import { NO_CONTEXTS } from '../nbd/meta-context.ts'
import {
  ERROR_CHUNK_BYTE_LENGTH_MAX,
  encodeDone,
  encodeErrorChunk,
  encodeSimpleReply,
  type ReplyTo,
} from '../nbd/reply.ts'
import type { SessionTerms } from '../nbd/session-terms.ts'
import { RequestReader } from '../nbd/transmission.ts'
import { isTooMuchPayload, validate } from '../nbd/validate.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import type { Stream } from '../ports/stream.ts'
import { OUTPUT_BYTES, OUTPUT_REPLY_BYTES, Output } from './output.ts'
import { ReadQueue } from './read-queue.ts'

const INPUT_BYTES = 512 * KIB
/** Replies to all of them fit into the room that the output buffer keeps free. */
export const REQUESTS_IN_FLIGHT_MAX = 1024

/** Requests and blocks that one client may take up in a turn; the rest waits for the next one. */
export const WORK_PER_CLIENT = 1024

/** A reply without data, with the longest message. */
const REPLY_BYTES_MAX = ERROR_CHUNK_BYTE_LENGTH_MAX + REFUSAL_TEXT_BYTE_LENGTH_MAX
assert(REQUESTS_IN_FLIGHT_MAX * REPLY_BYTES_MAX <= OUTPUT_REPLY_BYTES, 'all replies in flight fit')

/** What executing a request came to. */
export const Progress = {
  /** answered, or waiting for its answer elsewhere: go on with the next one */
  DONE: 0,
  /** its payload has not arrived yet */
  MORE: 1,
  /** something has to happen first (room in the ring, a block from disk): asked again later */
  STALLED: 2,
} as const
export type Progress = (typeof Progress)[keyof typeof Progress]

/** What the owner does for a client; flow/aggregate.ts. */
export interface Server {
  execute(client: Client): Progress
  /** has something to send, or may receive again: `rearm` it at the end of the turn */
  touch(client: Client): void
  /** has bytes to parse, or may go on: parse in this turn */
  ready(client: Client): void
  gone(client: Client, reason: string): void
}

/** How a client came: from the handshake on the main thread. */
export interface ClientArrival {
  readonly stream: Stream
  readonly volume: number
  readonly byteLength: number
  readonly readOnly: boolean
  readonly terms: SessionTerms
  /** bytes that came behind the handshake */
  readonly leftover: Uint8Array
}

/**
 * One NBD session in transmission. Requests are executed strictly in the order in which they came;
 * replies leave when they are due. Lives on: its buffers serve one session after another.
 */
export class Client implements Completion {
  readonly slot: number
  /** rises with every session in this slot: a late reply of an earlier one finds nobody */
  session = 0
  volume = 0
  peer = ''
  readonly request = new RequestReader()
  readonly limits = {
    byteLength: 0,
    readOnly: false,
    structured: false,
    extended: false,
    contexts: NO_CONTEXTS,
  }
  readonly output: Output
  inFlight = 0
  /** bytes of the current WRITE or WRITE_ZEROES that are logged already */
  progress = 0
  /** a long READ whose simple reply must not be interrupted: nothing else is taken up meanwhile */
  isExclusive = false
  /** reads whose data is ready but did not fit into the output buffer */
  readonly waitingForRoom = new ReadQueue()
  /** reads under way, also those of earlier sessions in this slot that have not ended yet */
  reads = 0
  /** the same for BLOCK_STATUS */
  statuses = 0
  /** requests and blocks taken up in this turn */
  work = 0
  /** generation at which this client was first refused for lack of space; -1: it was not */
  shortOfSpaceSince = -1
  isReady = false
  isTouched = false
  isStalled = false
  isOpen = false
  /** woken when a block that the current request waits for has come from disk */
  readonly waiter = { wake: (): void => this.#server.ready(this) }
  readonly #server: Server
  readonly #pool: MemoryPool
  readonly #input: Memory
  readonly #outputMemory: Memory
  readonly #view: DataView
  #stream: Stream | undefined
  #from = 0
  #filled = 0
  #hasRequest = false
  #discarding = 0
  #receiving = false
  #closing = false

  constructor(slot: number, server: Server, memory: MemoryPort) {
    this.slot = slot
    this.#server = server
    this.#pool = memoryPool(memory)
    this.#input = this.#pool.borrowAsIs(INPUT_BYTES)
    this.#view = new DataView(this.#input.bytes.buffer, this.#input.bytes.byteOffset, INPUT_BYTES)
    this.#outputMemory = this.#pool.borrowAsIs(OUTPUT_BYTES)
    this.output = new Output(this.#outputMemory, () => this.#sent())
  }

  /** The slot is not needed any more; its buffers serve the slots of others. */
  release(): void {
    assert(this.isFree, 'buffers are given back when no I/O can touch them')
    this.#pool.giveBack(this.#input)
    this.#pool.giveBack(this.#outputMemory)
  }

  /** Its last operations have ended: the slot can serve another session. */
  get isFree(): boolean {
    return !this.isOpen && !this.#receiving && !this.output.isSending
  }

  open(arrival: ClientArrival): void {
    assert(this.isFree, 'a slot serves one session at a time')
    assert(arrival.leftover.length <= INPUT_BYTES, 'what the handshake left fits the input buffer')
    this.session += 1
    this.volume = arrival.volume
    this.peer = arrival.stream.peer
    this.limits.byteLength = arrival.byteLength
    this.limits.readOnly = arrival.readOnly
    this.limits.structured = arrival.terms.structuredReplies || arrival.terms.extendedHeaders
    this.limits.extended = arrival.terms.extendedHeaders
    this.limits.contexts = arrival.terms.contexts
    this.#stream = arrival.stream
    this.output.attach(arrival.stream)
    this.#input.bytes.set(arrival.leftover)
    this.#from = 0
    this.#filled = arrival.leftover.length
    this.inFlight = 0
    this.progress = 0
    this.isExclusive = false
    this.shortOfSpaceSince = -1
    this.#hasRequest = false
    this.#discarding = 0
    this.#closing = false
    this.isOpen = true
    this.#server.ready(this)
  }

  /** Ends the session at once; whatever has no answer stays unanswered, so that the client replays it. */
  drop(reason: string): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.inFlight = 0
    this.#stream!.close()
    // nobody else ends them: what wakes them is a client that takes its replies
    const { waitingForRoom } = this
    for (let read = waitingForRoom.shift(); read !== undefined; read = waitingForRoom.shift()) read.abandon()
    this.#server.gone(this, reason)
  }

  /** A receive has ended. */
  complete(result: number): void {
    this.#receiving = false
    if (!this.isOpen) return
    if (result <= 0)
      return this.drop(result === 0 ? 'the client closed the connection' : 'the connection was lost')
    this.#filled += result
    this.#server.ready(this)
  }

  /** Reads whose data is ready go on, in their order, as far as there is room for it. */
  speak(): void {
    const { waitingForRoom } = this
    for (let read = waitingForRoom.first; read?.hasRoom; read = waitingForRoom.first) {
      waitingForRoom.shift()
      read.speak()
    }
  }

  /** Executes what has arrived. Adds to the turn's memory batch; input stays in place until `rearm`. */
  parse(): void {
    while (this.isOpen && !this.#closing && !this.isExclusive) {
      if (this.#discarding > 0 && !this.#discard()) return
      if (this.work >= WORK_PER_CLIENT) return this.#server.ready(this)
      if (!this.#hasRequest) {
        if (!this.#next()) return
        continue
      }
      if (this.#server.execute(this) !== Progress.DONE) return
      this.#hasRequest = false
      this.progress = 0
    }
  }

  /** After the batch ran: the input may move, and more may come. */
  rearm(): void {
    if (!this.isOpen) return
    this.output.flush()
    if (this.#closing) return this.#closeWhenDone()
    if (this.#receiving) return
    if (this.#from === this.#filled) {
      this.#from = 0
      this.#filled = 0
    } else if (this.#filled > INPUT_BYTES / 2) {
      this.#input.bytes.copyWithin(0, this.#from, this.#filled)
      this.#filled -= this.#from
      this.#from = 0
    }
    if (this.#filled === INPUT_BYTES) return
    this.#receiving = true
    this.#stream!.receive(this.#input.address + this.#filled, INPUT_BYTES - this.#filled, this)
  }

  /** Bytes of payload that are here and not consumed. */
  get available(): number {
    return this.#filled - this.#from
  }

  get payloadAddress(): number {
    return this.#input.address + this.#from
  }

  consume(byteLength: number): void {
    assert(byteLength <= this.available, 'only what is here is consumed')
    this.#from += byteLength
    this.work += Math.floor(byteLength / BLOCK_SIZE)
  }

  /** Answers the current request with an error; the rest of its payload is thrown away. */
  refuse(refusal: Refusal): Progress {
    if (this.request.payloadLength > 0) this.#discarding = this.request.payloadLength - this.progress
    this.reply(this.request, refusal)
    return Progress.DONE
  }

  /** One request is answered. Data of a READ and extents come otherwise: by whoever looks them up. */
  reply(to: ReplyTo, refusal?: Refusal): void {
    this.inFlight -= 1
    assert(this.inFlight >= 0, 'each request is answered once')
    this.output.advance(this.#encodeReply(to, refusal))
    this.#server.touch(this)
    if (this.#hasRequest || this.available > 0) this.#server.ready(this)
  }

  #encodeReply(to: ReplyTo, refusal: Refusal | undefined): number {
    const { view, at } = this.output
    const { structured, extended } = this.limits
    if (refusal === undefined) {
      return extended ? encodeDone(view, at, to, extended) : encodeSimpleReply(view, at, to, 0)
    }
    if (!structured) return encodeSimpleReply(view, at, to, refusal.error)
    return encodeErrorChunk(view, at, to, extended, refusal.error, refusal.text)
  }

  /** Takes up the next request, or refuses it. False: there is none yet, or no more room for answers. */
  #next(): boolean {
    const headerLength = this.limits.extended ? EXTENDED_REQUEST_BYTE_LENGTH : REQUEST_BYTE_LENGTH
    if (this.available < headerLength || this.inFlight >= REQUESTS_IN_FLIGHT_MAX) return false
    if (!this.output.hasRoomForReply((this.inFlight + 1) * REPLY_BYTES_MAX)) return false
    if (!this.#readHeader()) {
      this.drop('it sent something that is no NBD request')
      return false
    }
    if (this.request.carriesStatusPayload && !this.#readStatusPayload(headerLength)) return false
    this.#from += headerLength
    if (this.request.command === Command.DISC) {
      this.#closing = true
      return false
    }
    this.inFlight += 1
    this.work += 1
    return this.#takeUp()
  }

  #readHeader(): boolean {
    const { request } = this
    return this.limits.extended
      ? request.readExtended(this.#view, this.#from)
      : request.read(this.#view, this.#from)
  }

  /** What a BLOCK_STATUS is about may follow its header. False: it has not arrived yet. */
  #readStatusPayload(headerLength: number): boolean {
    const { request } = this
    // of any other length it is refused and thrown away; without extended headers there is none
    if (!this.limits.extended || request.hasWrongPayload) return true
    const { payloadLength } = request
    if (this.available < headerLength + payloadLength) return false
    request.readStatusPayload(this.#view, this.#from + headerLength)
    this.#from += payloadLength
    return true
  }

  /** Validates what was read. False: the session is over. */
  #takeUp(): boolean {
    const refusal = validate(this.request, this.limits)
    if (refusal === undefined) {
      this.#hasRequest = true
      return true
    }
    if (isTooMuchPayload(this.request, this.limits)) {
      this.drop('it announced a payload that is too large')
      return false
    }
    this.refuse(refusal)
    return true
  }

  #discard(): boolean {
    const now = Math.min(this.#discarding, this.available)
    this.#from += now
    this.#discarding -= now
    return this.#discarding === 0
  }

  #sent(): void {
    if (!this.isOpen) return
    if (this.output.failed) return this.drop('the connection was lost')
    this.#server.ready(this)
  }

  #closeWhenDone(): void {
    if (this.inFlight === 0 && this.output.isEmpty) this.drop('the client disconnected')
  }
}

export const isFua = (client: Client): boolean => (client.request.flags & CommandFlag.FUA) !== 0
