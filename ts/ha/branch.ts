import { type Branch, newestBranch, type OwnerRecord } from '../format/owner-record.ts'
import type { BranchPoint, FoundPlex, LogFacts, LogSource } from './facts.ts'
import { noPlexObstacle, type View } from './plan.ts'
import { callsInSync } from './plex-words.ts'
import { alone, type Wishes } from './wish.ts'

type FoundImage = Extract<FoundPlex, { generation: number }>

/** What an older image would be opened with, or why there is none; undefined: a plex in sync is reached. */
export type BranchPlan =
  | { readonly image: FoundImage; readonly log: LogSource; readonly lacks: readonly string[] }
  | Obstacle
  | undefined

interface Obstacle {
  readonly obstacle: string
}

/**
 * By the operator's word, with no plex in sync left that this node could reach: whether a stale one is a
 * whole image. A partner that is there is asked first: it may reach what this node does not.
 */
export function planBranch(view: View, found: readonly FoundPlex[]): BranchPlan {
  const { node, partner, record, plexes, plexCount, partnerFacts } = view
  if (plexCount < 2) return undefined
  const isInSync = ({ plex }: { readonly plex: number }): boolean => callsInSync(record, plex)
  const whole = found.filter((each) => 'generation' in each)
  if (whole.some(isInSync)) return undefined
  const isHere = plexes.some((plex) => callsInSync(record, plex))
  const plexless = noPlexObstacle(view)
  if (!plexless && !isHere) return undefined
  const [image] = whole
  const lacks = found.flatMap((each) => ('lack' in each ? [`plex ${each.plex}: ${each.lack}`] : []))
  if (image === undefined) {
    return plexless ? { obstacle: [plexless, ...lacks].join('; ') } : undefined
  }
  if (partnerFacts) {
    const text = `plex ${image.plex} on ${node} is stale, and ${partner} is up and may reach the other one`
    return { obstacle: `${text}; if that is lost, stop ${partner}, and try again` }
  }
  return { image, log: isLogOf(image, record, view.log) ? 'ring' : 'none', lacks }
}

/**
 * Whether the ring may be the log of this image: a copy of the log of whoever wrote it, or of a later
 * owner. That it begins where the image ends is seen when both are open. An image of one branch and a log
 * of another do not belong together, whatever their numbers say; nor do they if a takeover was forced without
 * saying when.
 */
function isLogOf({ epoch }: FoundImage, { forced }: OwnerRecord, log: LogFacts): boolean {
  if (!log.usable || !log.complete || log.epoch < epoch) return false
  return forced.every(({ branch }) => branch && (branch.epoch <= epoch || branch.epoch > log.epoch))
}

/** What would be gone on from, and what is given up for it, in words. */
export function branchText(
  node: string,
  { image: { plex, generation, writtenAtMs }, log, lacks }: Exclude<BranchPlan, undefined | Obstacle>,
): string {
  const time = new Date(writtenAtMs).toISOString()
  const from = `generation ${generation} of plex ${plex}, which is stale and was written last at ${time}`
  const also = log === 'ring' ? ', and from its copy of the log if that begins where this ends' : ''
  const lost = `what plex ${1 - plex}, its log and the vaults have beyond it would be given up`
  return [`${node} would go on from ${from}${also}; ${lost}`, ...lacks].join('; ')
}

/**
 * The record in which the branch has come about, all at once: the plex that is gone on from is the one in
 * sync, and the log is this node's ring, or none is needed. So nobody takes the log of one branch for that
 * of another.
 */
export function branched(
  record: OwnerRecord,
  { plex, generation }: BranchPoint,
  log: LogSource,
  wishes: Wishes,
): OwnerRecord {
  const lost = plex === 0 ? 1 : 0
  const branch: Branch = { epoch: record.epoch, generation, lost }
  const [before, own] = [record.forced.slice(0, -1), record.forced.at(-1)!]
  const unlogged = { log: 'stale', incarnations: {}, clean: true } as const
  return {
    ...record,
    ...(log === 'none' ? unlogged : alone(record, wishes)),
    plex0: plex === 0 ? 'in-sync' : 'stale',
    plex1: plex === 1 ? 'in-sync' : 'stale',
    forced: [...before, { ...own, branch }],
  }
}

/** The record, in which a plex that is in sync again holds nothing any more that was given up. */
export function withoutLost(record: OwnerRecord): OwnerRecord {
  const lost = newestBranch(record)?.lost
  if (lost === undefined || !callsInSync(record, lost)) return record
  const forced = record.forced.map(({ branch, ...words }) =>
    branch ? { ...words, branch: { epoch: branch.epoch, generation: branch.generation } } : words,
  )
  return { ...record, forced }
}
