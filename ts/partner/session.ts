import { assert } from '../base/assert.ts'
import { crc32c } from '../base/crc32c.ts'
import { Gather } from '../base/gather.ts'
import { KIB, MIB, roundUp } from '../base/units.ts'
import { FrameKind } from '../format/link-frame.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import type { Stream } from '../ports/stream.ts'
import { encodeFrame, FRAME_BYTES, FrameReader, type FrameValues } from './frame.ts'

const INPUT_BYTES = 4 * MIB
const OUTBOX_BYTES = 64 * KIB

/** What the session is for; implemented by the engine, which asks the mirror or the keeper. */
export interface SessionUser {
  /** A frame has come; its payload lies at `payload` of the input memory. A text: the session must end. */
  frame(frame: FrameReader, input: Memory, payload: number): string | undefined
  /** Adds a batch of log entries to what is sent next. */
  addEntries(gather: Gather): void
  /** The last send has left this node's hands. */
  sent(): void
  closed(reason: string): void
}

/**
 * One link connection: frames in, frames out. At most one receive and one send are in flight; what
 * gathers meanwhile leaves together in the next send.
 */
export class Session implements Completion {
  isOpen = false
  peer = ''
  heardAtMs = 0
  sentAtMs = 0
  bytesSent = 0
  readonly #user: SessionUser
  readonly #port: MemoryPort
  readonly #input: Memory
  readonly #view: DataView
  readonly #outbox: Memory
  readonly #frame = new FrameReader()
  readonly #gather = new Gather()
  #stream: Stream | undefined
  #from = 0
  #filled = 0
  #receiving = false
  #sending = false
  #closing = false
  #heard = false
  /** the outbox has two halves: one is being sent, the other filled */
  #half = 0
  #fill = 0
  readonly #sendDone: Completion = { complete: (result) => this.#sent(result) }

  constructor(memory: MemoryPort, user: SessionUser) {
    this.#user = user
    this.#port = memory
    this.#input = memory.allocate(INPUT_BYTES)
    this.#view = new DataView(this.#input.bytes.buffer, this.#input.bytes.byteOffset, INPUT_BYTES)
    this.#outbox = memory.allocate(2 * OUTBOX_BYTES)
  }

  /** No operation of an earlier connection is in flight any more. */
  get isFree(): boolean {
    return !this.isOpen && !this.#receiving && !this.#sending
  }

  get isSending(): boolean {
    return this.#sending
  }

  open(stream: Stream, leftover: Uint8Array, nowMs: number): void {
    assert(this.isFree, 'a session serves one connection at a time')
    this.#stream = stream
    this.peer = stream.peer
    this.isOpen = true
    this.#input.bytes.set(leftover)
    this.#from = 0
    this.#filled = leftover.length
    this.#fill = 0
    this.heardAtMs = nowMs
    this.sentAtMs = nowMs
    this.#heard = true
  }

  /** Ends the session. What is queued still leaves if it can within a moment; nothing more is received. */
  close(reason: string): void {
    if (!this.isOpen) return
    if (!this.#sending && this.#fill > 0) this.#sendOutbox()
    this.isOpen = false
    if (this.#sending) this.#closing = true
    else this.#stream!.close()
    this.#user.closed(reason)
  }

  /** The last words did not get through in time. */
  giveUp(): void {
    if (!this.#closing) return
    this.#closing = false
    this.#stream!.close()
  }

  get isClosing(): boolean {
    return this.#closing
  }

  /** Ends the session with the reason told to the partner, as far as it still listens. */
  goodbye(reason: string, epoch: number, incarnation: Uint8Array): void {
    if (!this.isOpen) return
    this.queue({ kind: FrameKind.GOODBYE, epoch }, incarnation, new TextEncoder().encode(reason))
    this.close(reason)
  }

  /** Queues a frame with a small payload; it leaves ahead of the next entries. */
  queue(values: FrameValues, incarnation: Uint8Array, payload?: Uint8Array): void {
    if (!this.isOpen) return
    const payloadBytes = payload === undefined ? 0 : roundUp(payload.length, 8)
    if (this.#fill + FRAME_BYTES + payloadBytes > OUTBOX_BYTES) return this.close('the partner does not read')
    const base = this.#half * OUTBOX_BYTES + this.#fill
    let seal = 0
    if (payload !== undefined) {
      const [from, end] = [base + FRAME_BYTES, base + FRAME_BYTES + payloadBytes]
      this.#outbox.bytes.fill(0, from + payload.length, end)
      this.#outbox.bytes.set(payload, from)
      seal = crc32c(this.#outbox.bytes, from, end)
    }
    encodeFrame(this.#outbox.bytes, base, values, incarnation, payloadBytes, seal)
    this.#fill += FRAME_BYTES + payloadBytes
  }

  /** Sends what is queued and what the log has, unless a send is under way. */
  pump(): void {
    if (!this.isOpen || this.#sending) return
    this.#gather.clear()
    if (this.#fill > 0) this.#gather.add(this.#outbox.address + this.#half * OUTBOX_BYTES, this.#fill)
    this.#user.addEntries(this.#gather)
    this.#send()
  }

  #sendOutbox(): void {
    this.#gather.clear()
    this.#gather.add(this.#outbox.address + this.#half * OUTBOX_BYTES, this.#fill)
    this.#send()
  }

  #send(): void {
    if (this.#gather.count === 0) return
    this.#half = 1 - this.#half
    this.#fill = 0
    this.#sending = true
    this.bytesSent += this.#gather.byteLength
    this.#stream!.send(this.#gather, this.#sendDone)
  }

  /** A receive has ended. */
  complete(result: number): void {
    this.#receiving = false
    if (!this.isOpen) return
    if (result <= 0)
      return this.close(result === 0 ? 'the partner closed the link' : `the link failed (errno ${-result})`)
    this.#filled += result
    this.#heard = true
  }

  /** Hands out the whole frames that have come. Their payloads stay in place until `rearm`. */
  parse(nowMs: number): void {
    if (!this.#heard || !this.isOpen) return
    this.#heard = false
    this.heardAtMs = nowMs
    while (this.isOpen && this.#filled - this.#from >= FRAME_BYTES) {
      const mistake = this.#frame.read(this.#input.bytes, this.#view, this.#from)
      if (mistake !== undefined) return this.close(mistake)
      const end = this.#from + FRAME_BYTES + this.#frame.payloadByteLength
      if (end > this.#filled) return
      const complaint = this.#take(this.#from + FRAME_BYTES, end)
      if (complaint !== undefined) return this.close(complaint)
      this.#from = end
    }
  }

  #take(payload: number, end: number): string | undefined {
    const frame = this.#frame
    if (frame.kind !== FrameKind.ENTRIES && frame.payloadByteLength > 0) {
      const sum = this.#port.checksum(this.#input.address + payload, end - payload)
      if (sum !== frame.payloadSeal) return 'a payload does not check'
    }
    return this.#user.frame(frame, this.#input, payload)
  }

  /** The batch has run: input may move, and more may come. */
  rearm(): void {
    if (!this.isOpen || this.#receiving) return
    if (this.#from === this.#filled) {
      this.#from = 0
      this.#filled = 0
    } else if (this.#filled > INPUT_BYTES / 2) {
      this.#input.bytes.copyWithin(0, this.#from, this.#filled)
      this.#filled -= this.#from
      this.#from = 0
    }
    this.#receiving = true
    this.#stream!.receive(this.#input.address + this.#filled, INPUT_BYTES - this.#filled, this)
  }

  #sent(result: number): void {
    this.#sending = false
    // Last words that were queued behind what has just left.
    if (this.#closing && result >= 0 && this.#fill > 0) this.#sendOutbox()
    else this.giveUp()
    if (result < 0 && this.isOpen) this.close(`the link failed (errno ${-result})`)
    this.#user.sent()
  }
}
