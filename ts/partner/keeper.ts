import type { MemoryBatch } from '../base/memory-batch.ts'
import { BLOCK_SIZE, highWord, lowWord } from '../base/units.ts'
import { LOG_ENTRY_MAGIC, LogEntry } from '../format/log-ring.ts'
import type { LogCopy } from '../log/copy.ts'
import type { Memory } from '../ports/memory.ts'
import type { FrameReader } from './frame.ts'

const ENTRY_WORDS = LogEntry.byteLength / 4
const at = LogEntry.at

/**
 * The keeper's half of the mirrored log: puts entries into the same places of its own ring, checks
 * each seal against checksums that it computed itself, and only then acknowledges. Takes no decision.
 */
export class Keeper {
  /** what the owner's last superblock contains, and its generation */
  contained = 0
  generation = 0
  epoch = 0
  entriesReceived = 0
  /** entries that came since the last turn */
  newCount = 0
  isFilling = false
  readonly #copy: LogCopy
  readonly #batch: MemoryBatch
  #expected = 1
  #hasNew = false

  constructor(copy: LogCopy, batch: MemoryBatch) {
    this.#copy = copy
    this.#batch = batch
  }

  get received(): number {
    return this.#copy.ring.head - 1
  }

  /** The owner begins a copy here: whatever this ring held before is void. */
  begin(frame: FrameReader): void {
    this.#copy.ring.reset(frame.sequence)
    this.#copy.marks.begin(frame.epoch, frame.sequence, true)
    this.#expected = frame.sequence
    this.epoch = frame.epoch
    this.isFilling = true
    this.contained = frame.sequence - 1
    this.generation = frame.generation
    this.#hasNew = true
  }

  /** Adds the copies and checks for a frame of entries. A text: it does not fit, the session must end. */
  take(frame: FrameReader, input: Memory, payload: number): string | undefined {
    const { ring } = this.#copy
    if (!this.isFilling) return 'entries came, but no copy was begun'
    if (frame.epoch !== this.epoch) return `entries of epoch ${frame.epoch} came in epoch ${this.epoch}`
    const { count, firstPage, pageCount, sequence } = frame
    if (count === 0 || frame.payloadByteLength !== count * LogEntry.byteLength + pageCount * BLOCK_SIZE) {
      return 'a frame of entries has a wrong length'
    }
    if (sequence !== this.#expected) return `entry ${sequence} came, ${this.#expected} was expected`
    if (firstPage + pageCount > ring.layout.pageCount) return 'pages lie outside of the ring'
    if (sequence + count - ring.tail > ring.layout.descriptorCount)
      return 'more entries came than the ring has places for'
    const mistake = this.#checkDescriptors(input, payload, frame)
    if (mistake !== undefined) return mistake
    this.#copyIn(input, payload, frame)
    this.#expected = sequence + count
    this.#hasNew = true
    return undefined
  }

  #checkDescriptors(input: Memory, payload: number, frame: FrameReader): string | undefined {
    let page = frame.firstPage
    for (let i = 0; i < frame.count; i += 1) {
      const word = payload / 4 + i * ENTRY_WORDS
      const pages = input.u32[word + at.pageCount / 4]!
      if (input.u32[word + at.magic / 4] !== LOG_ENTRY_MAGIC) return 'a descriptor has no magic'
      const sequence = word + at.sequence / 4
      const [low, high] = [input.u32[sequence], input.u32[sequence + 1]]
      if (low !== lowWord(frame.sequence + i) || high !== highWord(frame.sequence + i))
        return 'a descriptor is out of order'
      if (input.u32[word + at.epoch / 4]! > this.epoch) return 'a descriptor is of a later epoch'
      if (pages > 0 && input.u32[word + at.firstPage / 4] !== page) return 'pages are out of order'
      page += pages
    }
    return page === frame.firstPage + frame.pageCount ? undefined : 'the pages do not add up'
  }

  #copyIn(input: Memory, payload: number, frame: FrameReader): void {
    const { ring } = this.#copy
    const from = input.address + payload
    const pagesFrom = from + frame.count * LogEntry.byteLength
    for (let done = 0; done < frame.count; ) {
      const { descriptorCount } = ring.layout
      const run = Math.min(frame.count - done, descriptorCount - ((frame.sequence + done) % descriptorCount))
      const target = ring.descriptorAddress(frame.sequence + done)
      this.#batch.copy(from + done * LogEntry.byteLength, target, run * LogEntry.byteLength)
      done += run
    }
    if (frame.pageCount > 0) {
      const checksums = ring.checksumAddress(frame.firstPage)
      this.#batch.storeWithChecksums(pagesFrom, ring.pageAddress(frame.firstPage), frame.pageCount, checksums)
    }
    this.#addSealChecks(input, payload, frame)
  }

  #addSealChecks(input: Memory, payload: number, frame: FrameReader): void {
    const { ring } = this.#copy
    for (let i = 0; i < frame.count; i += 1) {
      const word = payload / 4 + i * ENTRY_WORDS
      const firstPage = input.u32[word + at.firstPage / 4]!
      const bytes = input.u32[word + at.pageCount / 4]! * 4
      const address = ring.descriptorAddress(frame.sequence + i)
      const [from, length] = [address + at.epoch, LogEntry.byteLength - at.epoch]
      this.#batch.verifySeal(from, length, ring.checksumAddress(firstPage), bytes, address + at.seal)
    }
  }

  /**
   * The batch has run without a failure: what came is now part of the copy. Returns true if an
   * acknowledgement is due; the marks already say so, so that a kill right after it finds them.
   */
  commit(): boolean {
    this.newCount = 0
    if (!this.#hasNew) return false
    this.#hasNew = false
    const { ring, marks } = this.#copy
    this.newCount = this.#expected - ring.head
    while (ring.head < this.#expected) {
      if (ring.entryCount === 0) ring.startPagesAt(ring.firstPage(ring.head))
      ring.adopt(ring.head)
      this.entriesReceived += 1
    }
    marks.acknowledge(ring.head - 1)
    this.#free()
    return true
  }

  /** Something of the batch did not check: nothing that came with it counts, until the owner begins again. */
  discard(): void {
    this.#hasNew = false
    this.isFilling = false
  }

  /** The owner's superblock contains entries up to here: their places are free. */
  release(frame: FrameReader): void {
    this.contained = Math.max(this.contained, frame.sequence)
    this.generation = Math.max(this.generation, frame.generation)
    this.#free()
  }

  /** A release may come before the last of the entries that it is about. */
  #free(): void {
    const { ring } = this.#copy
    const through = Math.min(this.contained, ring.head - 1)
    if (through >= ring.tail) ring.release(through)
  }
}
