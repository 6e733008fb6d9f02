import t from 'tap'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import { goodLog, keeperFacts, leaseOf, lostLog, mirrored, Rig } from './rig.ts'

const twoPlexes: OwnerRecord = { ...mirrored, plex1: 'in-sync' }

const rigOf = (record: OwnerRecord | undefined, more: ConstructorParameters<typeof Rig>[1] = {}): Rig =>
  new Rig(record, { plexCount: 2, ...more })

function lose(rig: Rig, plex = 1): void {
  rig.ownership.plexesAre(rig.nowMs, plex === 0 ? ['stale', 'in-sync'] : ['in-sync', 'stale'])
  rig.ownership.tick(rig.nowMs)
}

function regain(rig: Rig): void {
  rig.ownership.plexesAre(rig.nowMs, ['in-sync', 'in-sync'])
  rig.ownership.tick(rig.nowMs)
}

t.test('two plexes that were formatted together are both in sync in the first record', async (t) => {
  const rig = rigOf(undefined).start({ ...goodLog, epoch: 0 })
  t.match(rig.arbiter.record, { plex0: 'in-sync', plex1: 'in-sync' })
  const forced = rigOf(undefined, { diskEpoch: () => 7 }).start(lostLog)
  forced.takeover(1, { force: true, acceptDataLoss: true })
  t.match(forced.arbiter.record, { epoch: 8, plex0: 'in-sync', plex1: 'in-sync' }, 'also by force')
})

t.test('a plex that is missed is called stale in whatever an owner does', async (t) => {
  const courses: [string, Rig][] = [
    ['opening', rigOf(twoPlexes).start()],
    ['serving-solo', rigOf(twoPlexes).serveAlone()],
    ['serving-mirrored', rigOf(twoPlexes).serveMirrored()],
  ]
  for (const [state, rig] of courses) {
    const log = rig.arbiter.record?.log
    lose(rig)
    t.equal(rig.ownership.isPlexStale(1), false, 'not before the arbiter has said so')
    rig.settle()
    t.match(rig.ownership, { state })
    t.match(rig.arbiter.record, { plex0: 'in-sync', plex1: 'stale', log }, state)
    t.same([rig.ownership.isPlexStale(0), rig.ownership.isPlexStale(1)], [false, true])
  }
})

t.test('so is plex 0', async (t) => {
  const rig = rigOf(twoPlexes).serveAlone()
  lose(rig, 0)
  rig.settle()
  t.match(rig.arbiter.record, { plex0: 'stale', plex1: 'in-sync' })
  t.same([rig.ownership.isPlexStale(0), rig.ownership.isPlexStale(1)], [true, false])
})

t.test('what an owner announces and what it says of its plexes is one swap', async (t) => {
  const rig = rigOf(twoPlexes).start()
  rig.ownership.opened(rig.nowMs)
  rig.answerOne('unreachable')
  t.equal(rig.ownership.state, 'announcing')
  lose(rig)
  const { version } = rig.arbiter.record!
  rig.pass(100)
  t.match(rig.arbiter.record, { version: version + 1, log: 'stale', plex1: 'stale' })
  t.equal(rig.ownership.state, 'serving-solo')
})

t.test('so is a log that comes in sync together with a plex', async (t) => {
  const rig = rigOf({ ...twoPlexes, plex1: 'stale' }).serveAlone()
  rig.ownership.linkUp(rig.nowMs, keeperFacts)
  regain(rig)
  rig.answerOne('unreachable')
  rig.ownership.partnerComplete(rig.nowMs, 'ring-p')
  const { version } = rig.arbiter.record!
  rig.pass(100)
  t.match(rig.arbiter.record, { version: version + 1, log: 'in-sync', plex1: 'in-sync' })
  t.equal(rig.ownership.state, 'serving-mirrored')
})

t.test('a swap for the plexes alone renews the lease, and renewals repeat the words', async (t) => {
  const rig = rigOf(twoPlexes).serveAlone()
  rig.pass(200)
  const { fenceAtMs } = rig.ownership
  lose(rig)
  rig.settle()
  t.ok(rig.ownership.fenceAtMs > fenceAtMs)
  const { version } = rig.arbiter.record!
  rig.pass(1000)
  t.ok(rig.arbiter.record!.version > version + 2)
  t.equal(rig.arbiter.record?.plex1, 'stale')
})

t.test('a plex is not stale while the swap that says so is in doubt', async (t) => {
  const rig = rigOf(twoPlexes).serveAlone()
  lose(rig)
  rig.answerOne('lost')
  t.equal(rig.arbiter.record?.plex1, 'stale', 'it was applied')
  t.equal(rig.ownership.isPlexStale(1), false, 'but nobody has heard of it')
  rig.pass(300, 'unreachable')
  t.equal(rig.ownership.isPlexStale(1), false)
  rig.pass(30)
  t.equal(rig.ownership.isPlexStale(1), true, 'a higher version was seen')
})

t.test('a plex that may have been called in sync is missed only after the arbiter has heard', async (t) => {
  const rig = rigOf({ ...twoPlexes, plex1: 'stale' }).serveAlone()
  t.equal(rig.ownership.isPlexStale(1), true)
  regain(rig)
  t.equal(rig.ownership.isPlexStale(1), false, 'from the word on')
  const late = rig.arbiter.asked.shift()!
  rig.pass(530, 'silent')
  lose(rig)
  rig.answerOne('well')
  t.equal(rig.ownership.isPlexStale(1), false, 'the old version was read: that is no proof')
  rig.settle()
  t.equal(rig.ownership.isPlexStale(1), true)
  late.answer('well')
  t.equal(rig.arbiter.record?.plex1, 'stale', 'the old swap comes too late')
})

t.test('a word that was taken back before it was sent has no effect', async (t) => {
  const rig = rigOf({ ...twoPlexes, plex1: 'stale' }).serveAlone()
  rig.pass(rig.ownership.nextWakeMs - rig.nowMs, 'silent')
  t.equal(rig.arbiter.asked.length, 1, 'a renewal is under way')
  regain(rig)
  lose(rig)
  t.equal(rig.ownership.isPlexStale(1), true)
  rig.settle()
  t.equal(rig.arbiter.record?.plex1, 'stale')
})

t.test('a partner that takes over keeps what the record says of the plexes', async (t) => {
  const given: OwnerRecord = { ...twoPlexes, plex0: 'stale', owner: 'pollux', lease: null }
  const rig = rigOf(given).start()
  rig.pass(600)
  t.same(rig.done, ['keep pollux 4', 'open takeover ring 5'])
  t.match(rig.arbiter.record, { owner: 'castor', plex0: 'stale', plex1: 'in-sync' })
  t.equal(rig.ownership.isPlexStale(0), true)
})

t.test('an owner hands over with what it says of its plexes', async (t) => {
  const rig = rigOf(twoPlexes).serveMirrored()
  lose(rig)
  rig.settle()
  rig.ownership.handover(rig.nowMs, 1, { dryRun: false })
  t.equal(rig.ownership.isPlexStale(1), true, 'its last consistency point may count without it')
  rig.ownership.quiesced(rig.nowMs)
  t.equal(rig.ownership.isPlexStale(1), false, 'whoever owns it next decides anew')
  rig.settle()
  t.match(rig.arbiter.record, { owner: 'pollux', plex0: 'in-sync', plex1: 'stale' })
})

t.test('words end with the ownership that they were said in', async (t) => {
  const rig = rigOf(twoPlexes).serveAlone()
  lose(rig)
  rig.settle()
  rig.arbiter.change({ owner: 'pollux', epoch: 6, plex1: 'in-sync', lease: leaseOf('pollux', 'boot-p') })
  rig.pass(260)
  t.equal(rig.ownership.state, 'fenced')
  lose(rig)
  rig.ownership.rejoin(rig.nowMs, { ...goodLog, epoch: 5 })
  rig.arbiter.change({ owner: 'castor', lease: null, clean: true })
  rig.pass(2000)
  t.match(rig.arbiter.record, { owner: 'castor', epoch: 7, plex1: 'in-sync' }, 'not even by a renewal')
  lose(rig)
  rig.settle()
  t.match(rig.arbiter.record, { epoch: 7, plex1: 'stale' })
})

t.test('a mirror that is added is stale at first, then in sync', async (t) => {
  const rig = rigOf(mirrored).serveAlone()
  t.match([rig.arbiter.record?.plex1, rig.ownership.isPlexStale(1)], ['absent', true])
  lose(rig)
  rig.settle()
  t.match([rig.arbiter.record?.plex1, rig.ownership.isPlexStale(1)], ['stale', true])
  regain(rig)
  rig.settle()
  t.match([rig.arbiter.record?.plex1, rig.ownership.isPlexStale(1)], ['in-sync', false])
})

t.test('an owner of one plex leaves the other one absent', async (t) => {
  const rig = rigOf(mirrored, { plexCount: 1 }).serveAlone()
  rig.ownership.plexesAre(rig.nowMs, ['in-sync'])
  t.equal(rig.arbiter.asked.length, 0)
  rig.pass(600)
  t.match(rig.arbiter.record, { plex0: 'in-sync', plex1: 'absent' })
})

t.test('words that have not changed ask for nothing', async (t) => {
  const rig = rigOf(twoPlexes).serveAlone()
  for (let turn = 0; turn < 10; turn += 1) regain(rig)
  t.equal(rig.arbiter.asked.length, 0, 'the record says so already')
  for (let turn = 0; turn < 10; turn += 1) lose(rig)
  t.equal(rig.arbiter.asked.length, 1)
})

t.test('calling every plex stale is a mistake of the engine', async (t) => {
  const rig = rigOf(twoPlexes).serveAlone()
  t.throws(() => rig.ownership.plexesAre(rig.nowMs, ['stale', 'stale']), /never calls every plex stale/)
  t.throws(() => rig.ownership.plexesAre(rig.nowMs, ['in-sync']), /each plex has its word/)
})

t.test('a record that calls no plex in sync is not opened, not even by force', async (t) => {
  const rig = rigOf({ ...twoPlexes, plex0: 'stale', plex1: 'stale' }).start()
  rig.takeover(1, { force: true, acceptDataLoss: true })
  t.match(rig.answers.get(1)?.error, { code: 'TAKEOVER_IMPOSSIBLE', message: /calls no plex of a in sync/ })
  t.match(rig.ownership, { state: 'waiting', reason: /restore the arbiter's data/ })
  t.same(rig.done, [])
})
