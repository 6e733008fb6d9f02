import t from 'tap'
import { loadNamed, loads, wordOf } from '../../../ts/cli/fio-loads.ts'

t.test('every load has a name of its own that can be typed', async (t) => {
  t.equal(new Set(loads.map(wordOf)).size, loads.length)
  for (const load of loads) {
    t.match(wordOf(load), /^[a-z0-9-]+$/)
    t.equal(loadNamed(wordOf(load)), load)
    t.equal(loadNamed(load.name), load)
  }
  t.equal(loadNamed('other'), undefined)
})
