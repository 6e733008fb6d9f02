import { StoreError } from '../base/errors.ts'
import { MemoryBatch } from '../base/memory-batch.ts'
import type { Procedure } from '../base/procedure.ts'
import { ENTRY_PAGES_MAX, LOG_ENTRY_MAGIC } from '../format/log-ring.ts'
import type { MemoryPort } from '../ports/memory.ts'
import type { MarksFound } from './marks.ts'
import type { LogRing } from './ring.ts'

/**
 * Recovery reads the log forward from the first entry that the disks do not contain, and decides
 * for each place in the ring what lies there. Restart and takeover are this same code.
 */
export type Decision = 'apply' | 'end' | 'damage'

interface ReplayCase {
  readonly name: string
  /** the seal matches descriptor and checksums, and the place holds the sequence that belongs there */
  readonly whole: boolean | 'any'
  /** written in this epoch or one before it, and not older than the entry before */
  readonly epochFits: boolean | 'any'
  /** every data page matches its checksum */
  readonly dataGood: boolean | 'any'
  /** an acknowledgement of it may have left a node */
  readonly mayBeAcknowledged: boolean | 'any'
  readonly decision: Decision
}

/** Each combination matches exactly one row (test/unit/log/replay.test.ts). */
export const replayCases: readonly ReplayCase[] = [
  {
    name: 'good entry',
    whole: true,
    epochFits: true,
    dataGood: true,
    mayBeAcknowledged: 'any',
    decision: 'apply',
  },
  {
    name: 'data rotted',
    whole: true,
    epochFits: true,
    dataGood: false,
    mayBeAcknowledged: true,
    decision: 'damage',
  },
  {
    name: 'torn while written',
    whole: true,
    epochFits: true,
    dataGood: false,
    mayBeAcknowledged: false,
    decision: 'end',
  },
  {
    name: 'overwritten by another epoch',
    whole: true,
    epochFits: false,
    dataGood: 'any',
    mayBeAcknowledged: true,
    decision: 'damage',
  },
  {
    name: 'left by a fenced epoch',
    whole: true,
    epochFits: false,
    dataGood: 'any',
    mayBeAcknowledged: false,
    decision: 'end',
  },
  {
    name: 'descriptor rotted',
    whole: false,
    epochFits: 'any',
    dataGood: 'any',
    mayBeAcknowledged: true,
    decision: 'damage',
  },
  {
    name: 'nothing there yet',
    whole: false,
    epochFits: 'any',
    dataGood: 'any',
    mayBeAcknowledged: false,
    decision: 'end',
  },
]

export function decide(
  whole: boolean,
  epochFits: boolean,
  dataGood: boolean,
  mayBeAcknowledged: boolean,
): Decision {
  const matches = (wanted: boolean | 'any', is: boolean) => wanted === 'any' || wanted === is
  for (const row of replayCases) {
    if (
      matches(row.whole, whole) &&
      matches(row.epochFits, epochFits) &&
      matches(row.dataGood, dataGood) &&
      matches(row.mayBeAcknowledged, mayBeAcknowledged)
    ) {
      return row.decision
    }
  }
  throw new Error('the table of replay cases is total')
}

export interface ReplayLimits {
  /** the last sequence that the superblock contains */
  readonly contained: number
  /** the epoch of the superblock: entries of an older one after `contained` are a dead branch */
  readonly imageEpoch: number
  /** no entry may be of a later epoch than this */
  readonly allowedEpoch: number
  /** undefined: the marks were damaged, so a later whole entry decides what may be acknowledged */
  readonly marks: MarksFound | undefined
}

/** Sequences of the first entry and the one behind the last. */
export interface Retained {
  readonly first: number
  readonly end: number
}

/** Entries and pages looked at before others get a turn: a few milliseconds, far less than a lease. */
const WORK_PER_STEP = 2048
/** Descriptors looked at ahead of one, which costs less. */
const AHEAD_PER_STEP = 16 * WORK_PER_STEP
/** Entries, or pages, checked by one call into the addon, which costs as much as checking one. */
const STRETCH = 64
const STEPS_PER_ENTRY = 2

/**
 * Finds the entries to be retained, each of them verified down to its data. Throws LOG_DAMAGED (naming the
 * sequence) rather than skip anything. The ring is left as it is.
 */
export function* findEntries(ring: LogRing, memory: MemoryPort, limits: ReplayLimits): Procedure<Retained> {
  const first = limits.contained + 1
  refuseGap(limits, first)
  const scan: Scan = { ring, memory, batch: new MemoryBatch(256), limits, epoch: limits.imageEpoch, work: 0 }
  const limit = first + ring.layout.descriptorCount
  let sequence = first
  for (;;) {
    sequence += goodEntries(scan, sequence, limit)
    const decision = yield* judge(scan, sequence)
    if (decision === 'damage') throw damagedAt(sequence, limits)
    if (decision === 'end' || sequence === limit) break
    pass(scan, sequence)
    sequence += 1
    if (scan.work < WORK_PER_STEP) continue
    scan.work = 0
    yield 'again'
  }
  return { first, end: sequence }
}

/**
 * How many entries from this one on are sure to be good: nothing about them is left to judge. They are
 * checked together; whatever ends the stretch is judged by itself.
 */
function goodEntries(scan: Scan, from: number, limit: number): number {
  const { ring, memory, batch, limits } = scan
  let { epoch } = scan
  let end = from
  for (let pages = 0; end < limit && end - from < STRETCH && pages < STRETCH; end += 1) {
    if (!isInPlace(ring, end) || !epochFits(limits, epoch, ring.epoch(end))) break
    epoch = ring.epoch(end)
    ring.verifySealStep(batch, end)
    // without pages, too: so the place of a step tells its entry
    verifyPages(batch, ring, end)
    pages += ring.pageCount(end)
  }
  const good = memory.run(batch) === 0 ? end - from : Math.floor(batch.firstFailure / STEPS_PER_ENTRY)
  for (let sequence = from; sequence < from + good; sequence += 1) pass(scan, sequence)
  return good
}

function pass(scan: Scan, sequence: number): void {
  scan.epoch = scan.ring.epoch(sequence)
  scan.work += 1 + scan.ring.pageCount(sequence)
}

/** Leaves the ring with tail and head around these entries; what the disks contain is forgotten. */
export function retainEntries(ring: LogRing, { first, end }: Retained): void {
  ring.retain(first, end)
  ring.forgetFrom(end)
}

interface Scan {
  readonly ring: LogRing
  readonly memory: MemoryPort
  readonly batch: MemoryBatch
  readonly limits: ReplayLimits
  /** of the entry before the one that is looked at */
  epoch: number
  /** entries and pages that were passed in this step */
  work: number
}

function refuseGap({ marks, contained }: ReplayLimits, first: number): void {
  if (marks === undefined || marks.base <= first || marks.acknowledged < marks.base) return
  throw new StoreError(
    'LOG_DAMAGED',
    `this copy of the log begins at entry ${marks.base}, but the disks only contain entries up to ${contained}`,
  )
}

function* judge(scan: Scan, sequence: number): Procedure<Decision> {
  const { ring, memory, batch, epoch, limits } = scan
  const whole = isWhole(scan, sequence)
  const entryEpoch = ring.epoch(sequence)
  const fits = whole && epochFits(limits, epoch, entryEpoch)
  let dataGood = false
  if (fits) {
    verifyPages(batch, ring, sequence)
    dataGood = memory.run(batch) === 0
  }
  // for a good entry it does not matter, and without marks it takes a while to find out
  const mayBeAcknowledged = dataGood || (yield* isMaybeAcknowledged(scan, sequence))
  return decide(whole, fits, dataGood, mayBeAcknowledged)
}

function verifyPages(batch: MemoryBatch, ring: LogRing, sequence: number): void {
  const firstPage = ring.firstPage(sequence)
  batch.verifyBlocks(ring.pageAddress(firstPage), ring.pageCount(sequence), ring.checksumAddress(firstPage))
}

const epochFits = ({ allowedEpoch }: ReplayLimits, before: number, epoch: number): boolean =>
  epoch >= before && epoch <= allowedEpoch

function isWhole({ ring, memory, batch }: Scan, sequence: number): boolean {
  if (!isInPlace(ring, sequence)) return false
  ring.verifySealStep(batch, sequence)
  return memory.run(batch) === 0
}

/** What a seal can be checked for: its numbers are not believed yet, but lie inside of the ring. */
function isInPlace(ring: LogRing, sequence: number): boolean {
  if (ring.magic(sequence) !== LOG_ENTRY_MAGIC || ring.claimedSequence(sequence) !== sequence) return false
  const pages = ring.pageCount(sequence)
  return pages <= ENTRY_PAGES_MAX && ring.firstPage(sequence) + pages <= ring.layout.pageCount
}

function* isMaybeAcknowledged(scan: Scan, sequence: number): Procedure<boolean> {
  const { ring, epoch, limits } = scan
  if (limits.marks !== undefined) return sequence <= limits.marks.acknowledged
  // Without marks, a whole later entry of a fitting epoch shows that this one had been there, too.
  for (let ahead = 1; ahead < ring.layout.descriptorCount; ahead += 1) {
    if (ahead % AHEAD_PER_STEP === 0) yield 'again'
    const later = sequence + ahead
    if (ring.magic(later) !== LOG_ENTRY_MAGIC || ring.claimedSequence(later) !== later) continue
    if (ring.epoch(later) >= epoch && isWhole(scan, later)) return true
  }
  return false
}

function damagedAt(sequence: number, limits: ReplayLimits): StoreError {
  const through =
    limits.marks === undefined
      ? 'later entries are whole'
      : `acknowledged through ${limits.marks.acknowledged}`
  return new StoreError(
    'LOG_DAMAGED',
    `log entry ${sequence} does not check, but may have been acknowledged (${through}); ` +
      'the other copy of the log is needed',
  )
}
