import t from 'tap'
import { Pending } from '../../../ts/base/procedure.ts'

t.test('a procedure waits until every operation has ended', async (t) => {
  const pending = new Pending()
  const [first, second] = [pending.expect(), pending.expect()]
  const all = pending.all()
  t.same(all.next(), { value: 'wait', done: false })
  first.complete(4096)
  t.same(all.next(), { value: 'wait', done: false })
  second.complete(0)
  t.same(all.next(), { value: undefined, done: true })
  t.equal(pending.failure, 0)
})

t.test('the first failure is kept, later successes do not hide it', async (t) => {
  const pending = new Pending()
  const operations = [pending.expect(), pending.expect(), pending.expect()]
  for (const [index, result] of [-5, -28, 4096].entries()) operations[index]!.complete(result)
  t.equal(pending.failure, -5)
  t.ok(pending.all().next().done)
})
