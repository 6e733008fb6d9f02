import { type Action, actionsIn, Broken } from './actions.ts'
import { textOf } from './digest.ts'
import { recoveryFrom } from './recovery.ts'
import type { Budget, PairState } from './state.ts'
import { StateSet } from './state-set.ts'

export interface Exploration {
  states: number
  transitions: number
  /** how far apart the beginning and the last of them lie */
  depth: number
  isComplete: boolean
  /** how often ownership was in each of its states */
  readonly seen: Map<string, number>
  readonly failure: string | undefined
  readonly trail: readonly string[]
}

interface Frame {
  readonly state: PairState
  readonly actions: Action[]
  readonly name: string
  next: number
}

/** Depth first through everything that may happen, each state once. Stops at the first property broken. */
export function explore(start: PairState, budget: Budget, statesMax: number): Exploration {
  const seen = new Map<string, number>()
  const states = new StateSet()
  const recovered = new StateSet()
  const stack: Frame[] = []
  const found = { states: 0, transitions: 0, depth: 0, isComplete: false, seen }
  const trail = (): string[] => stack.map(({ name }) => name)
  const visit = (state: PairState, name: string): void => {
    if (!states.add(textOf(state))) return
    found.states += 1
    for (const node of state.nodes) count(seen, node.ownership?.state ?? 'dead')
    stack.push({ state, actions: actionsIn(state), name, next: 0 })
    found.depth = Math.max(found.depth, stack.length)
    recoveryFrom(state, recovered)
  }
  try {
    visit({ ...start, budget: { ...budget } }, 'in the beginning')
    while (stack.length > 0 && found.states < statesMax) {
      const frame = stack.at(-1)!
      const action = frame.actions[frame.next]
      frame.next += 1
      if (action === undefined) {
        stack.pop()
        continue
      }
      found.transitions += 1
      try {
        visit(action.apply(), action.name)
      } catch (error) {
        if (error instanceof Broken) throw new Broken(`${error.message}, after "${action.name}"`)
        throw new Error(`${error instanceof Error ? error.stack : error}, after "${action.name}"`)
      }
    }
  } catch (error) {
    return { ...found, failure: (error as Error).message, trail: trail() }
  }
  found.isComplete = stack.length === 0
  return { ...found, failure: undefined, trail: [] }
}

function count(seen: Map<string, number>, what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1)
}
