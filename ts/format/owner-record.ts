/**
 * The arbiter's record of one aggregate. Changed only by compare-and-swap on `version`.
 * JSON in every arbiter, so that people can read it.
 */
export interface OwnerRecord {
  /** rises with every swap; lease renewals swap, too */
  version: number
  aggregate: string
  owner: string
  /** rises by one whenever an owner begins to serve */
  epoch: number
  log: 'in-sync' | 'stale'
  /** incarnations of the rings that the word in-sync is about, by node name */
  incarnations: Record<string, string>
  plex0: 'in-sync' | 'stale'
  plex1: 'in-sync' | 'stale' | 'absent'
  /** null: given up. `counter` rises with each renewal */
  lease: { holder: string; boot: string; durationMs: number; counter: number } | null
  /** whether the owner ended cleanly: all is on the disks, the log is empty */
  clean: boolean
  /** the operator's words, newest last: forced takeovers and what was accepted to be lost */
  forced: ForcedTakeover[]
}

export interface ForcedTakeover {
  at: string
  node: string
  reason: string
  /** it went on from a plex that was stale */
  branch?: Branch
}

/**
 * Where the image that counts has left what was acknowledged: it went on from `generation` in `epoch`. A
 * plex whose newest superblock is of an epoch before that holds the branch that was given up.
 */
export interface Branch {
  epoch: number
  generation: number
  /** the plex that was given up; gone as soon as it is in sync again */
  lost?: 0 | 1
}

/** Records of earlier versions have none. */
export const newestBranch = (record: OwnerRecord | undefined): Branch | undefined =>
  record?.forced.findLast(({ branch }) => branch !== undefined)?.branch

/** A record with a mistake is the arbiter's fault, named; never guessed around. */
export function ownerRecordMistake(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'it is not an object'
  const record = value as Partial<OwnerRecord>
  if (!isCount(record.version)) return 'version is not a whole number'
  if (typeof record.aggregate !== 'string') return 'aggregate is not a text'
  if (typeof record.owner !== 'string') return 'owner is not a text'
  if (!isCount(record.epoch)) return 'epoch is not a whole number'
  if (record.log !== 'in-sync' && record.log !== 'stale') return 'log is neither in-sync nor stale'
  if (typeof record.incarnations !== 'object' || record.incarnations === null)
    return 'incarnations are missing'
  if (record.plex0 !== 'in-sync' && record.plex0 !== 'stale') return 'plex0 is neither in-sync nor stale'
  if (!['in-sync', 'stale', 'absent'].includes(record.plex1 ?? '')) return 'plex1 is unknown'
  if (typeof record.clean !== 'boolean') return 'clean is neither true nor false'
  if (!Array.isArray(record.forced)) return 'forced is not a list'
  return record.forced.map(forcedMistake).find(Boolean) ?? leaseMistake(record.lease)
}

function forcedMistake(forced: Partial<ForcedTakeover> | null): string | undefined {
  if (typeof forced !== 'object' || forced === null) return 'forced has something that is not an object'
  const { branch } = forced
  if (branch === undefined) return undefined
  if (typeof branch !== 'object' || branch === null) return 'forced.branch is not an object'
  if (!isCount(branch.epoch)) return 'forced.branch.epoch is not a whole number'
  if (!isCount(branch.generation)) return 'forced.branch.generation is not a whole number'
  return [undefined, 0, 1].includes(branch.lost) ? undefined : 'forced.branch.lost is not a plex'
}

function leaseMistake(lease: OwnerRecord['lease'] | undefined): string | undefined {
  if (lease === null) return undefined
  if (typeof lease !== 'object') return 'lease is missing'
  if (typeof lease.holder !== 'string' || typeof lease.boot !== 'string') return 'lease has no holder'
  if (!isCount(lease.counter)) return 'lease.counter is not a whole number'
  return isCount(lease.durationMs) ? undefined : 'lease.durationMs is not a whole number'
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
