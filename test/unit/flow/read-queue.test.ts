import t from 'tap'
import type { Aggregate } from '../../../ts/flow/aggregate.ts'
import { ReadOperation } from '../../../ts/flow/read.ts'
import { ReadQueue } from '../../../ts/flow/read-queue.ts'

const read = (): ReadOperation => new ReadOperation(undefined as unknown as Aggregate)

t.test('who came first is first, also when it comes back to the front', async (t) => {
  const queue = new ReadQueue()
  const [a, b, c] = [read(), read(), read()]
  t.equal(queue.shift(), undefined)
  queue.push(a)
  queue.push(b)
  t.equal(queue.shift(), a)
  queue.unshift(a)
  queue.push(c)
  t.equal(queue.first, a)
  t.same([queue.shift() === a, queue.shift() === b, queue.shift() === c], [true, true, true])
  t.equal(queue.first, undefined)
  queue.unshift(c)
  queue.push(a)
  t.ok(queue.shift() === c && queue.shift() === a && queue.shift() === undefined)
})

t.test('a read is in one queue at a time', async (t) => {
  const [one, other] = [new ReadQueue(), new ReadQueue()]
  const a = read()
  one.push(a)
  t.throws(() => other.push(a), /one thing at a time/)
  t.throws(() => other.unshift(a), /one thing at a time/)
  one.shift()
  t.doesNotThrow(() => other.push(a))
})
