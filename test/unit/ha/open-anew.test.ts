import t from 'tap'
import { goodLog, keeperFacts, mirrored, Rig } from './rig.ts'

const because = 'disks were added'
const two = { ...mirrored, plex0: 'in-sync', plex1: 'in-sync' } as const
const serving = (record = two): Rig => new Rig(record, { plexCount: 2 }).serveMirrored()
const openAnew = (rig: Rig): void => rig.ownership.openAnew(rig.nowMs, goodLog, because)

t.test('an owner gives its lease up and claims again, with its log', async (t) => {
  const rig = serving()
  const { epoch } = rig.ownership
  openAnew(rig)
  t.match(rig.ownership, { state: 'withdrawing', serves: false, reason: because })
  t.same(rig.done, ['drop'], 'nothing is answered from here on')
  rig.answerOne('well')
  t.match(rig.arbiter.record, { owner: 'castor', epoch, lease: null, log: 'in-sync' })
  rig.settle()
  t.same(rig.done, ['drop', `open restart ring ${epoch + 1}`])
  rig.ownership.opened(rig.nowMs)
  rig.settle()
  t.match(rig.ownership, { state: 'syncing', serves: true, epoch: epoch + 1 })
})

t.test('it is not done while anything is out of sync, and clients are served meanwhile', async (t) => {
  const parted = serving()
  parted.ownership.linkDown(parted.nowMs)
  openAnew(parted)
  parted.settle()
  openAnew(parted)
  t.match(parted.ownership, { state: 'serving-solo', serves: true })
  parted.ownership.linkUp(parted.nowMs, keeperFacts)
  openAnew(parted)
  t.match(parted.ownership, { state: 'syncing', serves: true })

  const stale = serving()
  stale.ownership.plexesAre(stale.nowMs, ['in-sync', 'stale'])
  stale.ownership.tick(stale.nowMs)
  stale.settle()
  openAnew(stale)
  t.match(stale.ownership, { state: 'serving-mirrored', serves: true })
  stale.ownership.plexesAre(stale.nowMs, ['in-sync', 'in-sync'])
  stale.ownership.tick(stale.nowMs)
  stale.settle()
  openAnew(stale)
  t.equal(stale.ownership.state, 'withdrawing')
})

t.test('without a mirror nothing is out of sync', async (t) => {
  const rig = new Rig(mirrored).serveMirrored()
  openAnew(rig)
  t.equal(rig.ownership.state, 'withdrawing')
})

t.test('one that was told to stop meanwhile stops', async (t) => {
  const rig = serving()
  openAnew(rig)
  rig.ownership.stop(rig.nowMs)
  rig.settle()
  t.equal(rig.ownership.state, 'stopped')
})

t.test('an arbiter that does not answer does not leave it without an end', async (t) => {
  const rig = serving()
  const { epoch } = rig.ownership
  openAnew(rig)
  rig.pass(1100, 'unreachable')
  t.match(rig.ownership, { serves: false })
  rig.pass(3000)
  t.equal(rig.done.at(-1), `open restart ring ${epoch + 1}`)
})
