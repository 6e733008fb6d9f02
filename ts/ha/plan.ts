import type { OwnerRecord } from '../format/owner-record.ts'
import type { LogFacts, LogSource, PartnerFacts } from './facts.ts'
import { plexObstacle, reachObstacle } from './plex-words.ts'

/** What an image would be opened with, or what is missing, in words. */
export type Plan = { readonly log: LogSource } | { readonly obstacle: string }

export interface View {
  readonly node: string
  readonly partner: string
  readonly record: OwnerRecord
  readonly log: LogFacts
  /** the epoch on the disks, or why it is not known */
  readonly diskEpoch: number | string
  /** as configured on this node */
  readonly plexCount: number
  /** those whose disks this node reaches */
  readonly plexes: readonly number[]
  /** undefined while the link is down */
  readonly partnerFacts: PartnerFacts | undefined
}

/**
 * A ring that the record lists has all that was acknowledged, unless it says clean: none is needed then.
 * The record is swapped before an owner acknowledges anything without it, and a claim leaves the list alone.
 */
const isListed = (record: OwnerRecord, node: string, incarnation: string): boolean =>
  record.incarnations[node] === incarnation

/** Why this node's ring cannot be the log; empty if it can. */
function ringObstacle(view: View): string {
  const { node, record, log } = view
  if (log.lost) return `${node} has lost its log: its NVRAM was empty or of another size at the start`
  if (!log.usable) return `the log copy of ${node} is damaged: ${log.damage}`
  if (isListed(record, node, log.incarnation)) return ''
  return `the log copy of ${node} does not have everything: the record does not list it as in sync`
}

/** A keeper lets whoever is owner use its disks. */
const reached = ({ plexes, partnerFacts }: View): readonly number[] =>
  partnerFacts?.state === 'keeper' ? [0, 1] : plexes

/** Why this node has no plex to open the image with; empty if it has one. */
export const noPlexObstacle = (view: View): string =>
  plexObstacle(view.record) || reachObstacle(view.record, view.node, reached(view))

/** Who does not know of a plex that counts would leave it behind, and nobody would hear of it. */
function mirrorObstacle({ node, record, plexCount }: View): string {
  if (plexCount === 2 || record.plex1 !== 'in-sync') return ''
  return `${record.aggregate} is mirrored, and the configuration of ${node} has no mirror for it: add it`
}

/** An arbiter that was set back would let old data win; one with a mistake in it, too. */
function recordObstacle(view: View): string {
  const { node, record, log, diskEpoch } = view
  const plexless = noPlexObstacle(view) || mirrorObstacle(view)
  if (plexless) return plexless
  const logEpoch = log.usable ? log.epoch : 0
  const onDisk = typeof diskEpoch === 'number' ? diskEpoch : 0
  if (Math.max(logEpoch, onDisk) <= record.epoch) return ''
  const what = logEpoch > record.epoch ? `the log of ${node} is` : 'the disks are'
  return (
    `${what} of epoch ${Math.max(logEpoch, onDisk)}, the arbiter's record only of ${record.epoch}: ` +
    "the record is from the past; restore the arbiter's data"
  )
}

/** A clean record needs no log. */
function withoutLog(view: View): Plan {
  const obstacle = keptLogObstacle(view)
  return obstacle === '' ? { log: 'none' } : { obstacle }
}

/**
 * An opening without the ring voids it. Not if that has what was given up, and nobody has given it up for
 * good: that takes the operator's word. The node that gave it up has no such ring.
 */
export function keptLogObstacle({ node, record, log }: View): string {
  const { branch, node: brancher } = record.forced.findLast((each) => each.branch) ?? {}
  const isKept = branch?.lost !== undefined && brancher !== node && log.usable && log.epoch < branch.epoch
  if (!isKept) return ''
  const text = `the log of ${node} has changes of the branch that was given up, as plex ${branch.lost} has`
  return `${text}: label the disks of that anew`
}

/** For the node that the record names: its own ring, or what makes it unnecessary. */
export function planAsOwner(view: View): Plan {
  const { node, partner, record } = view
  const mistake = recordObstacle(view)
  if (mistake) return { obstacle: mistake }
  const missing = ringObstacle(view)
  if (!missing) return { log: 'ring' }
  if (record.clean) return withoutLog(view)
  const partnerHas = partnerLog(view)
  if (partnerHas === 'lost') {
    if (isCoveredByVault(view)) return { log: 'vault' }
    return { obstacle: `${missing}; no other copy of the log is left. ${forcedRemedy(node)}` }
  }
  if (partnerHas === 'there') return { obstacle: `${missing}; ${partner} has it and takes over` }
  return { obstacle: `${missing}; ${partner} should have it: start ${partner}. ${forcedRemedy(node)}` }
}

/**
 * All memory is gone: the vault has what was flushed, if that was promised. An entry that rotted is another
 * matter: what was acknowledged, and is missing without any loss of power, is for the operator to judge.
 */
function isCoveredByVault({ record, log }: View): boolean {
  if (log.hasDamagedEntry) return false
  return log.vaultCovers === 'always' || (log.vaultCovers === 'alone' && record.log === 'stale')
}

/** Whether the partner has the log, going by what the record lists and the partner says. */
function partnerLog({ partner, record, partnerFacts }: View): 'there' | 'lost' | 'unknown' {
  if (record.incarnations[partner] === undefined) return 'lost'
  if (!partnerFacts) return 'unknown'
  if (partnerFacts.logState === 0) return 'lost'
  return isListed(record, partner, partnerFacts.incarnation) ? 'there' : 'lost'
}

/**
 * For the other node: only with a log in sync, or with none to miss. Says nothing about the lease.
 * Listed though stale: the ring of an owner taken over by force, if the other never announced itself.
 */
export function planAsKeeper(view: View): Plan {
  const { node, record, log } = view
  const mistake = recordObstacle(view)
  if (mistake) return { obstacle: mistake }
  if (!ringObstacle(view) && log.complete) return { log: 'ring' }
  if (record.clean) return withoutLog(view)
  if (record.log === 'stale' && record.incarnations[node] === undefined) {
    return {
      obstacle: `${record.owner} has acknowledged changes alone: the log of ${node} does not have them`,
    }
  }
  return { obstacle: ringObstacle(view) || `the log copy of ${node} is still being filled` }
}

/** By the operator's word: whatever has most. The vault has what an owner did alone, a stale ring has not. */
export function planForced(view: View): LogSource {
  const { record, log } = view
  if (!ringObstacle(view)) return 'ring'
  if (record.clean) return 'none'
  if (log.vaultPossible) return 'vault'
  return log.usable && log.epoch >= record.epoch ? 'ring' : 'none'
}

export const forcedRemedy = (node: string): string =>
  `Only if the log cannot be had any more: pollux takeover --force --accept-data-loss (${node} serves then)`
