import { newestBranch, type OwnerRecord } from '../../ts/format/owner-record.ts'
import type { PlexWord } from '../../ts/ha/plex-words.ts'
import type { Turn } from './actions.ts'
import { localMs, type NodeState, names, type PairState } from './state.ts'

const plexes = [0, 1] as const

/**
 * What a node that opens or owns the image has to say of the plexes; plex 0 is there unless it was given
 * up.
 */
export function addPlex(state: PairState, index: number, turn: Turn): void {
  const { owner, plexWords, opening } = state.nodes[index]!
  if (opening !== undefined && opening.branch !== 'none') return addBranch(state, index, turn)
  if (state.isPlexMissing && plexWords[1] === 'in-sync')
    turn('misses plex 1', true, (own, next) => {
      if (own.owner || own.opening !== undefined) say(own, next, [own.plexWords[0], 'stale'])
    })
  if (owner && !state.isPlexMissing && plexWords[1] === 'stale')
    turn('has brought plex 1 up to date', false, (own, next) => {
      if (own.owner) bringBack(own, next, 1)
    })
  if (owner && !state.isKept && plexWords[0] === 'stale')
    turn('has brought plex 0 up to date', false, (own, next) => {
      if (own.owner) bringBack(own, next, 0)
    })
}

function bringBack(own: NodeState, next: PairState, plex: 0 | 1): void {
  next.isBehind = plex === 0 ? [false, next.isBehind[1]] : [next.isBehind[0], false]
  if (plex === 1) next.older = next.image
  say(own, next, plex === 0 ? ['in-sync', own.plexWords[1]] : [own.plexWords[0], 'in-sync'])
}

function say(own: NodeState, next: PairState, words: readonly [PlexWord, PlexWord]): void {
  own.plexWords = words
  own.ownership!.plexesAre(localMs(next, own), words)
  own.ownership!.tick(localMs(next, own))
}

/** A point that a plex has no part in counts only if the record says for sure that it is stale. */
export const mayPublish = (state: PairState, own: NodeState): boolean =>
  plexes.every((plex) => reaches(state, own, plex) || own.ownership!.isPlexStale(plex))

const reaches = ({ isPlexMissing }: PairState, { plexWords }: NodeState, plex: 0 | 1): boolean =>
  !(plex === 1 && isPlexMissing) && plexWords[plex] === 'in-sync'

export function publish(own: NodeState, next: PairState): void {
  next.image |= own.ring.entries
  next.imageEpoch = own.ownership!.epoch
  const [first, second] = plexes.map((plex) => reaches(next, own, plex))
  next.isBehind = [next.isBehind[0] || !first, next.isBehind[1] || !second]
  if (second) next.older = next.image
}

/** The operator says that plex 0 is lost, and that what plex 1 lacks is given up. */
export function addWord({ imageEpoch }: PairState, turn: Turn): void {
  turn('is told to go on from plex 1', false, (own, next) => {
    next.budget.branches -= 1
    const image = { plex: 1, epoch: imageEpoch, generation: 1, writtenAtMs: 0 }
    const words = { force: true, acceptDataLoss: true, dryRun: false, reason: 'a test', at: 'now' }
    own.ownership!.takeover(localMs(next, own), 1, { ...words, plexes: [{ plex: 0, lack: 'gone' }, image] })
  })
}

/**
 * The operator has plex 1 opened as it is: the record is to name the branch, whatever its log turns out to
 * be.
 */
function addBranch(state: PairState, index: number, turn: Turn): void {
  const { opening, ring } = state.nodes[index]!
  if (opening?.branch !== 'wanted') return
  for (const log of opening.log === 'ring' && !ring.lost ? (['ring', 'none'] as const) : (['none'] as const))
    turn(`goes on from plex 1, and its log is ${log}`, true, (own, next) => {
      if (own.opening?.branch !== 'wanted') return
      own.opening = { ...own.opening, log, branch: 'named' }
      own.ownership!.branches(localMs(next, own), log)
      say(own, next, ['stale', 'in-sync'])
    })
}

/** In this moment the operator's word counts: what plex 1 and its log have not is not promised any more. */
export function branched(next: PairState, before: OwnerRecord | undefined): void {
  const branch = newestBranch(next.record)
  if (branch === undefined || branch.epoch === newestBranch(before)?.epoch) return
  const listed = next.nodes.filter(
    ({ ring }, index) => next.record?.incarnations[names[index]!] === ring.incarnation,
  )
  next.image = next.older
  next.acknowledged &= listed.reduce((has, { ring }) => has | ring.entries, next.image)
  next.isBehind = [true, false]
  next.isKept = true
}

/** As ts/engine/returning.ts: the log of the partner is left as it is. */
export const keepsLostLog = ({ isKept, record }: PairState): boolean =>
  isKept && newestBranch(record)?.lost !== undefined

/** What must hold in every state: what is called in sync has every point that counts, or ever will. */
export function plexMistake(state: PairState): string {
  for (const plex of plexes) {
    if (!mayBeCalledInSync(state, plex)) continue
    if (state.isBehind[plex])
      return `the record calls plex ${plex} in sync, or may do so, and it lacks a consistency point`
    const careless = state.nodes.find(
      (node) => node.ownership?.isPlexStale(plex) && node.ownership.fenceAtMs > localMs(state, node),
    )
    if (careless) return `a consistency point may count without plex ${plex}, which may be called in sync`
  }
  return ''
}

/** Whether the record calls it in sync, or a swap that is still on its way may make it do so. */
function mayBeCalledInSync({ record, asked }: PairState, plex: 0 | 1): boolean {
  const isInSync = (one: OwnerRecord | undefined): boolean =>
    (plex === 0 ? one?.plex0 : one?.plex1) === 'in-sync'
  if (isInSync(record)) return true
  return asked.some(
    ({ next, outcome, expected }) =>
      // one that names a branch says what counts from then on
      isInSync(next) &&
      newestBranch(next)?.epoch === newestBranch(record)?.epoch &&
      outcome === undefined &&
      expected === record?.version,
  )
}
