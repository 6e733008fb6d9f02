import t from 'tap'
import { Lease } from '../../../ts/ha/lease.ts'
import { Register } from '../../../ts/ha/register.ts'
import { leaseOf, mirrored, ScriptedArbiter } from './rig.ts'

function leaseAfterRead(lease: ReturnType<typeof leaseOf> | null, isHolderGone = false) {
  const arbiter = new ScriptedArbiter()
  arbiter.record = { ...mirrored, lease }
  arbiter.isHolderGone = isHolderGone
  const register = new Register('a', 'boot-c', 500, arbiter)
  register.read(0)
  arbiter.asked.shift()!.answer('well')
  register.settle(40)
  return { arbiter, register, lease: new Lease(register, 'boot-c', 1000, 100) }
}

t.test('our own lease ends earlier for us than for anybody else, by twice the margin', async (t) => {
  const { arbiter, register, lease } = leaseAfterRead(leaseOf('castor', 'boot-c'))
  register.swap(50, { ...mirrored, lease: lease.words('castor') })
  arbiter.asked.shift()!.answer('well')
  register.settle(60)
  t.equal(lease.fenceAtMs, 50 + 900)
  t.equal(lease.renewAtMs, 50 + 250)
  t.equal(lease.othersEndMs, 60 + 1100)
  t.equal(arbiter.record?.lease?.counter, 2)
})

t.test(
  "another's lease is dead when given up, when its process is gone, or after time and margin",
  async (t) => {
    t.equal(leaseAfterRead(null).lease.isDead(41), true)
    t.equal(leaseAfterRead(leaseOf('pollux', 'boot-p'), true).lease.isDead(41), true)
    const { lease } = leaseAfterRead(leaseOf('pollux', 'boot-p'))
    t.equal(lease.isDead(40 + 1099), false)
    t.equal(lease.isDead(40 + 1100), true)
  },
)

t.test('what this very process held before is not waited for; its earlier process is', async (t) => {
  t.equal(leaseAfterRead(leaseOf('castor', 'boot-c')).lease.isDead(41), true)
  t.equal(leaseAfterRead(leaseOf('castor', 'boot-old')).lease.isDead(41), false)
})

t.test('a new lease counts from one', async (t) => {
  const { lease } = leaseAfterRead(leaseOf('pollux', 'boot-p'))
  t.same(lease.words('castor'), { holder: 'castor', boot: 'boot-c', durationMs: 1000, counter: 1 })
})
