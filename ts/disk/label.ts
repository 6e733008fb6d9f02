import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, KIB } from '../base/units.ts'
import { DISK_LABEL_MAGIC, DISK_LABEL_VERSION, DiskLabel } from '../format/disk-label.ts'
import { sameIdentity } from '../format/identity.ts'
import { isBlank, judgeSeal, type SealVerdict, seal, VERSION_AT } from '../format/sealed.ts'
import type { Disk } from '../ports/disk.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { memoryPool } from './memory-pool.ts'
import { foreignSignature, SIGNATURE_BYTES } from './signatures.ts'
import { flushDisk, readBytes, writeBytes } from './transfers.ts'
import { layOutZones, SUPERBLOCK_ZONE_BYTES, tailLabelAt } from './zones.ts'

export type DiskLabelValues = ReturnType<typeof DiskLabel.decode>

export type LabelVerdict =
  /** `damaged`: the side that does not check; the other one is enough */
  | { kind: 'good'; label: DiskLabelValues; damaged: 'head' | 'tail' | undefined }
  | { kind: 'blank' }
  | { kind: 'foreign'; what: string }
  | { kind: 'version'; version: number }

/** What a new label says, besides the zones. The vault is on the first disk of a plex. */
export interface LabelFacts {
  readonly pair: Uint8Array
  readonly aggregate: Uint8Array
  /** random, new for each labelling */
  readonly disk: Uint8Array
  readonly aggregateName: string
  readonly plex: number
  readonly diskIndex: number
  readonly diskCount: number
  readonly vaultByteLength: number
  readonly labelledAtMs: number
}

/** This much at both ends must be zero for a disk to count as blank. */
const BLANK_BYTES = 64 * KIB
const SCRATCH_BYTES = SIGNATURE_BYTES + BLANK_BYTES

/** Reads both labels and judges what the disk is. Throws DISK_UNUSABLE if it cannot be read at all. */
export function* readLabel(disk: Disk, port: MemoryPort): Procedure<LabelVerdict> {
  if (disk.byteLength < 2 * BLOCK_SIZE) {
    const text = `${disk.path} has ${disk.byteLength} bytes, and no room for two labels; check the disk`
    throw new StoreError('DISK_TOO_SMALL', text)
  }
  const pool = memoryPool(port)
  const scratch = pool.borrow(SCRATCH_BYTES)
  try {
    const headBytes = Math.min(SIGNATURE_BYTES, tailLabelAt(disk.byteLength) + BLOCK_SIZE)
    const head = yield* readSide(disk, 0, scratch, 0, headBytes)
    const tailAt = tailPlace(disk, head)
    const tailFrom = Math.max(0, tailAt + BLOCK_SIZE - BLANK_BYTES)
    const tail = yield* readSide(disk, tailFrom, scratch, SIGNATURE_BYTES, tailAt + BLOCK_SIZE - tailFrom)
    if (head === undefined && tail === undefined) {
      throw new StoreError('DISK_UNUSABLE', `${disk.path}: neither end can be read; check the disk`)
    }
    return judgeLabels(head, tail)
  } finally {
    pool.giveBack(scratch)
  }
}

function* readSide(
  disk: Disk,
  at: number,
  scratch: Memory,
  from: number,
  byteLength: number,
): Procedure<Uint8Array | undefined> {
  const result = yield* readBytes(disk, at, scratch.address + from, byteLength)
  return result < 0 ? undefined : scratch.bytes.subarray(from, from + byteLength)
}

/** A disk that has grown, or is larger than the one it mirrors, has its second label where its zones end. */
function tailPlace(disk: Disk, head: Uint8Array | undefined): number {
  const atEnd = tailLabelAt(disk.byteLength)
  if (head === undefined || judge(head, 0) !== 'good') return atEnd
  const { byteLength } = DiskLabel.decode(head)
  return byteLength > BLOCK_SIZE && byteLength <= disk.byteLength ? tailLabelAt(byteLength) : atEnd
}

function judge(side: Uint8Array, at: number): SealVerdict {
  return judgeSeal(side.subarray(at, at + DiskLabel.byteLength), DISK_LABEL_MAGIC, DISK_LABEL_VERSION)
}

/** `head` begins with the first label, `tail` ends with the block of the second; undefined: unreadable. */
export function judgeLabels(head: Uint8Array | undefined, tail: Uint8Array | undefined): LabelVerdict {
  const tailAt = tail === undefined ? 0 : tail.length - BLOCK_SIZE
  const headVerdict = head === undefined ? 'torn' : judge(head, 0)
  const tailVerdict = tail === undefined ? 'torn' : judge(tail, tailAt)
  if (headVerdict === 'good') {
    const tailLabel = tailVerdict === 'good' ? DiskLabel.decode(tail!, tailAt) : undefined
    const label = DiskLabel.decode(head!)
    const same =
      tailLabel !== undefined &&
      sameIdentity(tailLabel.disk, label.disk) &&
      // a crash in between has left one side as it was before disks were added
      tailLabel.diskCount === label.diskCount
    return { kind: 'good', label, damaged: same ? undefined : 'tail' }
  }
  const what = head === undefined ? undefined : foreignSignature(head)
  if (what !== undefined && headVerdict !== 'version') return { kind: 'foreign', what }
  if (headVerdict === 'version') return { kind: 'version', version: versionOf(head!, 0) }
  if (tailVerdict === 'good') return { kind: 'good', label: DiskLabel.decode(tail!, tailAt), damaged: 'head' }
  if (tailVerdict === 'version') return { kind: 'version', version: versionOf(tail!, tailAt) }
  if (head !== undefined && tail !== undefined && isBlank(head.subarray(0, BLANK_BYTES)) && isBlank(tail))
    return { kind: 'blank' }
  const ours = headVerdict === 'torn' || tailVerdict === 'torn'
  return { kind: 'foreign', what: ours ? 'labels that are damaged at both ends' : 'data of unknown kind' }
}

/** Reads both labels of a disk in use. Returns which of them is not whole, in words. */
export function* verifyLabels(disk: Disk, label: DiskLabelValues, port: MemoryPort): Procedure<string[]> {
  const pool = memoryPool(port)
  const scratch = pool.borrow(BLOCK_SIZE)
  const problems: string[] = []
  for (const [side, at] of [
    ['head', 0],
    ['tail', tailLabelAt(label.byteLength)],
  ] as const) {
    const found = yield* readSide(disk, at, scratch, 0, BLOCK_SIZE)
    const isIt =
      found !== undefined &&
      judge(found, 0) === 'good' &&
      sameIdentity(DiskLabel.decode(found).disk, label.disk)
    if (!isIt)
      problems.push(`the label at its ${side} ${found === undefined ? 'cannot be read' : 'does not check'}`)
  }
  pool.giveBack(scratch)
  return problems
}

const versionOf = (side: Uint8Array, at: number): number =>
  new DataView(side.buffer, side.byteOffset + at).getUint32(VERSION_AT, true)

export interface LabelOptions {
  /** whatever is on the disk is given up */
  readonly force: boolean
  /** how much of the disk is laid out, if it is larger than the disk that it mirrors */
  readonly byteLength?: number
}

/**
 * Labels a disk for an aggregate. Refuses one that is not blank, unless forced. Old superblocks go
 * first, then both labels are written and read back, so that a crash leaves no half-labelled disk
 * that could pass for a good one.
 */
export function* labelDisk(
  disk: Disk,
  facts: LabelFacts,
  options: LabelOptions,
  port: MemoryPort,
): Procedure<DiskLabelValues> {
  if (!options.force) yield* mustBeBlank(disk, port)
  const label = makeLabel(disk, facts, options.byteLength ?? disk.byteLength)
  const pool = memoryPool(port)
  const scratch = pool.borrow(SUPERBLOCK_ZONE_BYTES)
  try {
    // an older label at the very end would be believed if the head is lost and the new tail is before it
    for (const tailAt of new Set([tailLabelAt(disk.byteLength), tailLabelAt(label.byteLength)])) {
      yield* must(disk, writeBytes(disk, tailAt, scratch.address, BLOCK_SIZE))
    }
    yield* must(disk, writeBytes(disk, 0, scratch.address, BLOCK_SIZE))
    yield* must(disk, writeBytes(disk, label.superblocksAt, scratch.address, SUPERBLOCK_ZONE_BYTES))
    yield* must(disk, flushDisk(disk))
    yield* writeLabels(disk, label, scratch)
  } finally {
    pool.giveBack(scratch)
  }
  const written = yield* readLabel(disk, port)
  if (written.kind !== 'good' || written.damaged !== undefined) {
    throw new StoreError('DISK_UNUSABLE', `${disk.path} does not give back what was written; check the disk`)
  }
  return written.label
}

/** Refuses a disk that is not blank, naming what is on it. */
export function* mustBeBlank(disk: Disk, port: MemoryPort): Procedure {
  const verdict = yield* readLabel(disk, port)
  if (verdict.kind !== 'blank') throw notBlank(disk, verdict)
}

/** Writes the label to both ends again, one after the other: one of them is good at any moment. */
export function* repairLabels(disk: Disk, label: DiskLabelValues, port: MemoryPort): Procedure {
  const pool = memoryPool(port)
  const scratch = pool.borrow(BLOCK_SIZE)
  try {
    yield* writeLabels(disk, label, scratch)
  } finally {
    pool.giveBack(scratch)
  }
}

function* writeLabels(disk: Disk, label: DiskLabelValues, scratch: Memory): Procedure {
  const bytes = scratch.bytes.subarray(0, DiskLabel.byteLength)
  DiskLabel.encode(label, bytes)
  seal(bytes)
  yield* must(disk, writeBytes(disk, tailLabelAt(label.byteLength), scratch.address, BLOCK_SIZE))
  yield* must(disk, flushDisk(disk))
  yield* must(disk, writeBytes(disk, 0, scratch.address, BLOCK_SIZE))
  yield* must(disk, flushDisk(disk))
}

function makeLabel(disk: Disk, facts: LabelFacts, byteLength: number): DiskLabelValues {
  assert(byteLength <= disk.byteLength, 'a disk is laid out no further than it reaches')
  const vaultByteLength = facts.diskIndex === 0 ? facts.vaultByteLength : 0
  return {
    magic: DISK_LABEL_MAGIC,
    version: DISK_LABEL_VERSION,
    seal: 0,
    blockSize: BLOCK_SIZE,
    reserved: 0,
    rest: new Uint8Array(0),
    ...facts,
    ...layOutZones(disk.path, byteLength, vaultByteLength),
  }
}

/** Why a disk that is not blank is not labelled, or not used. */
export function notBlank(disk: Disk, verdict: LabelVerdict): StoreError {
  const remedy = 'if its data is not needed any more: pollux disk label --force'
  if (verdict.kind === 'good') {
    const { aggregateName, plex, diskIndex, diskCount } = verdict.label
    const whose = `disk ${diskIndex + 1} of ${diskCount} in plex ${plex} of aggregate ${aggregateName}`
    return new StoreError('DISK_FOREIGN', `${disk.path} is labelled already, as ${whose}; ${remedy}`)
  }
  if (verdict.kind === 'version') {
    const text = `${disk.path} has a label of format version ${verdict.version}, which cannot be read here`
    return new StoreError('DISK_FOREIGN', `${text}; upgrade this node, or ${remedy}`)
  }
  const what = verdict.kind === 'foreign' ? verdict.what : 'no label'
  return new StoreError('DISK_FOREIGN', `${disk.path} holds ${what}; ${remedy}`)
}

function* must(disk: Disk, operation: Procedure<number>): Procedure {
  const result = yield* operation
  if (result < 0) {
    throw new StoreError('DISK_FAILED', `${disk.path} cannot be written (error ${-result}); check the disk`)
  }
}
