import fc from 'fast-check'
import t from 'tap'
import { Ranges } from '../../ts/log/ranges.ts'
import { runs } from './runs.ts'

t.test('ranges hold what a set of blocks would hold, sorted and apart from each other', async (t) => {
  const range = fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 60 }))
  const property = fc.property(fc.array(range, { maxLength: 40, size: 'max' }), (added) => {
    const ranges = new Ranges()
    const model = new Set<number>()
    for (const [first, length] of added) {
      ranges.add(first, first + length)
      for (let block = first; block < first + length; block += 1) model.add(block)
    }
    for (let block = 0; block < 400; block += 1) if (ranges.has(block) !== model.has(block)) return false
    return ranges.list.every(
      ({ first, end }, i) => first < end && (i === 0 || ranges.list[i - 1]!.end < first),
    )
  })
  fc.assert(property, runs(500))
  t.pass('no counterexample')
})
