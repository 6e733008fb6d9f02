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
  budget: noFaults,
  counter: 0,
  writes: 0,
})

/** Castor serves, everything mirrored to pollux. */
export function mirroredPair(): PairState {
  let pair = coldPair()
  for (let turn = 0; !isWell(pair); turn += 1) pair = nextInPeace(pair, turn)
  return pair
}
