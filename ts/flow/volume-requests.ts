import { StoreError } from '../base/errors.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { EntryKind, VolumeRequest } from '../format/log-ring.ts'
import { NO_ROOM } from '../log/ring.ts'
import type { Entropy } from '../ports/entropy.ts'
import type { Volume } from '../volume/directory.ts'
import type { Aggregate } from './aggregate.ts'
import { DIRECTORY_BLOCKS } from './space-promises.ts'

export type VolumeChange =
  | { kind: 'create'; name: string; size: number }
  | { kind: 'delete'; name: string }
  | { kind: 'resize'; name: string; size: number }
  | { kind: 'rename'; name: string; newName: string }

/**
 * Requests to the server are log entries, too: ordered with the data, mirrored, replayed by the same
 * code. Returns the sequence to wait for, or undefined when the ring has no room now.
 */
export function changeVolume(
  aggregate: Aggregate,
  change: VolumeChange,
  entropy: Entropy,
): number | undefined {
  const { directory } = aggregate.image
  const mistake = mistakeIn(aggregate, change)
  if (mistake !== undefined) throw mistake
  const firstPage = aggregate.ring.place(1)
  if (firstPage === NO_ROOM) {
    aggregate.requestConsistencyPoint('the log is full')
    return undefined
  }
  const frees = change.kind !== 'create'
  if (!aggregate.promises.blocks(DIRECTORY_BLOCKS, frees))
    throw new StoreError('SPACE_EXHAUSTED', 'the aggregate is full; delete a volume or trim one first')
  const volume = change.kind === 'create' ? directory.nextVolume : find(aggregate, change.name).volume
  const sequence = aggregate.appendRequest(kindOf(change), volume, encode(change, entropy), firstPage)
  afterwards(aggregate, change, volume)
  return sequence
}

function mistakeIn(aggregate: Aggregate, change: VolumeChange): StoreError | undefined {
  const { directory } = aggregate.image
  switch (change.kind) {
    case 'create':
      return directory.mistakeInCreate(change.name, change.size)
    case 'rename':
      find(aggregate, change.name)
      return directory.mistakeInRename(change.name, change.newName)
    case 'resize':
      find(aggregate, change.name)
      return directory.mistakeInResize(change.name, change.size)
    default:
      find(aggregate, change.name)
      return undefined
  }
}

function find(aggregate: Aggregate, name: string): Volume {
  const volume = aggregate.image.directory.find(name)
  if (volume !== undefined) return volume
  throw new StoreError(
    'VOLUME_UNKNOWN',
    `volume '${name}': no such volume; \`pollux volume list\` shows them`,
  )
}

function kindOf(change: VolumeChange): number {
  const kinds = {
    create: EntryKind.CREATE,
    delete: EntryKind.DELETE,
    resize: EntryKind.RESIZE,
    rename: EntryKind.RENAME,
  }
  return kinds[change.kind]
}

function encode(change: VolumeChange, entropy: Entropy): Uint8Array {
  const page = new Uint8Array(BLOCK_SIZE)
  const name = new TextEncoder().encode(change.kind === 'rename' ? change.newName : change.name)
  const identity = new Uint8Array(16)
  if (change.kind === 'create') entropy.fill(identity)
  const size = change.kind === 'create' || change.kind === 'resize' ? change.size : 0
  VolumeRequest.encode({ size, nameByteLength: name.length, reserved: 0, name, identity }, page)
  return page
}

/** Sessions keep what they were promised, but never reach beyond what the volume is now. */
function afterwards(aggregate: Aggregate, change: VolumeChange, volume: number): void {
  if (change.kind === 'delete') aggregate.sessions.drop('the volume was deleted', volume)
  if (change.kind !== 'resize') return
  for (const client of aggregate.sessions.clients) {
    if (client.isOpen && client.volume === volume) {
      client.limits.byteLength = Math.min(client.limits.byteLength, change.size)
    }
  }
}
