import t from 'tap'
import { isBefore, Ranges } from '../../../ts/log/ranges.ts'

function of(...added: [first: number, end: number][]): Ranges {
  const ranges = new Ranges()
  for (const [index, [first, end]] of added.entries()) ranges.add(first, end, index + 1)
  return ranges
}

const list = (...added: [number, number][]) =>
  of(...added)
    .merged()
    .map(({ first, end }) => [first, end])

t.test('ranges are sorted, and those that touch or overlap are one', async (t) => {
  t.same(list(), [])
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
  const ranges = of([10, 20], [2 ** 32 - 2, 2 ** 32])
  const inside = [9, 10, 19, 20, 2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1].filter((block) => ranges.has(block))
  t.same(inside, [10, 19, 2 ** 32 - 2, 2 ** 32 - 1])
  t.notOk(of().has(0))
})

t.test('each block knows the newest entry that zeroed it', async (t) => {
  const ranges = of([0, 100], [20, 30], [25, 50], [90, 110])
  const sequences = [0, 19, 20, 24, 25, 49, 50, 89, 90, 109].map((block) => {
    t.ok(ranges.has(block))
    return ranges.foundSequence
  })
  t.same(sequences, [1, 1, 2, 2, 3, 3, 1, 1, 4, 4])
})

t.test('a range hides what is older, in 32 bits that run over', async (t) => {
  const ranges = new Ranges()
  ranges.add(10, 20, 2 ** 32 + 5)
  t.same([ranges.hides(10, 2 ** 32 + 4), ranges.hides(10, 2 ** 32 - 1)], [true, true])
  t.same([ranges.hides(10, 2 ** 32 + 6), ranges.hides(20, 2 ** 32 - 1)], [false, false])
  t.ok(isBefore(2 ** 31 - 1, 2 ** 31))
  t.notOk(isBefore(7, 7))
})

t.test('an empty range is our bug', async (t) => {
  t.throws(() => new Ranges().add(5, 5, 1), /not empty/)
})

t.test('the range over a block is found, or the next one', async (t) => {
  const ranges = of([10, 20], [30, 40], [2 ** 32 - 2, 2 ** 32])
  const found = [0, 10, 19, 20, 39, 40, 2 ** 32 - 1].map((block) => {
    t.ok(ranges.find(block))
    return [ranges.foundFirst, ranges.foundEnd]
  })
  const last = [2 ** 32 - 2, 2 ** 32]
  t.same(found, [[10, 20], [10, 20], [10, 20], [30, 40], [30, 40], last, last])
  t.notOk(of([1, 2]).find(2))
  t.notOk(of().find(0))
})
