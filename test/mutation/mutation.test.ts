import t from 'tap'
import { mutations } from './mutations.ts'
import { Laboratory, mutated } from './runner.ts'

t.test('each mutation changes a text that is in the source exactly once', (t) => {
  for (const mutation of mutations) t.doesNotThrow(() => mutated(mutation), mutation.name)
  t.ok(mutations.length >= 20, `there are ${mutations.length}`)
  t.equal(new Set(mutations.map(({ name }) => name)).size, mutations.length, 'each has a name of its own')
  t.end()
})

t.test('a text that has gone is a mistake', (t) => {
  const gone = { ...mutations[0]!, find: 'this is not there' }
  t.throws(() => mutated(gone), /occurs 0 times/)
  t.end()
})

t.test('the checkers find faults that they are known to find fast', (t) => {
  const laboratory = new Laboratory()
  t.teardown(() => laboratory.close())
  for (const mutation of mutations.filter(({ isQuick }) => isQuick)) {
    const { caught, needed, words } = laboratory.try(mutation)
    t.ok(caught, `${mutation.name} is caught (after ${needed}: ${words.split('\n')[0]})`)
  }
  t.end()
})
