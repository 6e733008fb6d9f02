import { assert } from '../base/assert.ts'
import type { Gather } from '../base/gather.ts'
import { BLOCK_SIZE, KIB } from '../base/units.ts'
import { sameIdentity } from '../format/identity.ts'
import { FRAME_PAYLOAD_MAX, FrameKind } from '../format/link-frame.ts'
import { ENTRY_PAGES_MAX, LogEntry } from '../format/log-ring.ts'
import type { LogRing } from '../log/ring.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { encodeFrame, FRAME_BYTES, type FrameReader, type FrameValues } from './frame.ts'

const BATCH_BYTES = FRAME_PAYLOAD_MAX - ENTRY_PAGES_MAX * (BLOCK_SIZE + LogEntry.byteLength)
/**
 * With a frame on its way, the next one leaves when it has so much, or with the acknowledgement: Nagle's
 * rule, here to save wake-ups, of which each frame costs both nodes one. What comes alone never waits.
 */
const FRAME_BYTES_AT_ONCE = 64 * KIB
const NO_PIN = Number.MAX_SAFE_INTEGER

/**
 * The owner's half of the mirrored log: sends entries exactly as they lie in the ring, in order, and
 * knows how far the partner has them. The same loop brings a returning partner up to date: catching
 * up is sending from the tail instead of from the head.
 */
export class Mirror {
  /** the partner said that it has every entry up to here */
  acknowledged = 0
  /** entries before this were never sent to the partner's present copy */
  base = 0
  entriesSent = 0
  #next = 0
  #inFlightFrom = NO_PIN
  readonly #ring: LogRing
  readonly #epoch: number
  readonly #incarnation: Uint8Array
  #partnerIncarnation = new Uint8Array(16)
  readonly #header: Memory
  readonly #frame: Required<FrameValues>

  constructor(ring: LogRing, epoch: number, incarnation: Uint8Array, memory: MemoryPort) {
    this.#ring = ring
    this.#epoch = epoch
    this.#incarnation = incarnation
    this.#header = memory.allocate(BLOCK_SIZE)
    const nothing = { sequence: 0, count: 0, firstPage: 0, pageCount: 0, generation: 0 }
    this.#frame = { kind: FrameKind.ENTRIES, epoch, ...nothing }
  }

  /** The partner's copy starts afresh at the tail. */
  start(partnerIncarnation: Uint8Array): void {
    this.#partnerIncarnation = partnerIncarnation.slice()
    this.restart()
  }

  /** Released entries that were not sent yet cannot be sent any more: begin again at the tail. */
  restart(): void {
    this.base = this.#ring.tail
    this.#next = this.#ring.tail
    this.acknowledged = this.#ring.tail - 1
  }

  get hasFallenBehind(): boolean {
    return this.#next < this.#ring.tail
  }

  /** All but what was just appended has been sent. */
  get isCaughtUp(): boolean {
    return this.#ring.head - 1 - this.acknowledged <= Math.max(64, this.#ring.layout.descriptorCount / 64)
  }

  get backlog(): number {
    return this.#ring.head - this.#next
  }

  /** Entries from here on are being sent and must not be released. */
  get pinnedFrom(): number {
    return this.#inFlightFrom
  }

  get isSending(): boolean {
    return this.#inFlightFrom !== NO_PIN
  }

  get #isAwaitingAcknowledgement(): boolean {
    return this.acknowledged < this.#next - 1
  }

  sendEnded(): void {
    this.#inFlightFrom = NO_PIN
  }

  /** Adds one frame with the next entries: header, descriptors, pages; four pieces of memory, no copy. */
  addEntries(gather: Gather): void {
    const ring = this.#ring
    if (this.#next >= ring.head || this.hasFallenBehind) return
    const first = this.#next
    let end = first
    let pages = 0
    let firstPage = -1
    while (end < ring.head && pages * BLOCK_SIZE + (end - first) * LogEntry.byteLength < BATCH_BYTES) {
      const count = ring.pageCount(end)
      if (count > 0) {
        if (firstPage < 0) firstPage = ring.firstPage(end)
        else if (ring.firstPage(end) !== firstPage + pages) break // wrapped
        pages += count
      }
      end += 1
    }
    assert(end > first, 'a batch has at least one entry')
    const isSmall = end === ring.head && pages * BLOCK_SIZE < FRAME_BYTES_AT_ONCE
    if (isSmall && this.#isAwaitingAcknowledgement) return
    this.#writeHeader(first, end - first, Math.max(0, firstPage), pages)
    gather.add(this.#header.address, FRAME_BYTES)
    this.#addDescriptors(gather, first, end - first)
    if (pages > 0) gather.add(ring.pageAddress(firstPage), pages * BLOCK_SIZE)
    this.#next = end
    this.#inFlightFrom = first
    this.entriesSent += end - first
  }

  /** Takes an acknowledgement; one of another incarnation or epoch counts for nothing. */
  take(frame: FrameReader): string | undefined {
    if (frame.epoch !== this.#epoch || !sameIdentity(frame.incarnation, this.#partnerIncarnation))
      return undefined
    if (frame.sequence >= this.#next) return 'the partner acknowledges what it was never sent'
    if (frame.sequence > this.acknowledged) this.acknowledged = frame.sequence
    return undefined
  }

  /** The page of the ring at this address, if the partner has the same in its ring; or -1. */
  sharedPageAt(address: number): number {
    const ring = this.#ring
    const page = (address - ring.pageAddress(0)) / BLOCK_SIZE
    if (page < 0 || page >= ring.layout.pageCount || this.acknowledged < ring.tail) return -1
    const from = ring.firstPage(ring.tail)
    const end = ring.firstPage(this.acknowledged) + ring.pageCount(this.acknowledged)
    // none or all: which of both is not told apart, and all is rare
    if (from === end) return -1
    const isShared = from < end ? page >= from && page < end : page >= from || page < end
    return isShared ? page : -1
  }

  #writeHeader(first: number, count: number, firstPage: number, pageCount: number): void {
    const payload = count * LogEntry.byteLength + pageCount * BLOCK_SIZE
    const values = this.#frame
    values.sequence = first
    values.count = count
    values.firstPage = firstPage
    values.pageCount = pageCount
    encodeFrame(this.#header.bytes, 0, values, this.#incarnation, payload, 0)
  }

  #addDescriptors(gather: Gather, first: number, count: number): void {
    const { descriptorCount } = this.#ring.layout
    const beforeWrap = Math.min(count, descriptorCount - (first % descriptorCount))
    gather.add(this.#ring.descriptorAddress(first), beforeWrap * LogEntry.byteLength)
    if (count > beforeWrap) {
      gather.add(this.#ring.descriptorAddress(first + beforeWrap), (count - beforeWrap) * LogEntry.byteLength)
    }
  }
}
