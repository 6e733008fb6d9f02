import t from 'tap'
import { Register } from '../../../ts/ha/register.ts'
import { leaseOf, mirrored, ScriptedArbiter } from './rig.ts'

const own = { ...mirrored, lease: leaseOf('castor', 'boot-c') }

/** A register that has read `own` at 0 ms and swaps at 100 ms. */
function registerAfterRead(record = own) {
  const arbiter = new ScriptedArbiter()
  arbiter.record = record
  const register = new Register('a', 'boot-c', 500, arbiter)
  register.read(0)
  arbiter.asked.shift()!.answer('well')
  register.settle(5)
  return { arbiter, register }
}

t.test('a read tells the record, and since when it has not changed', async (t) => {
  const { arbiter, register } = registerAfterRead()
  t.match(register, { known: own, isRead: true, seenAtMs: 5, freshMs: 0, isLeaseOurs: true })
  register.read(50)
  arbiter.asked.shift()!.answer('well')
  register.settle(60)
  t.equal(register.seenAtMs, 5, 'nothing has changed')
  arbiter.change({ epoch: 5 })
  register.read(70)
  arbiter.asked.shift()!.answer('well')
  t.equal(register.hasNews, true)
  register.settle(90)
  t.equal(register.seenAtMs, 90, 'not before the answer was here')
})

t.test('our lease counts from the moment before the swap was sent', async (t) => {
  const { arbiter, register } = registerAfterRead()
  register.swap(100, own)
  arbiter.asked.shift()!.answer('well')
  register.settle(400)
  t.equal(register.ownSwapSentMs, 100)
})

t.test('a swap in doubt stays in doubt while the old version is read', async (t) => {
  const { arbiter, register } = registerAfterRead({ ...own, log: 'stale' })
  register.swap(100, own)
  const late = arbiter.asked.shift()!
  t.equal(register.mayBeInSync, true, 'while it is under way')
  register.settle(600)
  t.equal(register.trouble, 'the arbiter does not answer')
  t.throws(() => register.swap(601, own), /looked at before/)
  register.read(601)
  arbiter.asked.shift()!.answer('well')
  register.settle(610)
  t.equal(register.known?.version, 10)
  t.match(
    { mayBeInSync: register.mayBeInSync, isInDoubt: register.isInDoubt },
    { mayBeInSync: true, isInDoubt: true },
  )
  late.answer('well')
  register.read(620)
  arbiter.asked.shift()!.answer('well')
  register.settle(630)
  t.match({ log: register.known?.log, isInDoubt: register.isInDoubt }, { log: 'in-sync', isInDoubt: false })
  t.equal(register.ownSwapSentMs, 100, 'it was ours, sent at 100 at the latest')
})

t.test('a swap in doubt is void once another one was applied', async (t) => {
  const { arbiter, register } = registerAfterRead({ ...own, log: 'stale' })
  register.swap(100, own)
  const late = arbiter.asked.shift()!
  register.settle(600)
  register.read(600)
  arbiter.asked.shift()!.answer('well')
  register.settle(601)
  register.swap(610, { ...own, log: 'stale' })
  arbiter.asked.shift()!.answer('well')
  register.settle(620)
  late.answer('well')
  register.settle(621)
  t.match(arbiter.record, { version: 11, log: 'stale' }, 'it came too late to be applied')
  t.match(
    { mayBeInSync: register.mayBeInSync, sentMs: register.ownSwapSentMs },
    { mayBeInSync: false, sentMs: 610 },
  )
})

t.test('a plex that a swap in doubt calls in sync is not stale until it is settled', async (t) => {
  const { arbiter, register } = registerAfterRead({ ...own, plex1: 'stale' })
  t.ok(register.isPlexStale(1))
  register.swap(100, { ...own, plex1: 'in-sync' })
  t.notOk(register.isPlexStale(1), 'while it is under way')
  register.settle(600)
  register.read(601)
  arbiter.asked.pop()!.answer('well')
  register.settle(610)
  t.notOk(register.isPlexStale(1), 'the old version was read: that is no proof')
  register.swap(620, { ...own, plex1: 'stale' })
  arbiter.asked.pop()!.answer('well')
  register.settle(630)
  t.ok(register.isPlexStale(1))
})

t.test('a plex that a swap in doubt calls stale is not stale for sure', async (t) => {
  const { arbiter, register } = registerAfterRead({ ...own, plex1: 'in-sync' })
  const seen = () => [0, 1].map((plex) => register.isPlexStale(plex))
  register.swap(100, { ...own, plex1: 'stale' })
  const late = arbiter.asked.shift()!
  register.settle(600)
  t.same(seen(), [false, false])
  late.answer('well')
  register.read(610)
  arbiter.asked.shift()!.answer('well')
  register.settle(620)
  t.same(seen(), [false, true])
})

t.test('a lost race tells whose record it is now', async (t) => {
  const { arbiter, register } = registerAfterRead()
  arbiter.change({ owner: 'pollux', epoch: 5, lease: leaseOf('pollux', 'boot-p') })
  register.swap(100, own)
  arbiter.asked.shift()!.answer('well')
  register.settle(110)
  t.match(register, { known: { owner: 'pollux', version: 11 }, isLeaseOurs: false, ownSwapSentMs: 0 })
})

t.test('that a holder is gone is forgotten with its lease', async (t) => {
  const { arbiter, register } = registerAfterRead()
  arbiter.isHolderGone = true
  register.read(10)
  arbiter.asked.shift()!.answer('well')
  register.settle(20)
  t.equal(register.holderGone, true)
  arbiter.isHolderGone = false
  arbiter.change({ lease: leaseOf('pollux', 'boot-p') })
  register.read(30)
  arbiter.asked.shift()!.answer('well')
  register.settle(40)
  t.equal(register.holderGone, false)
})

t.test('an arbiter that forgets is not believed', async (t) => {
  const { arbiter, register } = registerAfterRead()
  const records = [
    [undefined, /is gone; restore/],
    [{ ...own, version: 9, owner: 'pollux' }, /has gone back from version 10 to 9/],
  ] as const
  for (const [record, trouble] of records) {
    arbiter.record = record
    register.read(20)
    arbiter.asked.shift()!.answer('well')
    register.settle(30)
    t.match(register.trouble, trouble)
    t.equal(register.known?.version, 10)
  }
})
