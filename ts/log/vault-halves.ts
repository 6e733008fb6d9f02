import { StoreError } from '../base/errors.ts'
import { Gather } from '../base/gather.ts'
import { Pending, type Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, MIB } from '../base/units.ts'
import { sameIdentity } from '../format/identity.ts'
import {
  LOG_RING_MAGIC,
  LOG_RING_VERSION,
  type LogLayout,
  LogRingHeader,
  VAULT_HALVES,
  vaultByteLengthOf,
} from '../format/log-ring.ts'
import { judgeSeal } from '../format/sealed.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory } from '../ports/memory.ts'
import { Marks, type MarksFound } from './marks.ts'
import type { VaultZone } from './vault.ts'

const READ_BYTES = 4 * MIB

/** What the marks of one half say; undefined where there is no log of this aggregate. */
export type HalfFound = (MarksFound & { readonly isSuspended: boolean }) | undefined

/** One of the two copies of a ring in the vault's zone, addressed from its own beginning. */
export function vaultHalf(zone: VaultZone, layout: LogLayout, index: number): VaultZone {
  if (zone.byteLength < vaultByteLengthOf(layout)) {
    const sizes = `${zone.byteLength} bytes, and the log needs ${vaultByteLengthOf(layout)}`
    const remedy = 'set log_size back, or label the disks again for the larger log'
    throw new StoreError('DISK_TOO_SMALL', `the vault on disk has ${sizes}: ${remedy}`)
  }
  const from = index * layout.byteLength
  return {
    byteLength: layout.byteLength,
    read: (at: number, into: Gather, done: Completion) => zone.read(from + at, into, done),
    write: (at: number, gather: Gather, done: Completion) => zone.write(from + at, gather, done),
    flush: (done: Completion) => zone.flush(done),
  }
}

/** Looks at header and marks of both halves. `scratch` has room for what lies before the descriptors. */
export function* findHalves(
  zone: VaultZone,
  layout: LogLayout,
  scratch: Memory,
  aggregate: Uint8Array,
): Procedure<HalfFound[]> {
  const found: HalfFound[] = []
  for (let index = 0; index < VAULT_HALVES; index += 1) {
    yield* readInto(vaultHalf(zone, layout, index), scratch, 0, layout.descriptorsAt)
    found.push(isOf(scratch, aggregate) ? marksIn(scratch) : undefined)
  }
  return found
}

function marksIn(scratch: Memory): HalfFound {
  const marks = new Marks(scratch)
  const found = marks.load()
  return found && { ...found, isSuspended: marks.isSuspended }
}

function isOf({ bytes }: Memory, aggregate: Uint8Array): boolean {
  if (judgeSeal(bytes.subarray(0, LogRingHeader.byteLength), LOG_RING_MAGIC, LOG_RING_VERSION) !== 'good')
    return false
  return sameIdentity(LogRingHeader.decode(bytes).aggregate, aggregate)
}

/** The newest half that says what promises rest on: on itself, or on the memory of two nodes. */
function inForce(found: readonly HalfFound[]): number | undefined {
  const decided = [...found.keys()].filter((index) => found[index]?.complete || found[index]?.isSuspended)
  return decided.sort((a, b) => found[b]!.epoch - found[a]!.epoch)[0]
}

/** The half that recovery believes. One that is being filled has promised nothing: the other one counts. */
export function newestComplete(found: readonly HalfFound[]): number | undefined {
  const index = inForce(found)
  return index !== undefined && found[index]!.complete ? index : undefined
}

/** The half that has most, complete or not: for an operator who accepts a loss. */
export function newestOfAny(found: readonly HalfFound[]): number | undefined {
  const whole = [...found.keys()].filter((index) => found[index] !== undefined)
  const most = (a: HalfFound, b: HalfFound): number =>
    b!.acknowledged - a!.acknowledged || b!.epoch - a!.epoch
  return newestComplete(found) ?? whole.sort((a, b) => most(found[a], found[b]))[0]
}

/** The half that a new owner fills. The one in force stays what it is until this one is complete. */
export function halfToFill(found: readonly HalfFound[]): number {
  return 1 - (inForce(found) ?? newestOfAny(found) ?? 1)
}

/**
 * Brings the bytes of a half back into a ring that lost its memory, all but its header: that of the ring
 * names the node and the incarnation that it is now. The marks come last.
 */
export function* loadVault(half: VaultZone, into: Memory, layout: LogLayout): Procedure {
  yield* readInto(half, into, layout.descriptorsAt, layout.byteLength)
  yield* readInto(half, into, BLOCK_SIZE, layout.descriptorsAt)
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
