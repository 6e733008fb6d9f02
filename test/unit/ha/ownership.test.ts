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

t.test('after its own start a keeper gives the owner a moment to come back', async (t) => {
  const rig = new Rig(byPollux).start()
  t.match(rig.ownership, { state: 'keeper', reason: /takes over unless it comes back at once/ })
  rig.pass(499)
  t.same(rig.done, ['keep pollux 4'])
  rig.pass(2)
  t.same(rig.done, ['keep pollux 4', 'open takeover ring 5'])
})

t.test('a keeper that is not in sync says so and waits, and by command, too', async (t) => {
  const stale = { ...byPollux, log: 'stale', incarnations: { pollux: 'ring-p' } } as const
  const rig = new Rig(stale).start()
  rig.pass(5000)
  t.match(rig.ownership, {
    state: 'keeper',
    reason: /pollux does not serve, and castor cannot take over: pollux/,
  })
  t.match(rig.ownership.takeoverPossible(), { possible: false, because: /acknowledged changes alone/ })
  rig.takeover(1)
  rig.takeover(2, { force: true })
  t.match(rig.answers.get(1)?.error, { code: 'TAKEOVER_IMPOSSIBLE', message: /--force --accept-data-loss/ })
  t.match(rig.answers.get(2)?.error, { code: 'TAKEOVER_IMPOSSIBLE' }, 'force alone is not enough')
  rig.takeover(3, { force: true, acceptDataLoss: true, dryRun: true })
  t.match(rig.answers.get(3)?.result, { possible: true })
  rig.takeover(4, { force: true, acceptDataLoss: true })
  t.same(rig.done, ['keep pollux 4', 'open forced ring 5'])
  rig.ownership.opened(rig.nowMs)
  rig.settle()
  t.match(rig.answers.get(4)?.result, { owner: 'castor', epoch: 5, how: 'forced' })
  t.match(rig.arbiter.record?.forced, [{ node: 'castor', reason: 'castor burnt' }])
})

t.test('nobody is taken over while alive, not even by force', async (t) => {
  const rig = new Rig(byPollux)
  rig.arbiter.isHolderGone = false
  rig.start()
  rig.takeover(1, { force: true, acceptDataLoss: true })
  t.match(rig.answers.get(1)?.error, { message: /may be live for 1100 ms more/ })
  rig.ownership.linkUp(rig.nowMs, { ...keeperFacts, state: 'owner' })
  rig.settle()
  rig.takeover(2, { force: true, acceptDataLoss: true })
  t.match(rig.answers.get(2)?.error, { message: /pollux is alive and owns a: ask it to hand over/ })
})

t.test(
  'by command a takeover needs no precedence for the owner; when manual, it needs the command',
  async (t) => {
    const rig = new Rig(byPollux, { takeover: 'manual' }).start()
    rig.pass(5000)
    t.match(rig.ownership, { state: 'keeper', reason: /takes over only by command/ })
    rig.takeover(1)
    t.same(rig.done, ['keep pollux 4', 'open takeover ring 5'])
  },
)

t.test('an owner hands over: quiesced, clean, in sync, and its lease given up', async (t) => {
  const rig = new Rig(alone).serveMirrored()
  rig.ownership.handover(rig.nowMs, 1, { dryRun: true })
  t.same(rig.answers.get(1)?.result, { possible: true, because: '' })
  rig.ownership.handover(rig.nowMs, 2, { dryRun: false })
  t.same(rig.done, ['quiesce'])
  t.equal(rig.ownership.serves, false)
  t.equal(rig.ownership.mirrorRequired, true, 'requests in flight still end mirrored')
  rig.pass(1500)
  rig.ownership.quiesced(rig.nowMs)
  rig.settle()
  t.same(rig.done, ['quiesce', 'handover pollux', 'drop', 'keep pollux 5'])
  t.match(rig.arbiter.record, { owner: 'pollux', epoch: 5, lease: null, clean: true, log: 'in-sync' })
  t.match(rig.answers.get(2)?.result, { owner: 'pollux' })
})

t.test('a handover whose outcome is not known ends in exactly one owner', async (t) => {
  for (const how of ['lost', 'unreachable'] as const) {
    const rig = new Rig(alone).serveMirrored()
    rig.ownership.handover(rig.nowMs, 2, { dryRun: false })
    rig.ownership.quiesced(rig.nowMs)
    rig.answerOne(how)
    t.match(rig.ownership, { state: 'handing', serves: false })
    rig.pass(200)
    t.equal(rig.ownership.state, 'keeper', how)
    t.match(rig.arbiter.record, { owner: 'pollux', lease: null })
  }
})

t.test('who was handed the ownership takes it at once', async (t) => {
  const rig = new Rig(byPollux)
  rig.arbiter.isHolderGone = false
  rig.start()
  rig.arbiter.change({ owner: 'castor', lease: null, clean: true })
  rig.ownership.handedOver(rig.nowMs)
  rig.settle()
  t.same(rig.done, ['keep pollux 4', 'open handover ring 5'])
})

t.test('a handover that cannot be is refused with what is missing', async (t) => {
  const solo = new Rig(alone).serveAlone()
  solo.ownership.handover(solo.nowMs, 1, { dryRun: false })
  t.match(solo.answers.get(1)?.error, { code: 'GIVEBACK_IMPOSSIBLE', message: /the link to pollux is down/ })
  solo.ownership.linkUp(solo.nowMs, keeperFacts)
  solo.ownership.handover(solo.nowMs, 2, { dryRun: true })
  t.match(solo.answers.get(2)?.result, { possible: false, because: /still catching up/ })
  const keeper = new Rig(byPollux).start()
  keeper.ownership.handover(keeper.nowMs, 3, { dryRun: false })
  t.match(keeper.answers.get(3)?.error, { message: /pollux owns it/ })
})

t.test('a handover that fails on the way is taken back, and requests are served again', async (t) => {
  const rig = new Rig(alone).serveMirrored()
  rig.ownership.handover(rig.nowMs, 1, { dryRun: false })
  rig.ownership.quiesceFailed(rig.nowMs, 'a disk failed')
  t.match(rig.ownership, { state: 'serving-mirrored' })
  t.match(rig.answers.get(1)?.error, { message: /nothing was handed over: a disk failed/ })
  rig.ownership.handover(rig.nowMs, 2, { dryRun: false })
  rig.ownership.linkDown(rig.nowMs)
  t.same(rig.done, ['quiesce', 'serve', 'quiesce', 'serve'])
  t.match(rig.answers.get(2)?.error, { code: 'GIVEBACK_IMPOSSIBLE' })
  rig.settle()
  rig.ownership.quiesced(rig.nowMs)
  t.equal(rig.ownership.state, 'serving-solo', 'an answer that comes too late changes nothing')
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

t.test(
  'a mirrored owner that stops hands over; one whose pair stops, or that is alone, ends clean',
  async (t) => {
    const giving = new Rig(alone).serveMirrored()
    giving.ownership.stop(giving.nowMs)
    giving.ownership.quiesced(giving.nowMs)
    giving.settle()
    t.same(giving.done, ['quiesce', 'handover pollux', 'drop', 'keep pollux 5', 'drop'])
    t.equal(giving.ownership.state, 'stopped')
    for (const rig of [new Rig(alone).serveMirrored(), new Rig(alone).serveAlone()]) {
      rig.done.length = 0
      rig.ownership.stop(rig.nowMs, { pair: true })
      rig.ownership.quiesced(rig.nowMs)
      rig.settle()
      t.same(rig.done, ['quiesce', 'drop'])
      t.match(rig.arbiter.record, { owner: 'castor', lease: null, clean: true })
      t.equal(rig.ownership.state, 'stopped')
    }
  },
)

t.test('a stop that cannot be clean gives up the lease and claims nothing', async (t) => {
  const rig = new Rig(alone).serveAlone()
  rig.ownership.stop(rig.nowMs)
  rig.ownership.quiesceFailed(rig.nowMs, 'a disk failed')
  rig.settle()
  t.match(rig.arbiter.record, { lease: null, clean: false })
  t.equal(rig.ownership.state, 'stopped')
  const early = new Rig(mirrored).start()
  early.ownership.stop(early.nowMs)
  early.settle()
  t.same(early.done, ['open restart ring 5', 'drop'])
  t.match(early.arbiter.record, { lease: null, clean: false, log: 'in-sync' })
})

t.test('a stop ends without the arbiter, too', async (t) => {
  const rig = new Rig(alone).serveAlone()
  rig.ownership.stop(rig.nowMs)
  rig.ownership.quiesced(rig.nowMs)
  rig.pass(1100, 'unreachable')
  t.equal(rig.ownership.state, 'stopped')
  const keeper = new Rig(byPollux).start()
  keeper.ownership.stop(keeper.nowMs)
  t.same(keeper.done, ['keep pollux 4', 'drop'])
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
