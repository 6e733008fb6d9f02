import { StoreError } from '../base/errors.ts'
import { MemoryBatch } from '../base/memory-batch.ts'
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

/**
 * Finds the retained entries and leaves the ring with tail and head around them, every entry
 * verified down to its data. Throws LOG_DAMAGED (naming the sequence) rather than skip anything.
 */
export function recover(ring: LogRing, memory: MemoryPort, limits: ReplayLimits): { applied: number } {
  const first = limits.contained + 1
  if (
    limits.marks !== undefined &&
    limits.marks.base > first &&
    limits.marks.acknowledged >= limits.marks.base
  ) {
    throw new StoreError(
      'LOG_DAMAGED',
      `this copy of the log begins at entry ${limits.marks.base}, but the disks only contain entries up to ${limits.contained}`,
    )
  }
  ring.head = first
  ring.tail = first
  const batch = new MemoryBatch(256)
  let epoch = limits.imageEpoch
  for (;;) {
    const sequence = ring.head
    const decision = judge(ring, memory, batch, sequence, epoch, limits)
    if (decision === 'damage') throw damagedAt(sequence, limits)
    if (decision === 'end' || ring.entryCount === ring.layout.descriptorCount) break
    epoch = ring.epoch(sequence)
    if (ring.entryCount === 0) ring.startPagesAt(ring.firstPage(sequence))
    ring.adopt(sequence)
  }
  ring.forgetFrom(ring.head)
  return { applied: ring.entryCount }
}

function judge(
  ring: LogRing,
  memory: MemoryPort,
  batch: MemoryBatch,
  sequence: number,
  epoch: number,
  limits: ReplayLimits,
): Decision {
  const whole = isWhole(ring, memory, batch, sequence)
  const entryEpoch = ring.epoch(sequence)
  const epochFits = whole && entryEpoch >= epoch && entryEpoch <= limits.allowedEpoch
  let dataGood = false
  if (epochFits) {
    const pages = ring.pageCount(sequence)
    const firstPage = ring.firstPage(sequence)
    if (pages > 0) batch.verifyBlocks(ring.pageAddress(firstPage), pages, ring.checksumAddress(firstPage))
    dataGood = memory.run(batch) === 0
  }
  return decide(whole, epochFits, dataGood, mayBeAcknowledged(ring, memory, batch, sequence, epoch, limits))
}

function isWhole(ring: LogRing, memory: MemoryPort, batch: MemoryBatch, sequence: number): boolean {
  if (ring.magic(sequence) !== LOG_ENTRY_MAGIC || ring.claimedSequence(sequence) !== sequence) return false
  const pages = ring.pageCount(sequence)
  if (pages > ENTRY_PAGES_MAX || ring.firstPage(sequence) + pages > ring.layout.pageCount) return false
  ring.verifySealStep(batch, sequence)
  return memory.run(batch) === 0
}

function mayBeAcknowledged(
  ring: LogRing,
  memory: MemoryPort,
  batch: MemoryBatch,
  sequence: number,
  epoch: number,
  limits: ReplayLimits,
): boolean {
  if (limits.marks !== undefined) return sequence <= limits.marks.acknowledged
  // Without marks, a whole later entry of a fitting epoch shows that this one had been there, too.
  for (let ahead = 1; ahead < ring.layout.descriptorCount; ahead += 1) {
    const later = sequence + ahead
    if (ring.magic(later) !== LOG_ENTRY_MAGIC || ring.claimedSequence(later) !== later) continue
    if (ring.epoch(later) >= epoch && isWhole(ring, memory, batch, later)) return true
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
