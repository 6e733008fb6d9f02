import t from 'tap'
import { alone, goodLog, keeperFacts, leaseOf, lostLog, mirrored, Rig } from './rig.ts'

const byPollux = { ...mirrored, owner: 'pollux', lease: leaseOf('pollux', 'boot-p') }

t.test('the home node makes the first record, once its disks are known to be fresh', async (t) => {
  let diskEpoch: number | string = 'the disks are being read'
  const rig = new Rig(undefined, { diskEpoch: () => diskEpoch }).start({ ...goodLog, epoch: 0 })
  t.match(rig.ownership, { state: 'unowned', reason: 'the disks are being read' })
  diskEpoch = 0
  rig.pass(300)
  t.same(rig.done, ['open first none 1'])
  rig.ownership.opened(rig.nowMs)
  rig.settle()
  t.same(rig.done, ['open first none 1', 'serve'])
  t.match(rig.arbiter.record, { owner: 'castor', epoch: 1, log: 'stale', incarnations: { castor: 'ring-c' } })
  t.match(rig.arbiter.record, { plex1: 'absent', clean: false })
})

t.test('the other node never makes the first record by itself', async (t) => {
  const rig = new Rig(undefined, { home: 'pollux' }).start()
  rig.pass(5000)
  t.match(rig.ownership, { state: 'unowned', reason: /pollux, its home, makes it/ })
})

t.test('disks that carry an epoch without a record are not taken for fresh ones', async (t) => {
  const rig = new Rig(undefined, { diskEpoch: () => 7 }).start(lostLog)
  t.match(rig.ownership.reason, /no record of a, but its disks carry epoch 7: restore the arbiter's data/)
  rig.takeover(1)
  t.match(rig.answers.get(1)?.error, { code: 'TAKEOVER_IMPOSSIBLE' })
  rig.takeover(2, { force: true, acceptDataLoss: true })
  t.same(rig.done, ['open forced none 8'], 'and above their epoch if forced')
  t.match(rig.arbiter.record?.forced, [{ at: 'today', node: 'castor', reason: 'castor burnt' }])
})

t.test(
  'an owner that was restarted opens in a new epoch, and announces itself before it serves',
  async (t) => {
    const rig = new Rig(mirrored).start()
    t.same(rig.done, ['open restart ring 5'])
    t.match(
      rig.arbiter.record,
      { epoch: 5, log: 'in-sync', lease: { boot: 'boot-c' } },
      'the log is as it was',
    )
    t.equal(rig.ownership.serves, false)
    rig.ownership.opened(rig.nowMs)
    t.equal(rig.ownership.state, 'announcing')
    t.equal(rig.ownership.maySoloAck, false)
    rig.settle()
    t.match(rig.arbiter.record, { log: 'stale', incarnations: { castor: 'ring-c' }, clean: false })
    t.same(rig.done, ['open restart ring 5', 'serve'])
    t.match(rig.ownership, { state: 'serving-solo', reason: '', maySoloAck: true, mirrorRequired: false })
  },
)

t.test('the lease of its earlier process is waited for, if nobody knows that it has ended', async (t) => {
  const rig = new Rig(alone)
  rig.arbiter.isHolderGone = false
  rig.start()
  rig.pass(1099)
  t.match(rig.ownership, { state: 'waiting', reason: /lease of an earlier process/ })
  rig.pass(10)
  t.same(rig.done, ['open restart ring 5'])
})

t.test('the lease is renewed in time, and ends before anybody else may think so', async (t) => {
  const rig = new Rig(alone).serveAlone()
  rig.pass(5000)
  t.ok(rig.ownership.fenceAtMs > rig.nowMs)
  rig.pass(400, 'silent')
  const { fenceAtMs } = rig.ownership
  t.ok(fenceAtMs - rig.nowMs <= 900 - 150, 'a renewal that was not answered does not count')
  rig.pass(fenceAtMs - rig.nowMs - 1, 'silent')
  t.equal(rig.ownership.serves, true)
  rig.pass(1, 'silent')
  t.match(rig.ownership, { state: 'fenced', fenceAtMs: 0, reason: /lease ended/ })
  t.equal(rig.done.at(-1), 'drop')
})

t.test(
  'a fenced node writes nothing more until it has rejoined, and then starts from the record',
  async (t) => {
    const rig = new Rig(alone).serveAlone()
    rig.pass(1000, 'unreachable')
    t.equal(rig.ownership.state, 'fenced')
    rig.pass(5000)
    t.equal(rig.ownership.state, 'fenced', 'it stays so')
    rig.ownership.rejoin(rig.nowMs, { ...goodLog, epoch: 5 })
    rig.settle()
    t.equal(rig.done.at(-1), 'open restart ring 6', 'nobody else has taken it')
  },
)

t.test('an owner learns from the record that it was taken over', async (t) => {
  const rig = new Rig(alone).serveAlone()
  rig.arbiter.change({ owner: 'pollux', epoch: 6, lease: leaseOf('pollux', 'boot-p') })
  rig.pass(260)
  t.match(rig.ownership, { state: 'fenced', reason: 'the record names pollux in epoch 6' })
  t.equal(rig.done.at(-1), 'drop')
  rig.ownership.rejoin(rig.nowMs, goodLog)
  rig.arbiter.isHolderGone = false
  rig.settle()
  t.equal(rig.done.at(-1), 'keep pollux 6')
})

t.test(
  'the log is called in sync only when the partner has everything, and both are asked from then on',
  async (t) => {
    const rig = new Rig(alone).serveAlone()
    rig.ownership.linkUp(rig.nowMs, keeperFacts)
    t.match(rig.ownership, { state: 'syncing', maySoloAck: true })
    rig.ownership.partnerComplete(rig.nowMs, 'ring-p')
    t.match(rig.ownership, { state: 'joining', maySoloAck: false, mirrorRequired: true })
    rig.settle()
    t.equal(rig.ownership.state, 'serving-mirrored')
    t.match(rig.arbiter.record, { log: 'in-sync', incarnations: { castor: 'ring-c', pollux: 'ring-p' } })
  },
)

t.test('without the partner nothing is acknowledged before the record says stale', async (t) => {
  const rig = new Rig(alone).serveMirrored()
  rig.ownership.linkDown(rig.nowMs)
  t.match(rig.ownership, { state: 'parting', maySoloAck: false, mirrorRequired: true })
  rig.answerOne('lost')
  t.match(rig.ownership, { state: 'parting', maySoloAck: false }, 'not even if it was applied, unheard')
  rig.pass(100)
  t.match(rig.ownership, { state: 'serving-solo', maySoloAck: true })
  t.match(rig.arbiter.record, { log: 'stale', incarnations: { castor: 'ring-c' } })
})

t.test('a swap to in-sync that is in doubt keeps the partner required until it is settled', async (t) => {
  const rig = new Rig(alone).serveAlone()
  rig.ownership.linkUp(rig.nowMs, keeperFacts)
  rig.ownership.partnerComplete(rig.nowMs, 'ring-p')
  const inSync = rig.arbiter.asked.shift()!
  t.equal(inSync.next?.log, 'in-sync')
  rig.pass(530, 'silent')
  rig.ownership.linkDown(rig.nowMs)
  rig.answerOne('well')
  t.match(
    rig.ownership,
    { state: 'parting', mirrorRequired: true },
    'the old version was read: that is no proof',
  )
  rig.settle()
  t.match(rig.ownership, { state: 'serving-solo', maySoloAck: true })
  inSync.answer('well')
  t.equal(rig.arbiter.record?.log, 'stale', 'the old swap comes too late')
})

t.test('a partner that took over meanwhile makes the swap to stale fail', async (t) => {
  const rig = new Rig(alone).serveMirrored()
  rig.arbiter.change({ owner: 'pollux', epoch: 6, lease: leaseOf('pollux', 'boot-p') })
  rig.ownership.linkDown(rig.nowMs)
  rig.settle()
  t.equal(rig.ownership.state, 'fenced')
  t.same(rig.done, ['drop'])
})

t.test('a link that comes and goes does not wear out the arbiter', async (t) => {
  const rig = new Rig(alone).serveMirrored()
  const before = rig.arbiter.record!.version
  for (let flap = 0; flap < 50; flap += 1) {
    rig.ownership.linkDown(rig.nowMs)
    rig.settle()
    rig.ownership.linkUp(rig.nowMs, keeperFacts)
    rig.ownership.partnerComplete(rig.nowMs, 'ring-p')
    rig.pass(20)
  }
  t.ok(rig.arbiter.record!.version - before < 15, 'far fewer swaps than flaps')
  rig.pass(10_000)
  t.equal(rig.ownership.state, 'serving-mirrored')
})

t.test(
  'a keeper whose arbiter is silent rests between its questions, also when the lease is over',
  async (t) => {
    const rig = new Rig({ ...mirrored, owner: 'pollux', lease: leaseOf('pollux', 'boot-p') })
    rig.arbiter.isHolderGone = false
    rig.start()
    const endMs = rig.nowMs + 5000
    let turns = 0
    for (; rig.nowMs < endMs; turns += 1) {
      rig.nowMs = Math.max(rig.nowMs + 0.1, rig.ownership.nextWakeMs)
      rig.ownership.tick(rig.nowMs)
    }
    t.equal(rig.ownership.reason, 'the arbiter does not answer')
    t.ok(turns < 50, `it took ${turns} turns in five seconds`)
  },
)

t.test('a keeper takes over as soon as the owner is known to have ended', async (t) => {
  const rig = new Rig(byPollux)
  rig.arbiter.isHolderGone = false
  rig.start()
  t.same(rig.done, ['keep pollux 4'])
  t.match(rig.ownership.takeoverPossible(), { possible: true, because: 'its log copy is in sync' })
  rig.ownership.linkUp(rig.nowMs, { ...keeperFacts, state: 'owner' })
  rig.pass(2000)
  rig.ownership.linkDown(rig.nowMs)
  rig.arbiter.isHolderGone = true
  rig.pass(25)
  t.same(rig.done, ['keep pollux 4', 'open takeover ring 5'])
})

t.test(
  'a keeper that cannot know takes over when the lease has not changed for its time and the margin',
  async (t) => {
    const rig = new Rig(byPollux)
    rig.arbiter.isHolderGone = false
    rig.start()
    rig.pass(900)
    rig.arbiter.change({ lease: leaseOf('pollux', 'boot-p') })
    rig.pass(200)
    const seenMs = rig.nowMs
    rig.pass(1095 - 250)
    t.equal(rig.ownership.state, 'keeper')
    rig.pass(300)
    t.same(rig.done, ['keep pollux 4', 'open takeover ring 5'])
    t.ok(rig.nowMs - seenMs >= 1100 - 250)
  },
)

t.test('that an owner has died shows soon after its link went down', async (t) => {
  const rig = new Rig(byPollux)
  rig.arbiter.isHolderGone = false
  rig.start()
  rig.ownership.linkUp(rig.nowMs, { ...keeperFacts, state: 'owner' })
  rig.pass(700)
  rig.ownership.linkDown(rig.nowMs)
  rig.pass(30)
  t.equal(rig.ownership.state, 'keeper', 'it did not die at once')
  rig.arbiter.isHolderGone = true
  rig.pass(25)
  t.equal(rig.ownership.state, 'opening')
})

t.test('after its own start a keeper gives the owner a moment to come back', async (t) => {
  const rig = new Rig(byPollux).start()
  t.match(rig.ownership, { state: 'keeper', reason: /takes over unless it comes back at once/ })
  rig.pass(499)
  t.same(rig.done, ['keep pollux 4'])
  rig.pass(2)
  t.same(rig.done, ['keep pollux 4', 'open takeover ring 5'])
})

t.test('an image that cannot be opened is left to the partner, then tried again', async (t) => {
  const rig = new Rig(mirrored).start()
  rig.ownership.openFailed(rig.nowMs, new Error('/dev/sdx does not exist'))
  rig.settle()
  t.match(rig.arbiter.record, { lease: null, log: 'in-sync' }, 'the partner may take over')
  t.match(rig.ownership, { state: 'waiting', reason: /sdx does not exist; pollux may take over/ })
  rig.pass(1900)
  t.equal(rig.done.length, 1)
  rig.pass(200)
  t.same(rig.done, ['open restart ring 5', 'open restart ring 6'])
})

t.test('what is missing because of the arbiter is said of the arbiter', async (t) => {
  const rig = new Rig(byPollux)
  rig.ownership.start(rig.nowMs, goodLog)
  rig.answerOne('unreachable')
  t.match(rig.ownership, { state: 'starting', reason: 'the arbiter is away' })
  rig.ownership.takeover(rig.nowMs, 1, {
    ...{ force: false, acceptDataLoss: false, reason: '', at: '', dryRun: false },
  })
  t.match(rig.answers.get(1)?.error, { code: 'ARBITER_UNREACHABLE' })
  t.match(rig.ownership.takeoverPossible(), { possible: false, because: 'the arbiter is away' })
})

t.test('a tick with nothing to do asks for nothing', async (t) => {
  const rig = new Rig(alone).serveAlone()
  const wakeMs = rig.ownership.nextWakeMs
  t.ok(wakeMs > rig.nowMs && wakeMs <= rig.nowMs + 250)
  for (let now = rig.nowMs; now < wakeMs; now += 1) rig.ownership.tick(now)
  t.equal(rig.arbiter.asked.length, 0)
  rig.ownership.tick(wakeMs)
  t.equal(rig.arbiter.asked.length, 1, 'the renewal')
})

t.test(
  'a keeper that has just started waits for an owner that may have been, too, unless it has met it',
  async (t) => {
    for (const [met, takesOver] of [
      [true, true],
      [false, false],
    ]) {
      const rig = new Rig(byPollux)
      rig.arbiter.isHolderGone = false
      rig.start()
      rig.ownership.linkUp(rig.nowMs, { ...keeperFacts, state: met ? 'owner' : 'keeper' })
      rig.pass(50)
      rig.arbiter.isHolderGone = true
      rig.ownership.linkDown(rig.nowMs)
      rig.pass(100)
      t.equal(rig.done.includes('open takeover ring 5'), takesOver, `met: ${met}`)
      rig.pass(1000)
      t.ok(rig.done.includes('open takeover ring 5'))
    }
  },
)
