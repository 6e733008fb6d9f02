import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import { Gather } from '../base/gather.ts'
import { Pending, type Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, MIB, roundDown, roundUp } from '../base/units.ts'
import { LOG_MARKS_MAGIC, LOG_RING_VERSION, LogEntry, type LogLayout, MARKS_AT } from '../format/log-ring.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
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
const READ_BYTES = 4 * MIB

type Phase = 'idle' | 'writing' | 'flushing' | 'failed'

/**
 * Group commit of the log to disk: whatever has been appended since the last group goes out as a few
 * sequential writes and one flush. A descriptor page is rewritten as it fills; that is harmless,
 * because the bytes of entries already in it do not change.
 */
export class Vault implements Completion {
  /** every entry up to here is on stable storage in the vault */
  durable: number
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

  constructor(ring: LogRing, marks: Marks, zone: VaultZone, memory: MemoryPort, durable: number) {
    assert(zone.byteLength >= ring.layout.byteLength, 'the vault holds the whole ring')
    this.#ring = ring
    this.#marks = marks
    this.#zone = zone
    this.#scratch = memory.allocate(BLOCK_SIZE)
    this.durable = durable
  }

  get isIdle(): boolean {
    return this.#phase === 'idle' || this.#phase === 'failed'
  }

  /** Entries from here on are being written and must not be released. */
  get pinnedFrom(): number {
    return this.isIdle ? Number.MAX_SAFE_INTEGER : this.#groupFirst
  }

  /** Starts the next group if there is anything to write and none is under way. */
  start(): void {
    if (!this.isIdle) return
    const first = Math.max(this.durable + 1, this.#ring.tail)
    if (first >= this.#ring.head) return
    this.#groupFirst = first
    this.#groupEnd = this.#endOfGroup(first)
    this.#phase = 'writing'
    this.#failed = false
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
    this.#writeMarks(this.#gathers[2]!, pending.expect())
    yield* pending.all()
    if (pending.failure === 0) {
      this.#zone.flush(pending.expect())
      yield* pending.all()
    }
    if (pending.failure < 0)
      throw new StoreError('DISK_FAILED', `the vault cannot be written (errno ${-pending.failure})`)
    this.#marksWritten += 1
  }

  /** Entries up to here are on disk by a consistency point; the vault need not hold them. */
  contained(sequence: number): void {
    this.durable = Math.max(this.durable, sequence)
  }

  complete(result: number): void {
    this.#outstanding -= 1
    if (result < 0) this.#failed = true
    if (this.#outstanding > 0) return
    if (this.#failed) {
      this.failures += 1
      this.#phase = 'failed'
    } else if (this.#phase === 'writing') {
      this.#phase = 'flushing'
      this.#outstanding = 1
      this.#zone.flush(this)
    } else {
      this.#phase = 'idle'
      this.groupsWritten += 1
      this.#marksWritten += 1
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
    const { layout } = this.#ring
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
    this.#outstanding += 1
    this.#writeMarks(this.#gathers[used]!, this)
  }

  /** Says what an earlier group made durable: damage below it is not a torn end. */
  #writeMarks(gather: Gather, done: Completion): void {
    const bytes = sealedMarks({
      magic: LOG_MARKS_MAGIC,
      version: LOG_RING_VERSION,
      seal: 0,
      counter: (this.#marksWritten + 1) >>> 0,
      epoch: this.#marks.epoch,
      complete: 1,
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

/**
 * Brings the vault's bytes back into a ring that lost its memory. Header and marks come last: a ring
 * that was left half way is not taken for the one that the record lists.
 */
export function* loadVault(zone: VaultZone, into: Memory, layout: LogLayout): Procedure {
  yield* readInto(zone, into, layout.descriptorsAt, layout.byteLength)
  yield* readInto(zone, into, 0, layout.descriptorsAt)
}

function* readInto(zone: VaultZone, into: Memory, from: number, to: number): Procedure {
  const pending = new Pending()
  const gathers = Array.from({ length: 4 }, () => new Gather())
  for (let at = from; at < to; ) {
    for (const gather of gathers) {
      const byteLength = Math.min(READ_BYTES, to - at)
      if (byteLength === 0) break
      gather.clear()
      gather.add(into.address + at, byteLength)
      zone.read(at, gather, pending.expect())
      at += byteLength
    }
    yield* pending.all()
  }
  if (pending.failure < 0)
    throw new StoreError('DISK_FAILED', `the vault cannot be read (errno ${-pending.failure})`)
}
