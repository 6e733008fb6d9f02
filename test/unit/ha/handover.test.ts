import t from 'tap'
import { goodLog, keeperFacts, leaseOf, mirrored, Rig } from './rig.ts'

const byPollux = { ...mirrored, owner: 'pollux', lease: leaseOf('pollux', 'boot-p') }
const given = { owner: 'castor', lease: null, clean: true } as const

/** Castor keeps for pollux, which hands over in epoch 4; then castor has the image open. */
function receiver(stays: boolean): Rig {
  const rig = new Rig(byPollux)
  rig.arbiter.isHolderGone = false
  rig.start()
  rig.arbiter.change(given)
  rig.ownership.handedOver(rig.nowMs, 4, stays)
  rig.settle()
  rig.done.length = 0
  rig.ownership.opened(rig.nowMs)
  return rig
}

t.test('the receiver serves from its first moment with both copies of the log', async (t) => {
  const rig = receiver(true)
  rig.pass(100)
  t.match(rig.ownership, { state: 'announcing', serves: false, maySoloAck: false })
  t.match(rig.arbiter.record, { owner: 'castor', epoch: 5, clean: true })
  t.ok(rig.ownership.mayFillPartner(rig.nowMs), 'the log is empty, so the copy may be begun')
  rig.ownership.linkUp(rig.nowMs, keeperFacts)
  rig.ownership.partnerComplete(rig.nowMs, 'ring-p2')
  t.match(rig.ownership, { state: 'pairing', serves: false })
  t.same(rig.done, [], 'nothing is served before the record lists both')
  rig.settle()
  const incarnations = { castor: 'ring-c', pollux: 'ring-p2' }
  t.match(rig.arbiter.record, { epoch: 5, log: 'in-sync', incarnations, clean: false })
  t.match(rig.ownership, { state: 'serving-mirrored', reason: '', mirrorRequired: true, maySoloAck: false })
  t.same(rig.done, ['serve'])
})

t.test('a giver that does not come in time is not waited for', async (t) => {
  const rig = receiver(true)
  rig.pass(999)
  t.equal(rig.ownership.state, 'announcing')
  rig.pass(2)
  t.match(rig.ownership, { state: 'serving-solo', maySoloAck: true })
  t.match(rig.arbiter.record, { log: 'stale', incarnations: { castor: 'ring-c' }, clean: false })
})

t.test('a giver that leaves, or was not heard of, is not waited for', async (t) => {
  const leaving = receiver(false)
  leaving.settle()
  t.equal(leaving.ownership.state, 'serving-solo')
  const unheard = new Rig(byPollux)
  unheard.start()
  unheard.arbiter.change(given)
  unheard.pass(1000)
  unheard.ownership.opened(unheard.nowMs)
  unheard.settle()
  t.equal(unheard.ownership.state, 'serving-solo')
})

t.test('a word of an earlier handover counts for nothing', async (t) => {
  const rig = new Rig({ ...byPollux, epoch: 6 })
  rig.start()
  rig.ownership.handedOver(rig.nowMs, 4, true)
  rig.arbiter.change(given)
  rig.pass(1000)
  rig.ownership.opened(rig.nowMs)
  rig.settle()
  t.match(rig.ownership, { state: 'serving-solo', epoch: 7 })
})

t.test('the link goes down while both are about to be listed: it serves alone, and says so', async (t) => {
  const rig = receiver(true)
  rig.ownership.linkUp(rig.nowMs, keeperFacts)
  rig.ownership.partnerComplete(rig.nowMs, 'ring-p')
  t.equal(rig.ownership.state, 'pairing')
  rig.ownership.linkDown(rig.nowMs)
  t.match(rig.ownership, { state: 'announcing', serves: false })
  t.notOk(rig.ownership.mayFillPartner(rig.nowMs), 'the record may list it: it is not begun afresh')
  rig.settle()
  t.match(rig.ownership, { state: 'serving-solo', maySoloAck: true })
  t.match(rig.arbiter.record, { log: 'stale', incarnations: { castor: 'ring-c' }, clean: false })
})

t.test('the swap that lists both is in doubt: nothing is served before it is known', async (t) => {
  const rig = receiver(true)
  rig.ownership.linkUp(rig.nowMs, keeperFacts)
  rig.ownership.partnerComplete(rig.nowMs, 'ring-p')
  rig.answerOne('lost')
  t.match(rig.ownership, { state: 'pairing', serves: false })
  rig.pass(100)
  t.match(rig.ownership, { state: 'serving-mirrored', serves: true })
})

t.test('the giver takes back what a receiver had that died before it listed itself', async (t) => {
  const clean = { ...mirrored, clean: true, lease: leaseOf('castor', 'boot-old') }
  const rig = new Rig({ ...clean, owner: 'pollux', epoch: 5, lease: leaseOf('pollux', 'boot-p') })
  rig.start({ ...goodLog, complete: false, epoch: 5 })
  rig.pass(1000)
  t.same(rig.done, ['keep pollux 5', 'open takeover none 6'], 'although its copy was only begun')
})
