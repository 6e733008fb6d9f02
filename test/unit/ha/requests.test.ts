import t from 'tap'
import { alone, keeperFacts, leaseOf, mirrored, Rig } from './rig.ts'

const byPollux = { ...mirrored, owner: 'pollux', lease: leaseOf('pollux', 'boot-p') }

t.test('a command is judged by a record that was read after it', async (t) => {
  const rig = new Rig(byPollux, { takeover: 'manual' })
  rig.arbiter.isHolderGone = false
  rig.start()
  rig.pass(100)
  rig.arbiter.isHolderGone = true
  rig.takeover(1)
  t.equal(rig.ownership.state, 'opening', 'it has died since the record was read last')
})

t.test('one command at a time; each is answered once', async (t) => {
  const rig = new Rig(byPollux, { takeover: 'manual' }).start()
  rig.takeover(1)
  rig.takeover(2)
  t.match(rig.answers.get(2)?.error, {
    code: 'NOT_READY',
    message: /another takeover or giveback is under way/,
  })
  t.equal(rig.answers.has(1), false, 'not before it serves')
  rig.ownership.opened(rig.nowMs)
  rig.settle()
  t.match(rig.answers.get(1)?.result, { owner: 'castor', epoch: 5, how: 'takeover', log: 'ring' })
  rig.takeover(3)
  t.match(rig.answers.get(3)?.result, { owner: 'castor' }, 'it has it already')
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
  rig.ownership.handedOver(rig.nowMs, 4, true)
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

t.test('a handover waits for a plex in sync that the partner reaches', async (t) => {
  const apart = { plexCount: 2, plexesHere: [0], plexesThere: [1] } as const
  const rig = new Rig({ ...alone, plex1: 'stale' }, apart).serveMirrored()
  const because =
    'castor cannot hand a over to pollux: plex 1 on pollux is stale: changes are missing that the ' +
    'other plex has; try again when it is in sync'
  rig.ownership.handover(rig.nowMs, 1, { dryRun: true })
  t.same(rig.answers.get(1)?.result, { possible: false, because })
  rig.ownership.handover(rig.nowMs, 2, { dryRun: false })
  t.match(rig.answers.get(2)?.error, { code: 'GIVEBACK_IMPOSSIBLE', message: because })
  t.equal(rig.ownership.serves, true)
  rig.ownership.plexesAre(rig.nowMs, ['in-sync', 'in-sync'])
  rig.ownership.handover(rig.nowMs, 3, { dryRun: true })
  t.match(rig.answers.get(3)?.result, { possible: false }, 'not before the record says so')
  rig.settle()
  rig.ownership.handover(rig.nowMs, 4, { dryRun: true })
  t.same(rig.answers.get(4)?.result, { possible: true, because: '' })
})

t.test('with shared disks one plex in sync is enough for a handover', async (t) => {
  const rig = new Rig({ ...alone, plex1: 'stale' }, { plexCount: 2 }).serveMirrored()
  rig.ownership.handover(rig.nowMs, 1, { dryRun: true })
  t.same(rig.answers.get(1)?.result, { possible: true, because: '' })
})

t.test('a keeper whose plex is stale says that it cannot take over', async (t) => {
  const rig = new Rig({ ...byPollux, plex1: 'stale' }, { plexCount: 2, plexesHere: [1], plexesThere: [0] })
  rig.start().pass(5000)
  t.match(rig.ownership.takeoverPossible(), {
    possible: false,
    because: 'plex 1 on castor is stale: changes are missing that the other plex has',
  })
  t.equal(rig.ownership.state, 'keeper')
  rig.arbiter.change({ plex0: 'stale', plex1: 'in-sync' })
  rig.pass(1000)
  t.equal(rig.ownership.state, 'opening', 'it has what counts')
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

t.test(
  'a mirrored owner that stops hands over; one whose pair stops, or that is alone, ends clean',
  async (t) => {
    const giving = new Rig(alone).serveMirrored()
    giving.ownership.stop(giving.nowMs)
    giving.ownership.quiesced(giving.nowMs)
    giving.settle()
    t.same(giving.done, ['quiesce', 'handover pollux and leaves', 'drop', 'keep pollux 5', 'drop'])
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
