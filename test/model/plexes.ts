import type { Turn } from './actions.ts'
import { localMs, type NodeState, type PairState } from './state.ts'

/** What a node that opens or owns the image has to say of plex 1; plex 0 is always there. */
export function addPlex(state: PairState, index: number, turn: Turn): void {
  const { owner, plexWord } = state.nodes[index]!
  if (state.isPlexMissing && plexWord === 'in-sync')
    turn('misses plex 1', true, (own, next) => {
      if (own.owner || own.opening !== undefined) say(own, next, 'stale')
    })
  if (owner && !state.isPlexMissing && plexWord === 'stale')
    turn('has brought plex 1 up to date', false, (own, next) => {
      if (!own.owner) return
      next.isPlexBehind = false
      say(own, next, 'in-sync')
    })
}

function say(own: NodeState, next: PairState, plexWord: NodeState['plexWord']): void {
  own.plexWord = plexWord
  own.ownership!.plexesAre(localMs(next, own), ['in-sync', plexWord])
  own.ownership!.tick(localMs(next, own))
}

/** A point that plex 1 has no part in counts only if the record says for sure that it is stale. */
export const mayPublish = (state: PairState, own: NodeState): boolean =>
  reachesPlex(state, own) || own.ownership!.isPlexStale(1)

const reachesPlex = ({ isPlexMissing }: PairState, { plexWord }: NodeState): boolean =>
  !isPlexMissing && plexWord === 'in-sync'

export function publish(own: NodeState, next: PairState): void {
  next.image |= own.ring.entries
  next.imageEpoch = own.ownership!.epoch
  if (!reachesPlex(next, own)) next.isPlexBehind = true
}

/** What must hold in every state: what is called in sync has every point that counts, or ever will. */
export function plexMistake(state: PairState): string {
  if (!mayBeCalledInSync(state)) return ''
  if (state.isPlexBehind)
    return 'the record calls plex 1 in sync, or may do so, and it lacks a consistency point'
  const careless = state.nodes.find(
    (node) => node.ownership?.isPlexStale(1) && node.ownership.fenceAtMs > localMs(state, node),
  )
  return careless ? 'a consistency point may count without plex 1, which may be called in sync' : ''
}

/** Whether the record calls plex 1 in sync, or a swap that is still on its way may make it do so. */
function mayBeCalledInSync({ record, asked }: PairState): boolean {
  if (record?.plex1 === 'in-sync') return true
  return asked.some(
    ({ next, outcome, expected }) =>
      next?.plex1 === 'in-sync' && outcome === undefined && expected === record?.version,
  )
}
