import { assert } from '../base/assert.ts'
import type { MemoryBatch } from '../base/memory-batch.ts'
import { BLOCK_SIZE, fromWords, highWord, lowWord } from '../base/units.ts'
import {
  ENTRY_PAGES_MAX,
  ENTRY_SEALED_BYTES,
  ENTRY_SEALED_FROM,
  LOG_ENTRY_MAGIC,
  LogEntry,
  type LogLayout,
} from '../format/log-ring.ts'
import type { Memory } from '../ports/memory.ts'

const ENTRY_BYTES = LogEntry.byteLength
const ENTRY_WORDS = ENTRY_BYTES / 4
const at = LogEntry.at
const MAGIC_WORD = at.magic / 4
const EPOCH_WORD = at.epoch / 4
const KIND_WORD = at.kind / 4
const SEQUENCE_WORD = at.sequence / 4
const VOLUME_WORD = at.volume / 4
const GENERATION_WORD = at.generation / 4
const OFFSET_WORD = at.offset / 4
const LENGTH_WORD = at.length / 4
const FIRST_PAGE_WORD = at.firstPage / 4
const PAGE_COUNT_WORD = at.pageCount / 4
const COOKIE_WORD = at.cookie / 4

/** Clients leave these places for entries that open an epoch, however often a full log changes hands. */
const DESCRIPTORS_KEPT_BACK = 16

/** No room in the ring: the client waits until a consistency point has moved the tail. */
export const NO_ROOM = -1

/**
 * The log ring in NVRAM. Entry `sequence` has a fixed place for its descriptor; its pages follow
 * those of the entry before, never wrapping within an entry. Between `tail` and `head` everything
 * is kept: reads are served from it, the link sends it, a consistency point writes it out.
 *
 * Invariants: tail <= head; head - tail <= descriptorCount; the pages of retained entries are disjoint.
 */
export class LogRing {
  readonly memory: Memory
  readonly layout: LogLayout
  /** the sequence that the next entry gets */
  head = 1
  /** the oldest retained entry; equal to head when there is none */
  tail = 1
  #pageHead = 0
  #pageTail = 0
  /** pages of all retained entries, without those passed over at the end of the ring */
  #pagesHeld = 0
  readonly #words: Uint32Array

  constructor(memory: Memory, layout: LogLayout) {
    assert(memory.byteLength >= layout.byteLength, 'the memory holds the whole ring')
    this.memory = memory
    this.layout = layout
    this.#words = memory.u32
  }

  get pagesUsed(): number {
    const used = this.#pageHead - this.#pageTail
    // `place` leaves one page free; only a recovery from an older superblock can find every page in use
    if (used === 0 && this.#pagesHeld > 0) return this.layout.pageCount
    return used < 0 ? used + this.layout.pageCount : used
  }

  get entryCount(): number {
    return this.head - this.tail
  }

  /** 0 empty to 1 full, by whichever runs out first: pages or descriptors. */
  get fill(): number {
    const { pageCount, descriptorCount } = this.layout
    return Math.max(this.pagesUsed / pageCount, this.entryCount / descriptorCount)
  }

  /** Empties the ring: the next entry is `sequence`, and no old descriptor can be mistaken for a new one. */
  reset(sequence: number): void {
    this.head = sequence
    this.tail = sequence
    this.#pageHead = 0
    this.#pageTail = 0
    this.#pagesHeld = 0
    this.forgetFrom(sequence)
  }

  /** Where an entry with `pageCount` pages would lie: its first page, or NO_ROOM. */
  place(pageCount: number): number {
    return this.#place(pageCount, DESCRIPTORS_KEPT_BACK)
  }

  /** The place of an entry without pages that must always fit: the first of an epoch. */
  placeOfMark(): number {
    return this.#place(0, 0)
  }

  #place(pageCount: number, descriptorsKeptBack: number): number {
    assert(pageCount <= ENTRY_PAGES_MAX, 'an entry has at most 64 pages')
    const { layout } = this
    if (this.entryCount + descriptorsKeptBack >= layout.descriptorCount) return NO_ROOM
    if (pageCount === 0) return this.#pageHead % layout.pageCount
    const free = layout.pageCount - 1 - this.pagesUsed
    const toEnd = layout.pageCount - this.#pageHead
    if (pageCount <= toEnd) return pageCount <= free ? this.#pageHead % layout.pageCount : NO_ROOM
    return toEnd + pageCount <= free ? 0 : NO_ROOM
  }

  /** Takes back the last entry, which has no pages: the next one gets its number and its place. */
  retract(): void {
    assert(this.head > this.tail && this.pageCount(this.head - 1) === 0, 'only a mark is taken back')
    this.head -= 1
  }

  /** Writes the descriptor of the next entry; the data and its seal follow when the batch runs. */
  append(
    batch: MemoryBatch,
    epoch: number,
    kind: number,
    flags: number,
    volume: number,
    generation: number,
    offset: number,
    length: number,
    firstPage: number,
    pageCount: number,
    cookieLow: number,
    cookieHigh: number,
  ): number {
    const sequence = this.head
    assert(firstPage === this.#place(pageCount, 0), 'an entry goes where its place is')
    const word = this.#descriptorWord(sequence)
    const words = this.#words
    words[word + MAGIC_WORD] = LOG_ENTRY_MAGIC
    words[word + EPOCH_WORD] = epoch
    words[word + KIND_WORD] = kind | (flags << 16)
    words[word + SEQUENCE_WORD] = lowWord(sequence)
    words[word + SEQUENCE_WORD + 1] = highWord(sequence)
    words[word + VOLUME_WORD] = volume
    words[word + GENERATION_WORD] = generation
    words[word + OFFSET_WORD] = lowWord(offset)
    words[word + OFFSET_WORD + 1] = highWord(offset)
    words[word + LENGTH_WORD] = lowWord(length)
    words[word + LENGTH_WORD + 1] = highWord(length)
    words[word + FIRST_PAGE_WORD] = firstPage
    words[word + PAGE_COUNT_WORD] = pageCount
    words[word + COOKIE_WORD] = cookieLow
    words[word + COOKIE_WORD + 1] = cookieHigh
    this.#sealStep(batch, sequence, firstPage, pageCount)
    this.#advance(firstPage, pageCount)
    return sequence
  }

  /** Takes over an entry whose descriptor and pages are already in their places (replay, keeper). */
  adopt(sequence: number): void {
    assert(sequence === this.head, 'entries are adopted in order')
    this.#advance(this.firstPage(sequence), this.pageCount(sequence))
  }

  /** Before the first entry is adopted: its pages may begin anywhere. */
  startPagesAt(page: number): void {
    assert(this.head === this.tail, 'only an empty ring chooses where its pages begin')
    this.#pagesHeld = 0
    this.#pageHead = page
    this.#pageTail = page
  }

  /** Keeps exactly the entries from `tail` up to `head`, which are in their places. */
  retain(tail: number, head: number): void {
    assert(tail <= head, 'a ring ends behind its beginning')
    this.tail = tail
    this.head = tail
    this.startPagesAt(tail < head ? this.firstPage(tail) : 0)
    while (this.head < head) this.adopt(this.head)
  }

  /** Entries up to `sequence` are on disk: their places are free. */
  release(sequence: number): void {
    assert(sequence < this.head, 'only entries that exist are released')
    while (this.tail <= sequence) {
      this.#pagesHeld -= this.pageCount(this.tail)
      this.tail += 1
    }
    assert(this.#pagesHeld >= 0, 'pages are released once')
    this.#pageTail = this.tail < this.head ? this.firstPage(this.tail) : this.#pageHead
  }

  /** Makes descriptors outside [tail, sequence) unrecognisable, so that a later scan ends there. */
  forgetFrom(sequence: number): void {
    const retained = sequence - this.tail
    for (let ahead = retained; ahead < this.layout.descriptorCount; ahead += 1) {
      this.#words[this.#descriptorWord(this.tail + ahead) + MAGIC_WORD] = 0
    }
  }

  // What a descriptor says. Callers know that the entry is retained, or check its seal first.
  magic = (sequence: number): number => this.#words[this.#descriptorWord(sequence) + MAGIC_WORD]!
  epoch = (sequence: number): number => this.#words[this.#descriptorWord(sequence) + EPOCH_WORD]!
  kind = (sequence: number): number => this.#words[this.#descriptorWord(sequence) + KIND_WORD]! & 0xffff
  flags = (sequence: number): number => this.#words[this.#descriptorWord(sequence) + KIND_WORD]! >>> 16
  volume = (sequence: number): number => this.#words[this.#descriptorWord(sequence) + VOLUME_WORD]!
  firstPage = (sequence: number): number => this.#words[this.#descriptorWord(sequence) + FIRST_PAGE_WORD]!
  pageCount = (sequence: number): number => this.#words[this.#descriptorWord(sequence) + PAGE_COUNT_WORD]!
  offset = (sequence: number): number => this.#u64(this.#descriptorWord(sequence) + OFFSET_WORD)
  length = (sequence: number): number => this.#u64(this.#descriptorWord(sequence) + LENGTH_WORD)
  /** The sequence that the descriptor in this place claims. */
  claimedSequence = (sequence: number): number => this.#u64(this.#descriptorWord(sequence) + SEQUENCE_WORD)

  descriptorBytes(sequence: number): Uint8Array {
    const from = this.layout.descriptorsAt + this.#index(sequence) * ENTRY_BYTES
    return this.memory.bytes.subarray(from, from + ENTRY_BYTES)
  }

  descriptorAddress(sequence: number): number {
    return this.memory.address + this.layout.descriptorsAt + this.#index(sequence) * ENTRY_BYTES
  }

  pageAddress(page: number): number {
    return this.memory.address + this.layout.pagesAt + page * BLOCK_SIZE
  }

  pageBytes(page: number): Uint8Array {
    const from = this.layout.pagesAt + page * BLOCK_SIZE
    return this.memory.bytes.subarray(from, from + BLOCK_SIZE)
  }

  checksumAddress(page: number): number {
    return this.memory.address + this.layout.checksumsAt + page * 4
  }

  pageChecksum(page: number): number {
    return this.#words[this.layout.checksumsAt / 4 + page]!
  }

  /** Adds the check of an entry's seal, which covers its pages through their checksums. */
  verifySealStep(batch: MemoryBatch, sequence: number): void {
    const address = this.descriptorAddress(sequence)
    const checksums = this.checksumAddress(this.firstPage(sequence))
    const checksumBytes = this.pageCount(sequence) * 4
    batch.verifySeal(
      address + ENTRY_SEALED_FROM,
      ENTRY_SEALED_BYTES,
      checksums,
      checksumBytes,
      address + at.seal,
    )
  }

  #sealStep(batch: MemoryBatch, sequence: number, firstPage: number, pageCount: number): void {
    const address = this.descriptorAddress(sequence)
    const checksums = this.checksumAddress(firstPage)
    batch.seal(address + ENTRY_SEALED_FROM, ENTRY_SEALED_BYTES, checksums, pageCount * 4, address + at.seal)
  }

  #advance(firstPage: number, pageCount: number): void {
    this.head += 1
    const end = firstPage + pageCount
    this.#pageHead = end === this.layout.pageCount ? 0 : end
    this.#pagesHeld += pageCount
    assert(
      this.head - this.tail <= this.layout.descriptorCount,
      'the ring keeps no more than it has places for',
    )
  }

  #index(sequence: number): number {
    return lowWord(sequence) & (this.layout.descriptorCount - 1)
  }

  #descriptorWord(sequence: number): number {
    return this.layout.descriptorsAt / 4 + this.#index(sequence) * ENTRY_WORDS
  }

  #u64(word: number): number {
    return fromWords(this.#words[word]!, this.#words[word + 1]!)
  }
}
