import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { identityText, sameIdentity } from '../format/identity.ts'
import type { Disk } from '../ports/disk.ts'
import type { HostPort } from '../ports/host.ts'
import type { MemoryPort } from '../ports/memory.ts'
import { GuardedDisk, type OpenDisk } from './guarded-disk.ts'
import { type DiskLabelValues, type LabelVerdict, notBlank, readLabel } from './label.ts'
import { memoryPool } from './memory-pool.ts'
import { type DiskZones, zonesMistake } from './zones.ts'

export interface ExpectedDisk {
  readonly pair: Uint8Array
  readonly aggregate: Uint8Array
  readonly plex: number
  readonly diskIndex: number
  readonly diskCount: number
}

/** A disk whose label says that it belongs here. */
export interface LabelledDisk extends OpenDisk {
  /** as it is on the disk by now */
  label: DiskLabelValues
  readonly zones: DiskZones
  /** the side whose label does not check */
  readonly damaged: 'head' | 'tail' | undefined
}

/** The operator hears of each disk that goes bad. */
export function tellFailures(disks: readonly LabelledDisk[], host: HostPort): void {
  for (const { disk } of disks)
    disk.onFailure = (_, what) => host.event('error', 'disk failed', `${disk.path}: ${what}`)
}

/** Checks that the disk is the one that is expected. Throws DISK_* naming what it is instead. */
export function* openLabelled(
  inner: Disk,
  expected: ExpectedDisk,
  port: MemoryPort,
): Procedure<LabelledDisk> {
  const opened = yield* openAnyLabelled(inner, port)
  const mistake = labelMistake(opened.label, expected)
  if (mistake === undefined) return opened
  memoryPool(port).giveBack(opened.scratch)
  throw new StoreError('DISK_FOREIGN', `${inner.path} ${mistake}`)
}

/** As `openLabelled`, for tools: any good label will do. */
export function* openAnyLabelled(inner: Disk, port: MemoryPort): Procedure<LabelledDisk> {
  const { label, damaged } = usable(inner, yield* readLabel(inner, port))
  const mistake = zonesMistake(label)
  if (mistake !== undefined)
    throw new StoreError('DISK_UNUSABLE', `${inner.path}: its label is wrong: ${mistake}`)
  const scratch = memoryPool(port).borrow(BLOCK_SIZE)
  return { disk: new GuardedDisk(inner, scratch), label, zones: label, damaged, scratch }
}

function usable(disk: Disk, verdict: LabelVerdict): Extract<LabelVerdict, { kind: 'good' }> {
  if (verdict.kind === 'blank') {
    throw new StoreError('DISK_UNLABELLED', `${disk.path} is blank; label it with: pollux disk label`)
  }
  if (verdict.kind !== 'good') throw notBlank(disk, verdict)
  const { byteLength } = verdict.label
  if (byteLength > disk.byteLength) {
    throw new StoreError(
      'DISK_TOO_SMALL',
      `${disk.path} has ${disk.byteLength} bytes and had ${byteLength} when it was labelled; ` +
        'give it back its size',
    )
  }
  return verdict
}

function labelMistake(label: DiskLabelValues, expected: ExpectedDisk): string | undefined {
  if (!sameIdentity(label.pair, expected.pair)) {
    return `belongs to another pair (${identityText(label.pair)}); check the configuration`
  }
  if (!sameIdentity(label.aggregate, expected.aggregate)) {
    return `belongs to another aggregate (${label.aggregateName}); check the configuration`
  }
  const { plex, diskIndex, diskCount } = expected
  const isInPlace = label.plex === plex && label.diskIndex === diskIndex
  // one that was there before others were added need not count those yet; the last one counts all
  if (isInPlace && diskIndex < label.diskCount && label.diskCount <= diskCount) return undefined
  const is = `disk ${label.diskIndex + 1} of ${label.diskCount} of plex ${label.plex}`
  const wanted = `disk ${diskIndex + 1} of ${diskCount} of plex ${plex}`
  const isShort = isInPlace && label.diskCount > diskCount
  const remedy = isShort ? 'add those that are missing to the list' : 'correct the list of disks'
  return `is ${is} and is configured as ${wanted}; ${remedy}`
}
