import { assert } from '../base/assert.ts'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { OwnershipSettings } from './facts.ts'
import type { State } from './transitions.ts'

/** What decides which record an owner wants next. */
export interface Wishes {
  readonly node: string
  readonly partner: string
  /** who is to own after a handover */
  readonly heir: string
  readonly incarnation: string
  readonly partnerIncarnation: string
  readonly isLinked: boolean
  /** the record says in-sync, or a swap to it is in doubt */
  readonly mayBeInSync: boolean
  /** quiesced, and all is on the disks */
  readonly isClean: boolean
  /** nothing is announced yet: the partner's copy may come in time */
  readonly isMeeting: boolean
  /** a link that comes and goes does not wear out the arbiter */
  readonly mayJoin: boolean
}

/** The record that the state calls for, but for its lease; undefined: as it is, only renewed in time. */
export function wishedRecord(state: State, record: OwnerRecord, wishes: Wishes): OwnerRecord | undefined {
  const { partner } = wishes
  switch (state) {
    case 'announcing':
      return wishes.isMeeting ? undefined : alone(record, wishes)
    case 'parting':
      return alone(record, wishes)
    case 'stopping':
      return !wishes.isLinked && wishes.mayBeInSync ? alone(record, wishes) : undefined
    case 'joining':
      return wishes.mayJoin ? together(record, wishes) : undefined
    case 'pairing':
      return together(record, wishes)
    case 'handing':
      assert(record.log === 'in-sync' && partner in record.incarnations, 'only a mirrored log is handed over')
      return { ...record, owner: wishes.heir, lease: null, clean: true }
    case 'releasing':
      return { ...record, lease: null, clean: record.clean || wishes.isClean }
    case 'withdrawing':
      return { ...record, lease: null }
    default:
      return undefined
  }
}

export const alone = (record: OwnerRecord, { node, incarnation }: Wishes): OwnerRecord => ({
  ...record,
  log: 'stale',
  incarnations: { [node]: incarnation },
  clean: false,
})

const together = (record: OwnerRecord, wishes: Wishes): OwnerRecord => ({
  ...record,
  log: 'in-sync',
  incarnations: { [wishes.node]: wishes.incarnation, [wishes.partner]: wishes.partnerIncarnation },
  clean: false,
})

/** Whether the record says, for sure, that both rings are the log, and that a log is needed. */
export function isTogether(record: OwnerRecord, wishes: Wishes): boolean {
  const { node, partner, incarnation, partnerIncarnation } = wishes
  const { log, clean, incarnations } = record
  const isListed = incarnations[node] === incarnation && incarnations[partner] === partnerIncarnation
  return log === 'in-sync' && isListed && !clean
}

/** Whether the record says, for sure, that only this node's ring is the log. */
export function isAlone(record: OwnerRecord, { node, incarnation, mayBeInSync }: Wishes): boolean {
  const listed = Object.keys(record.incarnations)
  const onlyOwn = listed.length === 1 && record.incarnations[node] === incarnation
  return !mayBeInSync && onlyOwn && !record.clean
}

/** A claim changes owner, epoch and lease. What the record says of the data remains true. */
export function claimOf(
  record: OwnerRecord,
  node: string,
  epoch: number,
  lease: NonNullable<OwnerRecord['lease']>,
): OwnerRecord {
  assert(epoch > record.epoch, 'every claim raises the epoch')
  return { ...record, owner: node, epoch, lease }
}

/**
 * The record of an aggregate that has none. Without an incarnation nothing was ever acknowledged: clean. Two
 * plexes were formatted together.
 */
export function firstRecord(
  { aggregate, node, plexCount }: OwnershipSettings,
  epoch: number,
  lease: NonNullable<OwnerRecord['lease']>,
  incarnations: Record<string, string>,
  clean: boolean,
): OwnerRecord {
  return {
    version: 0,
    aggregate,
    owner: node,
    epoch,
    log: 'stale',
    incarnations,
    plex0: 'in-sync',
    plex1: plexCount === 2 ? 'in-sync' : 'absent',
    lease,
    clean,
    forced: [],
  }
}
