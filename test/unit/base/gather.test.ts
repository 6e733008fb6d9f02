import t from 'tap'
import { GATHER_PIECES_MAX, Gather } from '../../../ts/base/gather.ts'

const pieces = (gather: Gather) =>
  Array.from({ length: gather.count }, (_, i) => [gather.addresses[i], gather.lengths[i]])

t.test('pieces that follow each other in memory become one', async (t) => {
  const gather = new Gather()
  gather.add(0x1000, 0x1000)
  gather.add(0x2000, 0x800)
  gather.add(0x9000, 8)
  gather.add(0x9000, 8)
  t.same(pieces(gather), [
    [0x1000, 0x1800],
    [0x9000, 8],
    [0x9000, 8],
  ])
  t.equal(gather.byteLength, 0x1810)
})

t.test('a cleared list does not join with what it held before', async (t) => {
  const gather = new Gather()
  gather.add(0x1000, 0x1000)
  gather.clear()
  gather.add(0x2000, 0x1000)
  t.same(pieces(gather), [[0x2000, 0x1000]])
  t.equal(gather.byteLength, 0x1000)
})

t.test('a list is full at the number of pieces that Linux takes, but still joins', async (t) => {
  const gather = new Gather()
  for (let i = 1; i <= GATHER_PIECES_MAX; i += 1) {
    t.notOk(gather.isFull)
    gather.add(i * 16, 8)
  }
  t.ok(gather.isFull)
  t.throws(() => gather.add(8, 8), /at most 1024 pieces/)
  const whole = new Gather()
  for (let i = 0; i < 2000; i += 1) whole.add(4096 + i * 8, 8)
  t.equal(whole.count, 1)
})

t.test('an empty piece is our bug', async (t) => {
  t.throws(() => new Gather().add(0x1000, 0), /not empty/)
})
