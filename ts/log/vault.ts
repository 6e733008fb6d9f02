import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import { Gather } from '../base/gather.ts'
import { Pending, type Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, MIB, roundDown, roundUp } from '../base/units.ts'
import { LOG_MARKS_MAGIC, LOG_RING_VERSION, LogEntry, MARKS_AT } from '../format/log-ring.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory } from '../ports/memory.ts'
import { type Marks, sealedMarks } from './marks.ts'
import type { LogRing } from './ring.ts'
import { VaultGroup } from './vault-group.ts'

/** The reserved zone on disk that mirrors the ring, byte for byte at the same offsets. */
export interface VaultZone {
  readonly byteLength: number
  read(at: number, into: Gather, done: Completion): void
  write(at: number, from: Gather, done: Completion): void
  flush(done: Completion): void
}

const GROUP_BYTES_MAX = 4 * MIB
/** One is written while another is flushed. */
const GROUPS = 2

/**
 * What the marks in the vault say for sure: it has promised nothing yet, it has all that was promised, or
 * promises rest on the memory of two nodes. Unknown: marks are being written, or could not be.
 */
type Standing = 'filling' | 'complete' | 'suspended' | 'unknown'
const STANDINGS = { filling: 0, complete: 1, suspended: 2, unknown: 0 } as const

/** A part of the ring that is made of items, and goes round. */
interface Area {
  readonly at: number
  readonly itemBytes: number
  readonly itemCount: number
}

/**
 * Group commit of the log to disk: whatever has been appended since the last group goes out as a few
 * sequential writes and one flush. A descriptor page is rewritten as it fills; that is harmless,
 * because the bytes of entries already in it do not change.
 *
 * A group is written while the one before is flushed, and not earlier: both may have the same page, and what
 * a disk makes of two writes to one place at a time is anybody's guess.
 *
 * The marks beside them say whether the vault is *complete*: whether it holds all that a FLUSH or FUA reply
 * has promised. A recovery without any ring believes a complete vault alone. So nothing is promised by the
 * vault before its marks say complete, and nothing by the memory of two nodes while they still do.
 */
export class Vault {
  /** every entry up to here is on stable storage: in the vault, or by a consistency point */
  durable: number
  /** the last entry that was there before this vault was, or was promised without it */
  #owed: number
  #contained: number
  #standing: Standing = 'unknown'
  /** the last one that was sure, whatever has been tried since */
  #lastStanding: Standing = 'filling'
  #nextStanding: Standing = 'filling'
  /** what it is as long as it is not complete; once suspended, no older vault may count again */
  #otherwise: Standing = 'filling'
  failures = 0
  groupsWritten = 0
  bytesWritten = 0
  #isRefreshing = false
  /** under way, oldest first */
  readonly #underWay: VaultGroup[] = []
  readonly #groups: VaultGroup[]
  /** marks that are safely in the vault: the next ones go to the other place */
  #marksWritten = 0
  readonly #ring: LogRing
  readonly #marks: Marks
  readonly #zone: VaultZone
  readonly #scratch: Memory
  readonly #gathers = Array.from({ length: 3 }, () => new Gather())

  /** `scratch`: at least a page, in which nothing else lives as long as this does. */
  constructor(ring: LogRing, marks: Marks, zone: VaultZone, scratch: Memory, durable: number) {
    assert(zone.byteLength === ring.layout.byteLength, 'a half of the vault holds the whole ring')
    this.#ring = ring
    this.#marks = marks
    this.#zone = zone
    this.#scratch = scratch
    this.#groups = Array.from({ length: GROUPS }, () => new VaultGroup(zone, () => this.#advance()))
    this.durable = durable
    this.#contained = durable
    this.#owed = ring.head - 1
  }

  get isIdle(): boolean {
    return this.#underWay.length === 0 && !this.#isRefreshing
  }

  /** Every entry up to here is on stable storage, or on its way there. */
  get begun(): number {
    return Math.max(this.durable, (this.#underWay.at(-1)?.end ?? 0) - 1)
  }

  /** What FLUSH and FUA may promise without the memory of two nodes: every entry up to here. */
  get promised(): number {
    return this.#standing === 'complete' ? this.durable : this.#contained
  }

  /** No recovery believes the vault: promises rest on something else. */
  get isSuspended(): boolean {
    return this.#standing === 'suspended'
  }

  /** What marks may say now. */
  get #standingNow(): Standing {
    return this.durable >= this.#owed ? 'complete' : this.#otherwise
  }

  /** Every entry up to here has been promised by something else: the vault is not complete without it. */
  owe(sequence: number): void {
    this.#owed = Math.max(this.#owed, sequence)
  }

  /** Whether a group has to be written before the vault is complete again. */
  get lacksOwed(): boolean {
    return this.#standing !== 'complete'
  }

  /** Entries from here on are being written and must not be released. */
  get pinnedFrom(): number {
    return this.#underWay[0]?.first ?? Number.MAX_SAFE_INTEGER
  }

  /** Starts the next group if there is anything to write, or marks to change, and none is being written. */
  start(): void {
    if (this.#isRefreshing || this.#underWay.at(-1)?.phase === 'writing') return
    const first = Math.max(this.begun + 1, this.#ring.tail)
    const isMarksOnly = first >= this.#ring.head
    const standing = this.#standingNow
    // marks that say something else are written when nothing else is, as the last word
    const isSteady = this.#standing === standing
    if (this.isIdle ? isMarksOnly && isSteady : isMarksOnly || !isSteady) return
    this.#begin(standing, first, isMarksOnly ? first : this.#endOfGroup(first))
  }

  /** Promises rest on the memory of two nodes from now on: says so where a recovery would look. */
  suspend(): void {
    if (this.isIdle && this.#standing !== 'suspended') {
      const first = Math.max(this.durable + 1, this.#ring.tail)
      this.#otherwise = 'suspended'
      this.#begin('suspended', first, first)
    }
  }

  #begin(standing: Standing, first: number, end: number): void {
    const group = this.#groups.find(({ phase }) => phase === 'idle')
    if (group === undefined) return
    this.#nextStanding = standing
    if (standing !== this.#standing) this.#standing = 'unknown'
    // a group whose marks are not safe yet leaves but one place that has good ones
    group.begin(first, end, !this.#underWay.some(({ hasMarks }) => hasMarks))
    this.#underWay.push(group)
    if (end > first) this.#writeEntries(group)
    if (group.hasMarks) group.write(this.#placeOfMarks, this.#putMarks(standing), BLOCK_SIZE)
    this.bytesWritten += group.bytesWritten
  }

  /**
   * Some group has got further. Only the oldest is flushed: of two flushes at a time, one might succeed and
   * the other one be told of its failure. What fails takes all groups after it along.
   */
  #advance(): void {
    for (let oldest = this.#underWay[0]; oldest !== undefined; oldest = this.#underWay[0]) {
      if (oldest.phase === 'writing' || oldest.phase === 'flushing') return
      if (oldest.phase === 'written' && !oldest.hasFailed) return oldest.flush()
      this.#underWay.shift()
      oldest.phase = 'idle'
      if (oldest.hasFailed) this.#hasFailed()
      else this.#counts(oldest)
    }
  }

  #hasFailed(): void {
    this.failures += 1
    for (const later of this.#underWay) later.hasFailed = true
  }

  #isSure(standing: Standing): void {
    this.#standing = standing
    this.#lastStanding = standing
  }

  #counts({ first, end, hasMarks }: VaultGroup): void {
    if (end > first) this.groupsWritten += 1
    if (hasMarks) {
      this.#marksWritten += 1
      this.#isSure(this.#nextStanding)
    }
    this.durable = Math.max(this.durable, end - 1)
  }

  /**
   * Before any group: whose log this is, that nothing of this epoch is in it yet, and the descriptor of the
   * epoch's first entry, so that a dead branch in the vault ends there.
   */
  *stamp(sequence: number): Procedure {
    assert(this.isIdle, 'a stamp is written before any group')
    const pending = new Pending()
    const { layout } = this.#ring
    const entry = layout.descriptorsAt + (sequence % layout.descriptorCount) * LogEntry.byteLength
    for (const [index, at] of [0, roundDown(entry, BLOCK_SIZE)].entries()) {
      const gather = this.#gathers[index]!
      gather.clear()
      gather.add(this.#ring.memory.address + at, BLOCK_SIZE)
      this.#zone.write(at, gather, pending.expect())
    }
    this.#writeMarks(this.#gathers[2]!, 'filling', pending.expect())
    yield* pending.all()
    if (pending.failure === 0) {
      this.#zone.flush(pending.expect())
      yield* pending.all()
    }
    if (pending.failure < 0)
      throw new StoreError('DISK_FAILED', `the vault cannot be written (errno ${-pending.failure})`)
    this.#marksWritten += 1
    this.#isSure('filling')
  }

  /**
   * For a plex that has come back: the groups since have brought it all entries that the image does not
   * contain; header and marks, in both places, are written again. Returns 0 or -errno.
   */
  *refresh(): Procedure<number> {
    assert(!this.#isRefreshing, 'one plex is refreshed at a time')
    this.#isRefreshing = true
    try {
      while (this.#underWay.length > 0) yield 'wait'
      return yield* this.#writeBothMarks()
    } finally {
      this.#isRefreshing = false
    }
  }

  *#writeBothMarks(): Procedure<number> {
    const pending = new Pending()
    const header = this.#gathers[0]!
    header.clear()
    header.add(this.#ring.memory.address, BLOCK_SIZE)
    this.#zone.write(0, header, pending.expect())
    const standing = this.#lastStanding === 'complete' ? this.#standingNow : this.#otherwise
    for (let place = 0; place < MARKS_AT.length && pending.failure === 0; place += 1) {
      this.#writeMarks(this.#gathers[1]!, standing, pending.expect())
      yield* pending.all()
      if (pending.failure === 0) this.#zone.flush(pending.expect())
      yield* pending.all()
      if (pending.failure === 0) this.#marksWritten += 1
    }
    if (pending.failure < 0) this.#standing = 'unknown'
    else this.#isSure(standing)
    return pending.failure
  }

  /** Entries up to here are on disk by a consistency point; the vault need not hold them. */
  contained(sequence: number): void {
    this.#contained = sequence
    this.durable = Math.max(this.durable, sequence)
  }

  #endOfGroup(first: number): number {
    let byteLength = 0
    let end = first
    while (end < this.#ring.head && byteLength < GROUP_BYTES_MAX) {
      byteLength += this.#ring.pageCount(end) * BLOCK_SIZE + LogEntry.byteLength
      end += 1
    }
    return end
  }

  #writeEntries(group: VaultGroup): void {
    const { descriptorsAt, descriptorCount, checksumsAt, pagesAt, pageCount } = this.#ring.layout
    const { first, end } = group
    const descriptors = { at: descriptorsAt, itemBytes: LogEntry.byteLength, itemCount: descriptorCount }
    this.#writeItems(group, descriptors, first % descriptorCount, end - first)
    const firstPage = this.#ring.firstPage(first)
    const pages = this.#ring.firstPage(end - 1) + this.#ring.pageCount(end - 1) - firstPage
    if (pages === 0 && !this.#hasPages(first, end)) return
    // as many as there are, if it ends where it began
    const count = pages <= 0 ? pages + pageCount : pages
    this.#writeItems(group, { at: checksumsAt, itemBytes: 4, itemCount: pageCount }, firstPage, count)
    this.#writeItems(group, { at: pagesAt, itemBytes: BLOCK_SIZE, itemCount: pageCount }, firstPage, count)
  }

  #hasPages(first: number, end: number): boolean {
    for (let sequence = first; sequence < end; sequence += 1)
      if (this.#ring.pageCount(sequence) > 0) return true
    return false
  }

  /** Some items of an area, which may go round its end. No page is written twice. */
  #writeItems(group: VaultGroup, { at, itemBytes, itemCount }: Area, first: number, count: number): void {
    const { address } = this.#ring.memory
    const untilEnd = Math.min(count, itemCount - first)
    const from = roundDown(at + first * itemBytes, BLOCK_SIZE)
    group.write(from, address + from, roundUp(at + (first + untilEnd) * itemBytes, BLOCK_SIZE) - from)
    const to = Math.min(from, roundUp(at + (count - untilEnd) * itemBytes, BLOCK_SIZE))
    if (to > at) group.write(at, address + at, to - at)
  }

  #writeMarks(gather: Gather, standing: Standing, done: Completion): void {
    gather.clear()
    gather.add(this.#putMarks(standing), BLOCK_SIZE)
    this.#zone.write(this.#placeOfMarks, gather, done)
  }

  get #placeOfMarks(): number {
    return MARKS_AT[this.#marksWritten & 1]!
  }

  /**
   * Says what earlier groups made durable: damage below it is not a torn end. Returns the address of the
   * block, in which nothing else may be put before it is written.
   */
  #putMarks(standing: Standing): number {
    const bytes = sealedMarks({
      magic: LOG_MARKS_MAGIC,
      version: LOG_RING_VERSION,
      seal: 0,
      counter: (this.#marksWritten + 1) >>> 0,
      epoch: this.#marks.epoch,
      complete: STANDINGS[standing],
      base: Math.min(this.#marks.base, this.durable + 1),
      acknowledged: this.durable,
      rest: new Uint8Array(24),
    })
    this.#scratch.bytes.set(bytes)
    return this.#scratch.address
  }
}
