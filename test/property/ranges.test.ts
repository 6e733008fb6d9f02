import fc from 'fast-check'
import t from 'tap'
import { Ranges } from '../../ts/log/ranges.ts'
import { runs } from './runs.ts'

/** What ranges are a short form of: for each block the entry that zeroed it last, 0 for none. */
class Model {
  readonly sequences: Float64Array

  constructor(blocks: number) {
    this.sequences = new Float64Array(blocks)
  }

  add(first: number, end: number, sequence: number): void {
    this.sequences.fill(sequence, first, end)
  }

  difference(ranges: Ranges): string | undefined {
    const merged = ranges.merged()
    let index = 0
    for (const [block, sequence] of this.sequences.entries()) {
      while (index < merged.length && merged[index]!.end <= block) index += 1
      const isListed = index < merged.length && merged[index]!.first <= block
      if (isListed !== sequence > 0) return `block ${block} is ${isListed ? '' : 'not '}listed`
      if (ranges.has(block) !== sequence > 0) return `block ${block} is ${sequence > 0 ? 'lost' : 'invented'}`
      if (sequence > 0 && ranges.foundSequence !== (sequence | 0))
        return `block ${block} has a wrong sequence`
      if (ranges.hides(block, sequence)) return `block ${block} is hidden by what made it`
      if (ranges.hides(block, sequence - 1) !== sequence > 0) return `block ${block} hides nothing older`
    }
    const touching = merged.find(({ first, end }, i) => first >= end || merged[i - 1]?.end === first)
    return touching === undefined ? undefined : `the range from ${touching.first} on is not merged`
  }
}

t.test('ranges hold what a list of blocks would hold, and which entry zeroed each', async (t) => {
  const range = fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 60 }))
  const property = fc.property(
    fc.array(range, { maxLength: 40, size: 'max' }),
    fc.constantFrom(1, 2 ** 31 - 20, 2 ** 32 - 20, 2 ** 40),
    (added, firstSequence) => {
      const [ranges, model] = [new Ranges(), new Model(400)]
      for (const [index, [first, length]] of added.entries()) {
        ranges.add(first, first + length, firstSequence + index)
        model.add(first, first + length, firstSequence + index)
      }
      const wrong = model.difference(ranges)
      if (wrong !== undefined) throw new Error(wrong)
    },
  )
  fc.assert(property, runs(500))
  t.pass('no counterexample')
})

t.test('so do thousands of them', async (t) => {
  const BLOCKS = 20_000
  const shape = fc.record({ seed: fc.nat(), count: fc.integer({ min: 1, max: 4000 }), longOnes: fc.nat(30) })
  const property = fc.property(shape, ({ seed, count, longOnes }) => {
    let state = seed
    const below = (limit: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * limit)
    }
    const [ranges, model] = [new Ranges(), new Model(BLOCKS)]
    for (let sequence = 1; sequence <= count; sequence += 1) {
      const length = 1 + (below(1000) < longOnes ? below(BLOCKS / 4) : below(3))
      const first = below(BLOCKS - length)
      ranges.add(first, first + length, sequence)
      model.add(first, first + length, sequence)
    }
    const wrong = model.difference(ranges)
    if (wrong !== undefined) throw new Error(wrong)
  })
  fc.assert(property, runs(60))
  t.pass('no counterexample')
})
