import t from 'tap'
import { goodLog, keeperFacts, mirrored, Rig } from './rig.ts'

const two = { ...mirrored, plex0: 'in-sync', plex1: 'in-sync' } as const
const serving = (): Rig => new Rig(two, { plexCount: 2 }).serveMirrored()
const openAnew = (rig: Rig): boolean => rig.ownership.openAnew(rig.nowMs)

t.test('an owner hands over to itself, with everything on the disks', async (t) => {
  const rig = serving()
  const { epoch } = rig.ownership
  openAnew(rig)
  t.match(rig.ownership, { state: 'giving', serves: false, reason: 'it is handed over to castor' })
  t.same(rig.done, ['quiesce'])
  rig.settle()
  rig.ownership.quiesced(rig.nowMs)
  rig.answerOne('well')
  t.match(rig.arbiter.record, { owner: 'castor', epoch, lease: null, clean: true, log: 'in-sync' })
  rig.settle()
  t.same(rig.done, ['quiesce', 'drop', `keep castor ${epoch}`, `open handover ring ${epoch + 1}`])
})

/** The image is open once more. */
function reopened(): Rig {
  const rig = serving()
  openAnew(rig)
  rig.settle()
  rig.ownership.quiesced(rig.nowMs)
  rig.settle()
  rig.ownership.linkDown(rig.nowMs)
  rig.ownership.opened(rig.nowMs)
  rig.settle()
  return rig
}

t.test('it serves again with both copies of the log', async (t) => {
  const rig = reopened()
  rig.pass(100)
  t.match(rig.ownership, { state: 'announcing', serves: false }, 'it waits for the partner')
  rig.ownership.linkUp(rig.nowMs, keeperFacts)
  t.ok(rig.ownership.mayFillPartner(rig.nowMs))
  rig.ownership.partnerComplete(rig.nowMs, 'ring-p')
  rig.settle()
  t.match(rig.ownership, { state: 'serving-mirrored', serves: true })
  t.match(rig.arbiter.record, { log: 'in-sync', clean: false })
})

t.test('a partner that does not come back in time is not waited for', async (t) => {
  const rig = reopened()
  rig.pass(1100)
  t.match(rig.ownership, { state: 'serving-solo', serves: true })
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
})

t.test('it is not done while a plex is stale, or about to be', async (t) => {
  const rig = serving()
  const say = (word: 'in-sync' | 'stale'): void => {
    rig.ownership.plexesAre(rig.nowMs, ['in-sync', word])
    rig.ownership.tick(rig.nowMs)
  }
  say('stale')
  openAnew(rig)
  t.match(rig.ownership, { state: 'serving-mirrored', serves: true }, 'the swap is under way')
  rig.settle()
  openAnew(rig)
  t.match(rig.ownership, { state: 'serving-mirrored', serves: true }, 'the record calls it stale')
  say('in-sync')
  rig.settle()
  openAnew(rig)
  t.equal(rig.ownership.state, 'giving')
})

t.test('what cannot be finished is taken back', async (t) => {
  const rig = serving()
  openAnew(rig)
  rig.ownership.quiesceFailed(rig.nowMs, 'a consistency point did not end in time')
  rig.settle()
  t.match(rig.ownership, { state: 'serving-mirrored', serves: true })
  openAnew(rig)
  rig.ownership.linkDown(rig.nowMs)
  rig.settle()
  t.match(rig.ownership, { state: 'serving-solo', serves: true })
})

t.test('one that was told to stop meanwhile hands over to the partner', async (t) => {
  const rig = serving()
  openAnew(rig)
  rig.settle()
  rig.ownership.stop(rig.nowMs)
  rig.ownership.quiesced(rig.nowMs)
  rig.settle()
  t.equal(rig.ownership.state, 'stopped')
  t.match(rig.arbiter.record, { owner: 'pollux', lease: null, clean: true })
  t.ok(rig.done.includes('handover pollux and leaves'))
})

t.test('with the whole pair it stops as owner, and everything is on the disks', async (t) => {
  const rig = serving()
  openAnew(rig)
  rig.settle()
  rig.ownership.stop(rig.nowMs, { pair: true })
  rig.ownership.quiesced(rig.nowMs)
  rig.settle()
  t.equal(rig.ownership.state, 'stopped')
  t.match(rig.arbiter.record, { owner: 'castor', lease: null, clean: true })
})

t.test(
  'one that was told to stop when a plex is lost does not give it to a partner that has none',
  async (t) => {
    const rig = serving()
    openAnew(rig)
    rig.ownership.plexesAre(rig.nowMs, ['in-sync', 'stale'])
    rig.settle()
    rig.ownership.stop(rig.nowMs)
    rig.ownership.quiesced(rig.nowMs)
    rig.settle()
    t.match(rig.ownership, { state: 'stopping' })
    rig.ownership.quiesced(rig.nowMs)
    rig.settle()
    t.equal(rig.ownership.state, 'stopped')
    t.match(rig.arbiter.record, { owner: 'castor', lease: null, clean: true, plex1: 'stale' })
  },
)

t.test('a plex that is lost meanwhile calls it off', async (t) => {
  const rig = serving()
  t.ok(openAnew(rig))
  rig.ownership.plexesAre(rig.nowMs, ['in-sync', 'stale'])
  rig.settle()
  rig.ownership.quiesced(rig.nowMs)
  rig.settle()
  t.match(rig.ownership, { state: 'serving-mirrored', serves: true })
  t.same(rig.done, ['quiesce', 'serve'])
})

t.test('an arbiter that does not answer does not leave it without an end', async (t) => {
  const rig = serving()
  const { epoch } = rig.ownership
  openAnew(rig)
  rig.settle()
  rig.ownership.quiesced(rig.nowMs)
  rig.pass(1100, 'unreachable')
  t.equal(rig.ownership.state, 'fenced')
  rig.ownership.rejoin(rig.nowMs, goodLog)
  rig.pass(3000)
  t.match(rig.done.at(-1), new RegExp(`^open (handover|restart) ring ${epoch + 1}`))
})
