import { assert } from '../base/assert.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { EntryKind, VolumeRequest } from '../format/log-ring.ts'
import type { DirtyIndex } from '../log/dirty-index.ts'
import type { LogRing } from '../log/ring.ts'
import type { VolumeDirectory } from '../volume/directory.ts'
import type { SpacePromises } from './space-promises.ts'

/** Entries and blocks applied before others get a turn: about a millisecond. */
const WORK_PER_STEP = 4096

/** What log entries change: the index of the next consistency point, and the volumes. */
export interface Changeable {
  readonly ring: LogRing
  readonly active: DirtyIndex
  readonly directory: VolumeDirectory
}

/**
 * The effect of one log entry. It runs right after the entry was appended, and again, unchanged, when
 * the log is replayed after a restart or a takeover: there is no second way to apply a change.
 */
export function apply(to: Changeable, sequence: number): void {
  const { ring, active } = to
  const kind = ring.kind(sequence)
  switch (kind) {
    case EntryKind.WRITE:
      return applyWrite(ring, active, sequence)
    case EntryKind.TRIM:
    case EntryKind.WRITE_ZEROES: {
      const first = Math.ceil(ring.offset(sequence) / BLOCK_SIZE)
      const end = Math.floor((ring.offset(sequence) + ring.length(sequence)) / BLOCK_SIZE)
      if (first < end) active.zero(ring.volume(sequence), first, end, sequence)
      return
    }
    case EntryKind.NOTHING:
      return
    default:
      return applyRequest(to, kind, sequence)
  }
}

/** Applies everything that the ring retains, in the order of the log, and promises it space again. */
export function* replay(to: Changeable & { readonly promises: SpacePromises }): Procedure {
  const { ring, promises } = to
  let work = 0
  for (let sequence = ring.tail; sequence < ring.head; sequence += 1) {
    promises.forReplay(ring, sequence)
    apply(to, sequence)
    work += 1 + ring.pageCount(sequence)
    if (work < WORK_PER_STEP) continue
    work = 0
    yield 'again'
  }
}

function applyWrite(ring: LogRing, active: DirtyIndex, sequence: number): void {
  const volume = ring.volume(sequence)
  const block = Math.floor(ring.offset(sequence) / BLOCK_SIZE)
  const page = ring.firstPage(sequence)
  const count = ring.pageCount(sequence)
  for (let i = 0; i < count; i += 1) active.set(volume, block + i, page + i, sequence)
}

function applyRequest(to: Changeable, kind: number, sequence: number): void {
  const { ring, active, directory } = to
  const volume = ring.volume(sequence)
  const page =
    ring.pageCount(sequence) === 0 ? new Uint8Array(BLOCK_SIZE) : ring.pageBytes(ring.firstPage(sequence))
  const request = VolumeRequest.decode(page)
  const name = new TextDecoder().decode(request.name.subarray(0, request.nameByteLength))
  switch (kind) {
    case EntryKind.CREATE:
      directory.create(volume, name, request.size, request.identity)
      return
    case EntryKind.DELETE:
      directory.remove(volume)
      active.dropVolume(volume, sequence)
      return
    case EntryKind.RENAME:
      directory.rename(volume, name)
      return
    case EntryKind.RESIZE: {
      const before = directory.get(volume)
      assert(before !== undefined, 'only a volume that exists is resized')
      const oldEnd = before.size / BLOCK_SIZE
      const newEnd = request.size / BLOCK_SIZE
      directory.resize(volume, request.size)
      // what is cut off must read as zero if the volume grows again
      if (newEnd < oldEnd) active.zero(volume, newEnd, oldEnd, sequence)
      return
    }
    default:
      assert(false, `entry ${sequence} is of a kind that this version replays`)
  }
}
