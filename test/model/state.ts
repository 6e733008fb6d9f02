import type { OwnerRecord } from '../../ts/format/owner-record.ts'
import type { LogFacts, LogSource, OpenReason, PartnerFacts } from '../../ts/ha/facts.ts'
import type { Ownership } from '../../ts/ha/ownership.ts'
import type { PlexWord } from '../../ts/ha/plex-words.ts'
import { copyOwnership } from './opened.ts'

/**
 * Time moves in steps so long that every constant of ts/ha is at most two of them: a lease has four, its
 * margin one, and the arbiter is given up after two.
 */
export const STEP_MS = 60_000
export const LEASE_MS = 4 * STEP_MS
export const MARGIN_MS = STEP_MS
export const GRACE_MS = STEP_MS

export const names = ['castor', 'pollux'] as const

/** The log copy of a node. `entries` is a set of writes, as bits. */
export interface Ring {
  readonly incarnation: string
  readonly epoch: number
  readonly complete: boolean
  readonly lost: boolean
  readonly entries: number
}

export interface NodeState {
  /** undefined: no process */
  ownership: Ownership | undefined
  boot: string
  /** by how much its clock is behind */
  lagMs: number
  /** stopped for a while (SIGSTOP): it takes part in nothing */
  paused: boolean
  ring: Ring
  opening:
    | {
        readonly how: OpenReason
        readonly log: LogSource
        readonly epoch: number
        /** plex 1 is opened, although it is behind; named: the record was told, or is about to be */
        readonly branch: 'none' | 'wanted' | 'named'
      }
    | undefined
  /** the engine has the role of owner */
  owner: boolean
  quiescing: boolean
  /** what it says of each plex, as owner */
  plexWords: readonly [PlexWord, PlexWord]
  /** a connection is there, as far as this side knows */
  session: boolean
  /** it ended, and ownership was not told yet */
  wentDown: boolean
  /** the partner's hello has come, saying this */
  partner: PartnerFacts | undefined
  /** the partner's copy was begun in this session; from the moment it joins, acknowledgements wait for it */
  mirroring: boolean
  joining: boolean
  /** entries that the partner has acknowledged in this session, and whether it has acknowledged at all */
  mirrored: number
  answered: boolean
}

export type Message =
  | { readonly kind: 'hello'; readonly facts: PartnerFacts }
  | { readonly kind: 'base'; readonly epoch: number }
  | { readonly kind: 'entries'; readonly epoch: number; readonly entries: number }
  | {
      readonly kind: 'acknowledge'
      readonly epoch: number
      readonly incarnation: string
      readonly entries: number
    }
  | { readonly kind: 'handover'; readonly epoch: number; readonly stays: boolean }
  | { readonly kind: 'end' }

/** What a node has asked of the arbiter, and has no answer to. */
export interface Asked {
  readonly number: number
  readonly node: number
  readonly boot: string
  readonly expected: number | undefined
  /** undefined: a read */
  readonly next: OwnerRecord | undefined
  /** it has been carried out; undefined: it is on its way there */
  readonly outcome: { readonly record: OwnerRecord | undefined; readonly applied: boolean } | undefined
  /** nobody knows when it comes: time may pass meanwhile */
  readonly late: boolean
}

/** How many faults may still happen; each of these is spent once. */
export interface Budget {
  crashes: number
  lostRings: number
  cuts: number
  pauses: number
  lateAnswers: number
  writes: number
  handovers: number
  stops: number
  failedOpenings: number
  /** how often an owner opens the image once more by itself */
  reopenings: number
  /** steps of time that a node's clock misses */
  drifts: number
  /** consistency points */
  points: number
  /** how often plex 1 goes missing, and comes back */
  lostPlexes: number
  foundPlexes: number
  /** how often the operator has plex 1 opened as it is, and gives up what was given up for it */
  branches: number
  labels: number
}

export const noFaults: Budget = {
  crashes: 0,
  lostRings: 0,
  cuts: 0,
  pauses: 0,
  lateAnswers: 0,
  writes: 0,
  handovers: 0,
  stops: 0,
  failedOpenings: 0,
  reopenings: 0,
  drifts: 0,
  points: 0,
  lostPlexes: 0,
  foundPlexes: 0,
  branches: 0,
  labels: 0,
}

export interface PairState {
  nowMs: number
  record: OwnerRecord | undefined
  nodes: [NodeState, NodeState]
  /** messages on their way to node 0 and node 1 */
  inbox: [readonly Message[], readonly Message[]]
  isCableUp: boolean
  asked: readonly Asked[]
  /** writes that are on the disks, and writes that a client was told are safe */
  image: number
  acknowledged: number
  imageEpoch: number
  /** plex 1 is not there */
  isPlexMissing: boolean
  /** a consistency point has counted that the plex does not have */
  isBehind: readonly [boolean, boolean]
  /** writes that are on the disks of plex 1 */
  older: number
  /** plex 0 holds the branch that was given up: nobody may fill it */
  isKept: boolean
  budget: Budget
  /** for names and numbers that are never used again */
  counter: number
  writes: number
}

/** A copy of which one node (or none) may be changed. */
export function fork(state: PairState, node: number | undefined): PairState {
  const nodes: [NodeState, NodeState] = [state.nodes[0], state.nodes[1]]
  if (node !== undefined) nodes[node] = forkNode(state.nodes[node]!)
  return { ...state, nodes, inbox: [...state.inbox], budget: { ...state.budget } }
}

function forkNode(node: NodeState): NodeState {
  const { ownership } = node
  return { ...node, ownership: ownership === undefined ? undefined : copyOwnership(ownership) }
}

export const logFactsOf = ({ ring }: NodeState): LogFacts => ({
  incarnation: ring.incarnation,
  usable: !ring.lost,
  complete: ring.complete,
  epoch: ring.epoch,
  lost: ring.lost,
  damage: '',
  vaultPossible: false,
  vaultCovers: 'never',
  hasDamagedEntry: false,
})

/** What the node's own clock says. */
export const localMs = (state: PairState, node: NodeState): number => state.nowMs - node.lagMs

export const isServing = (state: PairState, node: NodeState): boolean =>
  node.ownership?.serves === true && node.ownership.fenceAtMs > localMs(state, node)

/** Whether the node runs and takes part. */
export const isAwake = (node: NodeState): boolean => node.ownership !== undefined && !node.paused
