import { actionsIn, Broken } from './actions.ts'
import { textOf } from './digest.ts'
import { startProcess, within } from './engine.ts'
import { fork, names, noFaults, type PairState } from './state.ts'
import type { StateSet } from './state-set.ts'

/** More than any recovery takes: who needs more is caught in a circle. */
const STEPS_MAX = 600
/**
 * From this state on nothing fails any more, what was stopped or cut goes on, and everything happens in turn:
 * the pair has to come back. `known` has the states from which it does.
 */
export function recoveryFrom(state: PairState, known: StateSet): void {
  let now: PairState = { ...state, budget: noFaults }
  const path: string[] = []
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const text = textOf(now)
    if (known.has(text)) break
    path.push(text)
    if (isWell(now)) break
    if (isLost(now)) return
    now = nextInPeace(now, step)
    if (step === STEPS_MAX - 1)
      throw new Broken(`with all faults over it does not come back: ${describe(now)}`)
  }
  for (const text of path) known.add(text)
}

/** Prompt things first, each in its turn, then what mends, then time. */
export function nextInPeace(state: PairState, turn: number): PairState {
  const dead = state.nodes.findIndex((node) => node.ownership === undefined)
  if (dead >= 0) {
    const started = fork(state, dead)
    within(started, () => startProcess(started, dead))
    return started
  }
  if (state.isPlexMissing) return { ...fork(state, undefined), isPlexMissing: false }
  if (state.isKept) return { ...fork(state, undefined), isKept: false }
  const actions = actionsIn(state)
  const mends = (name: string): boolean =>
    /goes on$|mended$|up to date$|acknowledges|carries out|hears of/.test(name)
  const prompt = actions.filter(({ isPrompt }) => isPrompt)
  const action = prompt[turn % prompt.length] ?? actions.find(({ name }) => mends(name)) ?? actions.at(-1)!
  return action.apply()
}

export function isWell({ nodes, acknowledged, record }: PairState): boolean {
  const states = nodes.map((node) => node.ownership?.state)
  const owner = nodes.find((node) => node.ownership?.state === 'serving-mirrored')
  if (owner === undefined || !states.includes('keeper')) return false
  const isWhole = record?.plex0 === 'in-sync' && record.plex1 === 'in-sync'
  return (owner.ring.entries & ~acknowledged) === 0 && isWhole
}

/** Every ring that the record lists is gone: it takes the operator's word, and only then. */
function isLost({ record, nodes }: PairState): boolean {
  if (record === undefined || record.clean) return false
  return names.every((name, index) => {
    const ring = nodes[index]!.ring
    return record.incarnations[name] !== ring.incarnation || ring.lost
  })
}

export function describe({ nodes, record }: PairState): string {
  const words = nodes.map(
    (node, index) => `${names[index]} ${node.ownership?.state}: ${node.ownership?.reason}`,
  )
  return `${words.join('; ')}; ${JSON.stringify(record)}`
}
