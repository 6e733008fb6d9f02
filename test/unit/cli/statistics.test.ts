import t from 'tap'
import { median, pairedRatios, spreadOf } from '../../../ts/cli/statistics.ts'

t.test('the median is the middle, or halfway between the two in the middle', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  const values = [9, 1, 5]
  median(values)
  t.same(values, [9, 1, 5], 'the values stay in their order')
})

t.test('a spread tells the median, the ends and how many there were', async (t) => {
  t.same(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3, count: 3 })
  t.same(spreadOf([]), { median: Number.NaN, min: Number.NaN, max: Number.NaN, count: 0 })
})

t.test('ratios are taken round by round, so one round out of line changes nothing', async (t) => {
  t.same(pairedRatios([10, 2, 30], [20, 4, 10]), [0.5, 0.5, 3])
  t.equal(median(pairedRatios([10, 2, 30], [20, 4, 10])), 0.5)
  t.same(pairedRatios([10, 2], [20]), [0.5], 'a round that one of them lacks is left out')
})
