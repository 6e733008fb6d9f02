import t from 'tap'
import { Ranges } from '../../../ts/log/ranges.ts'

const list = (...ranges: [number, number][]) => {
  const all = new Ranges()
  for (const [first, end] of ranges) all.add(first, end)
  return all.list.map(({ first, end }) => [first, end])
}

t.test('ranges are sorted, and those that touch or overlap are one', async (t) => {
  t.same(list([10, 20], [30, 40], [0, 5]), [
    [0, 5],
    [10, 20],
    [30, 40],
  ])
  t.same(list([10, 20], [20, 30]), [[10, 30]])
  t.same(list([20, 30], [10, 20]), [[10, 30]])
  t.same(list([10, 20], [12, 15]), [[10, 20]])
  t.same(list([10, 20], [30, 40], [50, 60], [15, 55]), [[10, 60]])
  t.same(list([10, 20], [30, 40], [0, 100]), [[0, 100]])
})

t.test('a block is in a range from its first to before its end', async (t) => {
  const ranges = new Ranges()
  t.notOk(ranges.has(0))
  ranges.add(10, 20)
  ranges.add(2 ** 32 - 2, 2 ** 32)
  const inside = [9, 10, 19, 20, 2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1].filter((block) => ranges.has(block))
  t.same(inside, [10, 19, 2 ** 32 - 2, 2 ** 32 - 1])
})

t.test('an empty range is our bug', async (t) => {
  t.throws(() => new Ranges().add(5, 5), /not empty/)
})
