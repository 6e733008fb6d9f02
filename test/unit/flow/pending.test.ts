import t from 'tap'
import { PendingReplies } from '../../../ts/flow/pending.ts'

const push = (pending: PendingReplies, sequence: number, connection = 1) =>
  pending.push(sequence, connection, 2, { cookieLow: 3, cookieHigh: 4, offsetLow: 5, offsetHigh: 6 })

t.test('the oldest comes out first, as it went in, round after round', async (t) => {
  const pending = new PendingReplies(8)
  const to = { cookieHigh: 0x8000_0000, cookieLow: 0xffff_ffff, offsetHigh: 0xffff_fffe, offsetLow: 1 }
  let expected = 1
  for (let sequence = 1; sequence <= 100; sequence += 1) {
    pending.push(sequence, sequence, sequence + 1, to)
    if (pending.count < 5) continue
    const at = pending.front
    const { sequences, connections, sessions } = pending
    const found = [sequences, connections, sessions].map((column) => column[at])
    const wanted = [expected, expected, expected + 1]
    if (JSON.stringify(found) !== JSON.stringify(wanted)) t.same(found, wanted)
    if (JSON.stringify(pending.shift()) !== JSON.stringify(to)) t.fail('the request is another one')
    expected += 1
  }
  t.equal(expected, 97)
})

t.test('it says for which sequence the oldest waits', async (t) => {
  const pending = new PendingReplies(4)
  t.equal(pending.nextSequence, Number.POSITIVE_INFINITY)
  push(pending, 7)
  push(pending, 7)
  push(pending, 2 ** 45)
  t.equal(pending.nextSequence, 7)
  pending.shift()
  pending.shift()
  t.equal(pending.nextSequence, 2 ** 45)
})

t.test('more than it has room for, or out of order, is our bug', async (t) => {
  const pending = new PendingReplies(4)
  for (let i = 0; i < 4; i += 1) push(pending, 10)
  t.ok(pending.isFull)
  t.throws(() => push(pending, 10), /has looked for room/)
  pending.shift()
  t.throws(() => push(pending, 9), /in the order of the log/)
  pending.clear()
  t.throws(() => pending.shift(), /there is an oldest/)
  t.doesNotThrow(() => push(pending, 1), 'a cleared one begins afresh')
  t.throws(() => new PendingReplies(6), /power of two/)
})
