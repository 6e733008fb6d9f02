import { assert } from '../../ts/base/assert.ts'
import { actionsIn } from './actions.ts'
import { isWell, nextInPeace } from './recovery.ts'
import { type NodeState, noFaults, type PairState } from './state.ts'

const deadNode = (incarnation: string): NodeState => ({
  ownership: undefined,
  boot: '',
  lagMs: 0,
  paused: false,
  ring: { incarnation, epoch: 0, complete: false, lost: true, entries: 0 },
  opening: undefined,
  owner: false,
  quiescing: false,
  plexWords: ['in-sync', 'stale'],
  session: false,
  wentDown: false,
  partner: undefined,
  mirroring: false,
  joining: false,
  mirrored: 0,
  answered: false,
})

/** Two nodes that have never run, and a disk that was formatted. */
export const coldPair = (): PairState => ({
  nowMs: 1e7,
  record: undefined,
  nodes: [deadNode('ring-c'), deadNode('ring-p')],
  inbox: [[], []],
  isCableUp: true,
  asked: [],
  image: 0,
  acknowledged: 0,
  imageEpoch: 0,
  isPlexMissing: false,
  isBehind: [false, false],
  older: 0,
  isKept: false,
  budget: noFaults,
  counter: 0,
  writes: 0,
})

/** Castor serves, and has acknowledged a write that is mirrored to pollux, and not on the disks. */
export function mirroredPair(): PairState {
  const pair = inPeace(coldPair())
  return inPeace(happen({ ...pair, budget: { ...noFaults, writes: 1 } }, 'castor: logs a write'))
}

function inPeace(start: PairState): PairState {
  let pair = start
  for (let turn = 0; !isWell(pair); turn += 1) pair = nextInPeace(pair, turn)
  return pair
}

/** The link was cut: castor serves alone, and has acknowledged a write that pollux lacks. */
export function lonelyPair(): PairState {
  return happen(pairWithNewWrite(), 'castor: acknowledges 2')
}

/** The link came back: castor has logged a write that nobody was told of, and brings pollux up to date. */
export function syncingPair(): PairState {
  return promptlyUntil(happen(pairWithNewWrite(), 'the link is mended'), 'syncing')
}

/**
 * A consistency point counted without plex 1; it came back and was brought up to date. Now it is missing
 * again, while the swap that calls it in sync is on its way.
 */
export function doubtfulPair(): PairState {
  const budget = { ...noFaults, lostPlexes: 2, foundPlexes: 1, points: 1 }
  const pair: PairState = { ...mirroredPair(), budget }
  let without = happen(pair, 'plex 1 goes missing')
  while (!without.nodes[0].ownership?.isPlexStale(1)) without = nextPrompt(without)
  const courses = ['castor: takes a consistency point', 'plex 1 comes back']
  courses.push('castor: has brought plex 1 up to date', 'plex 1 goes missing')
  return courses.reduce(happen, without)
}

/**
 * A consistency point counted without plex 1, which has come back and is still as it was; castor has died.
 */
export function behindPair(): PairState {
  const budget = { ...noFaults, lostPlexes: 1, foundPlexes: 1, points: 1, crashes: 1 }
  let without = happen({ ...mirroredPair(), budget }, 'plex 1 goes missing')
  while (!without.nodes[0].ownership?.isPlexStale(1)) without = nextPrompt(without)
  const courses = ['castor: takes a consistency point', 'plex 1 comes back', 'castor: is killed']
  return courses.reduce(happen, without)
}

function pairWithNewWrite(): PairState {
  const pair: PairState = { ...mirroredPair(), budget: { ...noFaults, cuts: 1, writes: 1 } }
  const alone = promptlyUntil(happen(pair, 'the link is cut'), 'serving-solo')
  return happen(alone, 'castor: logs a write')
}

function promptlyUntil(start: PairState, state: string): PairState {
  let pair = start
  while (pair.nodes[0].ownership?.state !== state) pair = nextPrompt(pair)
  return pair
}

function nextPrompt(pair: PairState): PairState {
  const prompt = actionsIn(pair).find(({ isPrompt }) => isPrompt)
  assert(prompt !== undefined, 'what is waited for happens by itself')
  return prompt.apply()
}

function happen(pair: PairState, name: string): PairState {
  const action = actionsIn(pair).find((each) => each.name === name)
  assert(action !== undefined, `it may happen that ${name}`)
  return action.apply()
}

export const beginnings = {
  cold: coldPair,
  mirrored: mirroredPair,
  alone: lonelyPair,
  syncing: syncingPair,
  doubtful: doubtfulPair,
  behind: behindPair,
} as const
