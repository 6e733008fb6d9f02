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

/** The reserved zone on disk that mirrors the ring, byte for byte at the same offsets. */
export interface VaultZone {
  readonly byteLength: number
  read(at: number, into: Gather, done: Completion): void
  write(at: number, from: Gather, done: Completion): void
  flush(done: Completion): void
}

const GROUP_BYTES_MAX = 4 * MIB

type Phase = 'idle' | 'writing' | 'flushing' | 'refreshing'

/**
 * What the marks in the vault say for sure: it has promised nothing yet, it has all that was promised, or
 * promises rest on the memory of two nodes. Unknown: marks are being written, or could not be.
 */
type Standing = 'filling' | 'complete' | 'suspended' | 'unknown'
const STANDINGS = { filling: 0, complete: 1, suspended: 2, unknown: 0 } as const

/**
 * Group commit of the log to disk: whatever has been appended since the last group goes out as a few
 * sequential writes and one flush. A descriptor page is rewritten as it fills; that is harmless,
 * because the bytes of entries already in it do not change.
 *
 * The marks beside them say whether the vault is *complete*: whether it holds all that a FLUSH or FUA reply
 * has promised. A recovery without any ring believes a complete vault alone. So nothing is promised by the
 * vault before its marks say complete, and nothing by the memory of two nodes while they still do.
 */
export class Vault implements Completion {
  /** every entry up to here is on stable storage: in the vault, or by a consistency point */
  durable: number
  /** the last entry that was there before this vault was, or was promised without it */
  #owed: number
  #contained: number
  #standing: Standing = 'unknown'
  #nextStanding: Standing = 'filling'
  /** what it is as long as it is not complete; once suspended, no older vault may count again */
  #otherwise: Standing = 'filling'
  failures = 0
  groupsWritten = 0
  bytesWritten = 0
  #phase: Phase = 'idle'
  #outstanding = 0
  #failed = false
  #groupFirst = 0
  #groupEnd = 0
  /** marks that are safely in the vault: the next ones go to the other place */
  #marksWritten = 0
  readonly #ring: LogRing
  readonly #marks: Marks
  readonly #zone: VaultZone
  readonly #scratch: Memory
  readonly #gathers = Array.from({ length: 7 }, () => new Gather())

  /** `scratch`: at least a page, in which nothing else lives as long as this does. */
  constructor(ring: LogRing, marks: Marks, zone: VaultZone, scratch: Memory, durable: number) {
    assert(zone.byteLength === ring.layout.byteLength, 'a half of the vault holds the whole ring')
    this.#ring = ring
    this.#marks = marks
    this.#zone = zone
    this.#scratch = scratch
    this.durable = durable
    this.#contained = durable
    this.#owed = ring.head - 1
  }

  get isIdle(): boolean {
    return this.#phase === 'idle'
  }

  /** What FLUSH and FUA may promise without the memory of two nodes: every entry up to here. */
  get promised(): number {
    return this.#standing === 'complete' ? this.durable : this.#contained
  }

  /** No recovery believes the vault: promises rest on something else. */
  get isSuspended(): boolean {
    return this.#standing === 'suspended'
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
    return this.isIdle ? Number.MAX_SAFE_INTEGER : this.#groupFirst
  }

  /** Starts the next group if there is anything to write, or marks to change, and none is under way. */
  start(): void {
    if (!this.isIdle) return
    const first = Math.max(this.durable + 1, this.#ring.tail)
    const isMarksOnly = first >= this.#ring.head
    const standing = this.durable >= this.#owed ? 'complete' : this.#otherwise
    if (isMarksOnly && this.#standing === standing) return
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
    this.#groupFirst = first
    this.#groupEnd = end
    this.#phase = 'writing'
    this.#failed = false
    this.#nextStanding = standing
    if (standing !== this.#standing) this.#standing = 'unknown'
    this.#writeGroup()
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
    this.#standing = 'filling'
  }

  /**
   * For a plex that has come back: the groups since have brought it all entries that the image does not
   * contain; header and marks, in both places, are written again. Returns 0 or -errno.
   */
  *refresh(): Procedure<number> {
    while (!this.isIdle) yield 'wait'
    this.#phase = 'refreshing'
    this.#groupFirst = Number.MAX_SAFE_INTEGER
    const pending = new Pending()
    const header = this.#gathers[0]!
    header.clear()
    header.add(this.#ring.memory.address, BLOCK_SIZE)
    this.#zone.write(0, header, pending.expect())
    const standing = this.#standing === 'unknown' ? this.#otherwise : this.#standing
    for (let place = 0; place < MARKS_AT.length && pending.failure === 0; place += 1) {
      this.#writeMarks(this.#gathers[1]!, standing, pending.expect())
      yield* pending.all()
      if (pending.failure === 0) this.#zone.flush(pending.expect())
      yield* pending.all()
      if (pending.failure === 0) this.#marksWritten += 1
    }
    this.#standing = pending.failure === 0 ? standing : 'unknown'
    this.#phase = 'idle'
    return pending.failure
  }

  /** Entries up to here are on disk by a consistency point; the vault need not hold them. */
  contained(sequence: number): void {
    this.#contained = sequence
    this.durable = Math.max(this.durable, sequence)
  }

  complete(result: number): void {
    this.#outstanding -= 1
    if (result < 0) this.#failed = true
    if (this.#outstanding > 0) return
    if (this.#failed) {
      this.failures += 1
      this.#phase = 'idle'
    } else if (this.#phase === 'writing') {
      this.#phase = 'flushing'
      this.#outstanding = 1
      this.#zone.flush(this)
    } else {
      this.#phase = 'idle'
      if (this.#groupEnd > this.#groupFirst) this.groupsWritten += 1
      this.#marksWritten += 1
      this.#standing = this.#nextStanding
      this.durable = Math.max(this.durable, this.#groupEnd - 1)
    }
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

  #writeGroup(): void {
    let used = 0
    const write = (from: number, to: number): void => {
      const gather = this.#gathers[used]!
      used += 1
      const start = roundDown(from, BLOCK_SIZE)
      const byteLength = roundUp(to, BLOCK_SIZE) - start
      gather.clear()
      gather.add(this.#ring.memory.address + start, byteLength)
      this.bytesWritten += byteLength
      this.#outstanding += 1
      this.#zone.write(start, gather, this)
    }
    const { first, end } = { first: this.#groupFirst, end: this.#groupEnd }
    if (end > first) this.#writeEntries(first, end, write)
    this.#outstanding += 1
    this.#writeMarks(this.#gathers[used]!, this.#nextStanding, this)
  }

  #writeEntries(first: number, end: number, write: (from: number, to: number) => void): void {
    const { layout } = this.#ring
    forEachStretch(first % layout.descriptorCount, end - first, layout.descriptorCount, (index, count) => {
      const from = layout.descriptorsAt + index * LogEntry.byteLength
      write(from, from + count * LogEntry.byteLength)
    })
    const firstPage = this.#ring.firstPage(first)
    const endPage = this.#ring.firstPage(end - 1) + this.#ring.pageCount(end - 1)
    const pageStretches =
      endPage >= firstPage
        ? [[firstPage, endPage]]
        : [
            [firstPage, layout.pageCount],
            [0, endPage],
          ]
    for (const [from, to] of pageStretches as [number, number][]) {
      if (from === to) continue
      write(layout.checksumsAt + from * 4, layout.checksumsAt + to * 4)
      write(layout.pagesAt + from * BLOCK_SIZE, layout.pagesAt + to * BLOCK_SIZE)
    }
  }

  /** Says what an earlier group made durable: damage below it is not a torn end. */
  #writeMarks(gather: Gather, standing: Standing, done: Completion): void {
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
    gather.clear()
    gather.add(this.#scratch.address, BLOCK_SIZE)
    this.#zone.write(MARKS_AT[this.#marksWritten & 1]!, gather, done)
  }
}

function forEachStretch(
  index: number,
  count: number,
  size: number,
  visit: (index: number, count: number) => void,
): void {
  const beforeWrap = Math.min(count, size - index)
  visit(index, beforeWrap)
  if (count > beforeWrap) visit(0, count - beforeWrap)
}
