import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import {
  answersRequests,
  type Event,
  events,
  holdsLease,
  looks,
  nextState,
  type State,
  serves,
  states,
  transitions,
} from '../../../ts/ha/transitions.ts'

/** The picture in docs/ha.md, drawn from the table. States without a lease are one box: the record picks. */
function diagram(): string {
  const lines = ['stateDiagram-v2', '  [*] --> looking']
  lines.push(`  looking: ${states.filter(looks).join(' / ')}`)
  for (const state of states.filter((state) => state === 'starting' || !looks(state))) {
    for (const [event, next] of Object.entries(transitions[state].moves)) {
      if (looks(state) && looks(next)) continue
      lines.push(`  ${box(state)} --> ${box(next)}: ${event}`)
    }
  }
  return lines.join('\n')
}

const box = (state: State): string => (looks(state) ? 'looking' : state.replaceAll('-', '_'))

function docs(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    try {
      return readFileSync(join(folder, 'docs', 'ha.md'), 'utf8')
    } catch {
      if (folder === dirname(folder)) return readFileSync('docs/ha.md', 'utf8')
    }
  }
}

function reachable(from: State): Set<State> {
  const seen = new Set<State>([from])
  for (const state of seen) for (const next of Object.values(transitions[state].moves)) seen.add(next)
  return seen
}

t.test('docs/ha.md shows this very table', async (t) => {
  const shown = /```mermaid\n([\s\S]*?)\n```/.exec(docs())?.[1]
  t.equal(shown, diagram())
})

t.test('docs/ha.md explains every state', async (t) => {
  for (const state of states) t.match(docs(), `| \`${state}\` |`)
})

t.test('every state is reached, and every one leads to an end', async (t) => {
  t.same([...reachable('starting')].sort(), [...states].sort())
  for (const state of states) t.ok(reachable(state).has('stopped'), state)
})

t.test('no event both moves and is ignored', async (t) => {
  for (const state of states) {
    const { moves, ignores } = transitions[state]
    t.same(
      ignores.filter((event) => moves[event]),
      [],
      state,
    )
  }
})

t.test('what can come from outside at any time has an outcome in every state', async (t) => {
  const anyTime: Event[] = ['stop', 'link up', 'link down', 'opened', 'open failed']
  anyTime.push('quiesced', 'quiesce failed', 'partner complete')
  for (const state of states)
    for (const event of anyTime) t.doesNotThrow(() => nextState(state, event), state)
  t.throws(() => nextState('keeper', 'announced'), /"announced" cannot occur while keeper/)
})

t.test('whoever holds a lease may lose it, and then serves nothing until it has rejoined', async (t) => {
  for (const state of states.filter(holdsLease)) {
    const isEnding = state === 'releasing' || state === 'withdrawing'
    if (!isEnding) t.equal(nextState(state, 'lease lost'), 'fenced', state)
  }
  t.same(transitions.fenced.moves, { rejoin: 'starting', stop: 'stopped' })
})

t.test('nobody serves without having claimed, opened and announced', async (t) => {
  const ways: [State, Event][] = []
  for (const state of states.filter((state) => !answersRequests(state))) {
    for (const event of events) {
      const next = transitions[state].moves[event]
      if (next && answersRequests(next)) ways.push([state, event])
    }
  }
  t.same(ways, [
    ['announcing', 'announced'],
    ['pairing', 'in sync'],
  ])
  t.ok(serves('serving-solo') && !serves('giving') && answersRequests('giving'))
})
