import t from 'tap'
import { readSuperblocks, type SuperblockValues } from '../../../ts/disk/superblock.ts'
import { PLEX_FILLING, PLEX_IN_SYNC, PLEX_STALE } from '../../../ts/format/superblock.ts'
import { baseOf, Copies, Copy, type CopyState, NO_BASE } from '../../../ts/plex/copies.ts'
import { MemoryWorld } from '../../support/memory-world.ts'
import { answers, copiesOf, makePlexes } from '../../support/mirror-world.ts'

const base = { epoch: 3, generation: 9 }

function setting(states?: readonly CopyState[]) {
  const world = new MemoryWorld()
  const plexes = makePlexes(world)
  return { world, plexes, ...copiesOf(world, plexes, states, base) }
}

/** A superblock with these words, as it would have become durable. */
function superblock(words: Partial<SuperblockValues>): SuperblockValues {
  const { world, first } = setting()
  const { newest } = world.run(readSuperblocks(first.disks, 0, world.memory))
  return { ...newest!, ...words }
}

t.test('a plex that fails is left out, and told of once', async (t) => {
  const { copies, first, second } = setting()
  const missing: Copy[] = []
  copies.onMissing = (copy) => missing.push(copy)
  copies.failed(first, 'its cable is gone')
  copies.failed(first, 'it failed again')
  t.match(first, { state: 'missing', because: 'its cable is gone', base })
  t.same([copies.reading, copies.writing], [[second], [second]])
  t.same(missing, [first])
  t.same(copies.disks, second.disks)
})

t.test('the plex of this host is read first, whichever number it has', async (t) => {
  const { copies, first, second } = setting()
  t.same(copies.reading, [first, second])
  copies.setRemote(0)
  t.same(copies.reading, [second, first])
  t.notOk(copies.isRemoteOnly)
  copies.failed(second, 'its cable is gone')
  t.same(copies.reading, [first])
  t.ok(copies.isRemoteOnly, 'nothing here has everything')
})

t.test('the last plex in sync stays, whatever fails', async (t) => {
  const { copies, first, second } = setting()
  copies.failed(second, 'it is gone')
  t.ok(copies.isLast(first))
  copies.failed(first, 'a write failed')
  t.match(first, { state: 'in-sync', because: '' })
  t.same(copies.reading, [first])
})

t.test(
  'a plex that is being filled is written and not read, and is no reason to give up another',
  async (t) => {
    const { copies, first, second } = setting(['in-sync', 'filling'])
    t.same([copies.reading, copies.writing], [[first], [first, second]])
    copies.failed(first, 'a write failed')
    t.equal(first.state, 'in-sync')
    copies.failed(second, 'a write failed')
    t.equal(second.state, 'missing')
  },
)

t.test('there is no aggregate without a plex in sync', async (t) => {
  const { copies, first, second } = setting()
  copies.setState(second, 'missing')
  t.throws(() => copies.setState(first, 'missing'))
  t.throws(() => new Copies([new Copy(0, 'missing', [])]))
  t.throws(() => new Copy(0, 'filling', []), 'nor one that is used and not open')
})

t.test('a flush counts at once while all plexes are in sync', async (t) => {
  const { copies } = setting()
  const done = answers()
  copies.flushed(done, 0)
  t.same(done.results, [0])
})

for (const state of ['missing', 'filling'] as const) {
  t.test(`a flush is held until the record calls the plex stale that is ${state}`, async (t) => {
    const { copies, first } = setting([state, 'in-sync'])
    const stale = new Set<number>()
    copies.isRecordedStale = (plex) => stale.has(plex)
    const [one, two] = [answers(), answers()]
    copies.flushed(one, 0)
    copies.step()
    stale.add(1)
    copies.step()
    t.same(one.results, [], 'what the record says of the other plex is not enough')
    t.notOk(copies.isSettled)
    stale.add(first.plex)
    t.same(one.results, [], 'it comes in a step of the turn')
    copies.step()
    copies.step()
    t.same(one.results, [0])
    copies.flushed(two, 0)
    t.same(two.results, [0], 'from then on they count at once')
  })
}

t.test(
  'a flush that is held when the ownership ends is refused, and so are those that come later',
  async (t) => {
    const { copies, second } = setting()
    const [held, later, good] = [answers(), answers(), answers()]
    copies.failed(second, 'it is gone')
    copies.flushed(held, 0)
    copies.close()
    t.same(held.results, [-5])
    copies.flushed(later, 0)
    t.same(later.results, [-5])
    copies.isRecordedStale = () => true
    copies.step()
    t.same([held.results, later.results], [[-5], [-5]], 'each is answered once')
    copies.flushed(good, 0)
    t.same(good.results, [0], 'what is recorded counts, whoever owns it')
  },
)

t.test('a superblock says what a plex is, and since when', async (t) => {
  const none = { base0Epoch: 0, base0Generation: 0, base1Epoch: 0, base1Generation: 0 }
  const of1 = { ...none, base1Epoch: 3, base1Generation: 9 }
  const expected: [CopyState[], object][] = [
    [['in-sync', 'in-sync'], { plex0: PLEX_IN_SYNC, plex1: PLEX_IN_SYNC, ...none }],
    [['in-sync', 'missing'], { plex0: PLEX_IN_SYNC, plex1: PLEX_STALE, ...of1 }],
    [['in-sync', 'filling'], { plex0: PLEX_IN_SYNC, plex1: PLEX_FILLING, ...of1 }],
    [
      ['missing', 'in-sync'],
      { plex0: PLEX_STALE, plex1: PLEX_IN_SYNC, ...none, base0Epoch: 3, base0Generation: 9 },
    ],
  ]
  for (const [states, words] of expected) t.same(setting(states).copies.words(10), words, states.join())
})

t.test('an aggregate without a mirror knows nothing of a second plex', async (t) => {
  const { first } = setting()
  const copies = new Copies([first])
  t.notOk(copies.isMirrored)
  t.match(copies.words(10), { plex0: PLEX_IN_SYNC, plex1: PLEX_STALE, base1Generation: 0 })
})

t.test('the consistency point after the last copy makes a plex whole, and no other one does', async (t) => {
  const { copies, second } = setting(['in-sync', 'filling'])
  t.equal(copies.begin(10), false, 'not everything has been copied yet')
  t.equal(copies.words(10).plex1, PLEX_FILLING)
  second.isCopied = true
  t.equal(copies.words(10).plex1, PLEX_FILLING, 'this one had begun before')
  t.equal(copies.begin(11), true)
  t.equal(copies.words(11).plex1, PLEX_IN_SYNC)
  t.equal(second.isWhole, false, 'nothing of it is durable yet')
  copies.published(superblock({ epoch: 4, generation: 11, plex1: PLEX_IN_SYNC }))
  t.match(second, { state: 'filling', isWhole: true, base: { epoch: 4, generation: 11 } })
  t.equal(copies.words(12).plex1, PLEX_IN_SYNC, 'the ones that follow are all there, too')
  t.equal(copies.begin(12), false, 'the free map is written as a whole once')
})

t.test('one that fails meanwhile is not made whole', async (t) => {
  const { copies, second } = setting(['in-sync', 'filling'])
  second.isCopied = true
  copies.begin(11)
  copies.failed(second, 'a write failed')
  t.match(copies.words(11), { plex1: PLEX_STALE, base1Epoch: 3, base1Generation: 9 })
  copies.published(superblock({ epoch: 4, generation: 11, plex1: PLEX_STALE }))
  t.match(second, { state: 'missing', isWhole: false, isCopied: false, base })
  copies.setState(second, 'filling')
  t.equal(copies.begin(12), false, 'it is copied anew')
  t.equal(copies.words(12).plex1, PLEX_FILLING)
})

t.test('a generation that calls a plex in sync is its base from then on', async (t) => {
  const { copies, first, second } = setting()
  copies.published(superblock({ epoch: 4, generation: 10 }))
  t.match([first, second], [{ base: { epoch: 4, generation: 10 } }, { base: { epoch: 4, generation: 10 } }])
  copies.failed(second, 'it is gone')
  copies.published(superblock({ epoch: 4, generation: 11, plex1: PLEX_STALE }))
  t.same(second.base, { epoch: 4, generation: 10 })
  t.same(first.base, { epoch: 4, generation: 11 })
})

t.test('the base of a plex is read from the superblock of another one', async (t) => {
  const words = { base0Epoch: 1, base0Generation: 5, base1Epoch: 2, base1Generation: 6 }
  const at = { epoch: 4, generation: 11, ...words }
  t.same(baseOf(superblock(at), 1), { epoch: 4, generation: 11 })
  t.same(baseOf(superblock({ ...at, plex1: PLEX_STALE }), 1), { epoch: 2, generation: 6 })
  t.same(baseOf(superblock({ ...at, plex0: PLEX_FILLING }), 0), { epoch: 1, generation: 5 })
  t.same(baseOf(superblock({ ...at, base1Epoch: 0, base1Generation: 0, plex1: PLEX_STALE }), 1), NO_BASE)
})

t.test('only what fails on a plex in sync holds everything up', async (t) => {
  const { world, plexes, copies, first, second } = setting(['in-sync', 'filling'])
  for (const [index, { disks }] of [first, second].entries()) {
    plexes[index]![0]!.failFlush = () => true
    disks[0]!.disk.flush(answers())
    world.settle()
    if (index === 0) t.match(copies.failure, /disk0: flush/)
    disks[0]!.disk.readmit()
  }
  second.disks[0]!.disk.flush(answers())
  world.settle()
  t.ok(second.disks[0]!.disk.failure)
  t.equal(copies.failure, undefined)
})
