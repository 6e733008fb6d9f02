import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { labelDisk } from '../disk/label.ts'
import { IDENTITY_BYTES, identityFromText, identityText } from '../format/identity.ts'
import { type LogLayout, logLayout, vaultByteLengthOf } from '../format/log-ring.ts'
import type { Disk } from '../ports/disk.ts'
import { Image } from '../volume/image.ts'
import type { DiskWorld } from './in-process.ts'

export interface AggregateToFormat {
  readonly pair: string
  readonly name: string
  readonly identity: string
  readonly disks: readonly string[]
  readonly logByteLength: number
  readonly force: boolean
}

export interface FormattedDisk {
  readonly path: string
  readonly identity: string
  readonly byteLength: number
}

/** Labels the disks of an aggregate and makes its empty image. All are looked at before any is written. */
export function* formatAggregate(world: DiskWorld, wanted: AggregateToFormat): Procedure<FormattedDisk[]> {
  const disks: Disk[] = []
  try {
    for (const path of wanted.disks) disks.push(world.disks.open(path))
    const formatted: FormattedDisk[] = []
    for (const [index, disk] of disks.entries()) {
      const identity = yield* labelOne(world, wanted, disk, index)
      formatted.push({ path: disk.path, identity: identityText(identity), byteLength: disk.byteLength })
    }
    const { pair, identity: aggregate, force } = wanted
    yield* Image.format(world, disks, { pair, aggregate }, { force })
    return formatted
  } finally {
    for (const disk of disks) disk.close()
  }
}

function* labelOne(
  world: DiskWorld,
  wanted: AggregateToFormat,
  disk: Disk,
  diskIndex: number,
): Procedure<Uint8Array> {
  const identity = new Uint8Array(IDENTITY_BYTES)
  world.entropy.fill(identity)
  const facts = {
    pair: identityFromText(wanted.pair)!,
    aggregate: identityFromText(wanted.identity)!,
    disk: identity,
    aggregateName: wanted.name,
    plex: 0,
    diskIndex,
    diskCount: wanted.disks.length,
    vaultByteLength: diskIndex === 0 ? vaultByteLength(wanted.logByteLength) : 0,
    labelledAtMs: Math.round(world.clock.wall()),
  }
  yield* labelDisk(disk, facts, { force: wanted.force }, world.memory)
  return identity
}

const layoutFor = (logByteLength: number): LogLayout => logLayout(logByteLength / BLOCK_SIZE)

/** The file of a log ring: its data, and what describes it. */
export const ringByteLength = (logByteLength: number): number => layoutFor(logByteLength).byteLength

/** What the vault takes of the first disk. */
export const vaultByteLength = (logByteLength: number): number => vaultByteLengthOf(layoutFor(logByteLength))
