import t from 'tap'
import { states } from '../../ts/ha/transitions.ts'
import { explore } from './explore.ts'
import { beginnings } from './pair.ts'
import { scenarios } from './scenarios.ts'

const seen = new Set<string>()

for (const { name, begin, quick } of scenarios) {
  t.test(`two nodes and an arbiter keep their promises through every course of: ${name}`, (t) => {
    const start = beginnings[begin]()
    const found = explore(start, quick, Number.POSITIVE_INFINITY)
    t.comment(`${found.states} states, ${found.transitions} transitions, depth ${found.depth}`)
    t.equal(found.failure, undefined, found.trail.join('\n'))
    t.ok(found.isComplete, 'every state within the budget was seen')
    t.ok(found.transitions > found.states, 'states were reached in more than one way')
    for (const state of found.seen.keys()) seen.add(state)
    t.end()
  })
}

t.test('every state of the transition table was met', (t) => {
  t.same(
    states.filter((state) => !seen.has(state)),
    [],
  )
  t.end()
})
