import { isStoreError, StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import type { Engine } from '../engine.ts'
import { newestBranch } from '../format/owner-record.ts'
import type { BranchPoint, LogSource } from '../ha/facts.ts'
import { findEntries } from '../log/replay.ts'
import type { Image } from '../volume/image.ts'
import { wholeOf } from '../volume/whole-image.ts'
import type { OwnerParts } from './owner.ts'
import { mustOwn, whileOwning } from './owning.ts'

/**
 * An image that lacks what was acknowledged is open, by the operator's word. Finds what its log is, and has
 * the record name the branch, before anything is changed: until then the other plex and its log are what
 * counts.
 */
export function* beginBranch(
  parts: OwnerParts,
  image: Image,
  { plex, generation }: BranchPoint,
  source: LogSource,
): Procedure<LogSource> {
  if (image.generation !== generation) {
    const text = `plex ${plex} has generation ${image.generation} now, and had ${generation} a moment ago`
    throw new StoreError('IMAGE_UNREADABLE', `${text}; look again, and repeat the takeover`)
  }
  yield* otherMustBeLost(parts, image, 1 - plex)
  const log = source === 'ring' && (yield* isRightBehind(parts, image)) ? 'ring' : 'none'
  mustOwn(parts)
  parts.plexes.branches(log)
  yield* image.settlePlexes()
  const from = `plex ${plex} goes on from generation ${generation}, which has the log through ${image.lastSequence}`
  const rest = log === 'ring' ? 'and from its copy of the log' : 'and from no log'
  const text = `${from}, ${rest}; what plex ${1 - plex} and its log have beyond it is given up`
  parts.world.host.event('warn', 'branch', text, { plex, generation, log })
  return log
}

/** A plex that could not be read a moment ago, and can be now, is no reason to give up what it has. */
function* otherMustBeLost({ world }: OwnerParts, image: Image, plex: number): Procedure {
  const { disks } = image.copies.all[plex]!
  if (disks.length === 0) return
  try {
    yield* wholeOf(disks, plex, world.memory)
  } catch (error) {
    if (error instanceof StoreError) return
    throw error
  }
  const text = `plex ${plex} has everything and can be read again; it is opened by a takeover without --force`
  throw new StoreError('IMAGE_UNREADABLE', text)
}

/**
 * Whether this copy of the log has each entry from the end of the image on: it was begun no later, and
 * nothing of it has been overwritten since.
 */
function* isRightBehind(parts: OwnerParts, image: Image): Procedure<boolean> {
  const { log, world, epoch } = parts
  const marks = log.marks.load()
  if (marks === undefined || marks.base > image.lastSequence + 1) return false
  const limits = { contained: image.lastSequence, imageEpoch: image.epoch, allowedEpoch: epoch, marks }
  try {
    yield* whileOwning(parts, findEntries(log.ring, world.memory, limits))
    return true
  } catch (error) {
    if (!isStoreError(error, 'LOG_DAMAGED')) throw error
    parts.world.host.event('warn', 'log left out', error.message)
    return false
  }
}

/**
 * An owner begins a copy of its log here. What this ring has of a branch that was given up goes with that.
 */
export function tellGivenUp({ log, ownership, world }: Engine): void {
  const { epoch, base, acknowledged } = log.marks
  const branch = newestBranch(ownership.record)
  if (branch === undefined || epoch >= branch.epoch || acknowledged < base) return
  const text = `log entries through ${acknowledged} of epoch ${epoch} are given up`
  const why = `the takeover of epoch ${branch.epoch} went on without them, from generation ${branch.generation}`
  world.host.event('warn', 'log given up', `${text}: ${why}`, { epoch, base, acknowledged })
}
