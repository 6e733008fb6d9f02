import t from 'tap'
import { StoreError } from '../../../ts/base/errors.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { consistencyPoint } from '../../../ts/consistency-point/consistency-point.ts'
import { PLEX_FILLING, PLEX_IN_SYNC } from '../../../ts/format/superblock.ts'
import { node } from '../../support/image-world.ts'
import { SeededRandom } from '../../support/memory-world.ts'
import { openMirror } from '../../support/mirror-world.ts'
import { copiesOf, Owner } from './returning-owner.ts'

t.test('a plex that was away for a while is in sync again, with what it has missed', async (t) => {
  const owner = new Owner()
  owner.lose(0)
  owner.fill(10, 1002)
  const used = owner.image.space.used * BLOCK_SIZE
  t.ok(owner.returns())
  t.same(owner.differing(), [])
  const { copiedBytes } = owner.returning
  t.ok(copiedBytes > 0 && copiedBytes < used / 2, `${copiedBytes} of ${used} bytes`)
  t.match(owner.copy, { base: { generation: owner.image.generation }, because: '' })
  t.match(owner.superblock, { generation: owner.image.generation, plex1: PLEX_IN_SYNC })
  t.same(owner.kinds, ['plex missing', 'resync', 'plex in sync'])
  t.match(owner.world.events.at(-2)!.text, /plex 1 gets what was born after \d+$/)
})

t.test('blank disks in its place get everything, and can be opened alone', async (t) => {
  const owner = new Owner(2)
  owner.lose()
  owner.replace()
  t.ok(owner.returns())
  t.match(owner.world.events.at(-2)!.text, /plex 1 gets everything$/)
  t.same(owner.differing(), [])
  const gone = new StoreError('DISK_MISSING', 'it is gone')
  const recorded = ['stale', 'in-sync'] as const
  owner.world.events.length = 0
  const alone = openMirror(owner.world, [gone, copiesOf(owner.plexes[1])], { recorded })
  t.notOk(owner.kinds.includes('free map damaged'), 'it has the free map, too')
  t.same(owner.model.differences(owner.world, alone), [])
})

t.test('nothing is written to it before the record calls it stale', async (t) => {
  const owner = new Owner()
  owner.isStale = false
  owner.image.copies.failed(owner.copy, 'its cable is gone')
  t.notOk(owner.turnUntil(() => owner.opened > 0))
  owner.isStale = true
  t.ok(owner.returns())
})

t.test(
  'while it is filled its own superblock says so, and it says so before anything is copied',
  async (t) => {
    const owner = new Owner()
    owner.lose()
    const { base } = owner.copy
    t.ok(owner.turnUntil(() => owner.copy.state === 'filling'))
    t.match(owner.superblock, {
      generation: owner.image.generation,
      plex0: PLEX_IN_SYNC,
      plex1: PLEX_FILLING,
      base1Epoch: base.epoch,
      base1Generation: base.generation,
    })
    owner.change(5)
    t.match(owner.superblock, { generation: owner.image.generation, plex1: PLEX_FILLING })
    t.match(owner.image.superblock, { base1Generation: base.generation }, 'and so does that of the other one')
    t.match(owner.returning.progressOf(owner.copy), { copiedBytes: Number, restBytesMax: Number })
    t.equal(owner.returning.progressOf(owner.image.copies.all[0]!), undefined)
    t.ok(owner.returns())
    t.equal(owner.returning.progressOf(owner.copy), undefined)
  },
)

t.test('a resync keeps to the rate that it begins with', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.replace()
  const { clock } = owner.world
  owner.turnUntil(() => owner.copy.state === 'filling')
  const startedMs = clock.now()
  t.ok(owner.returns())
  const tookMs = clock.now() - startedMs
  const leastMs = (owner.returning.copiedBytes / (64 * MIB)) * 1000 - 2
  t.ok(tookMs > leastMs, `${tookMs} ms for ${owner.returning.copiedBytes} bytes`)
})

t.test('it begins between two consistency points', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.consistency.isRunning = true
  t.notOk(
    owner.turnUntil(() => owner.copy.state === 'filling'),
    'the one under way has begun without it',
  )
  owner.consistency.isRunning = false
  t.ok(owner.returns())
})

t.test('a consistency point that is under way when all is copied does not make it whole', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.replace()
  t.ok(owner.turnUntil(() => owner.returning.copiedBytes > 0))
  // it is tried again, and has a volume that was deleted meanwhile: the resync has passed that over
  owner.consistency.isRunning = true
  owner.turnUntil(() => owner.copy.isCopied)
  t.notOk(owner.copy.isCopied)
  owner.consistency.isRunning = false
  t.ok(owner.returns())
})

t.test('one that is about to hand over is not woken for a plex that is missing', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.isGone = true
  owner.turnUntil(() => owner.returning.nextWakeMs() < Number.POSITIVE_INFINITY)
  owner.returning.isQuiet = true
  t.equal(owner.returning.nextWakeMs(), Number.POSITIVE_INFINITY)
})

t.test('one that is about to hand over does not wait for a scrub, which does not go on then', async (t) => {
  const owner = new Owner()
  owner.lose(0)
  owner.image.copies.readers = 1
  t.notOk(owner.turnUntil(() => owner.opened > 0))
  t.ok(owner.returning.isRunning)
  owner.returning.isQuiet = true
  t.ok(owner.turnUntil(() => !owner.returning.isRunning))
})

t.test('the vault gets its marks when all else is there, and only then is the plex in sync', async (t) => {
  const owner = new Owner()
  owner.lose()
  t.ok(owner.returns())
  t.equal(owner.vault.refreshed, 1)
  t.equal(owner.stateAtRefresh, 'filling, whole')
})

t.test('a vault that cannot be written there leaves it missing', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.vault.answer = -5
  t.ok(owner.turnUntil(() => owner.kinds.includes('plex still missing')))
  t.equal(owner.copy.state, 'missing')
  owner.vault.answer = 0
  t.ok(owner.returns())
})

t.test('a disk that is not there is asked for again, and less and less often', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.isGone = true
  owner.turnUntil(() => false, 5000)
  const tries = owner.kinds.filter((kind) => kind === 'plex still missing').length
  t.ok(tries >= 3 && tries <= 5, `${tries} times in 5 seconds`)
  t.match(owner.copy, { state: 'missing', because: '/dev/mirror0 is not there' })
  t.ok(owner.returning.nextWakeMs() > owner.world.clock.now())
  owner.isGone = false
  t.ok(owner.turnUntil(() => owner.copy.state === 'in-sync', 12_000))
})

t.test('a plex that fails while it is filled comes back later, from the same base on', async (t) => {
  const owner = new Owner()
  owner.lose()
  const { base } = owner.copy
  owner.turnUntil(() => owner.copy.state === 'filling' && owner.returning.copiedBytes > 0)
  owner.mirror.failWrite = () => true
  t.ok(owner.turnUntil(() => owner.copy.state === 'missing'))
  t.same(owner.copy.base, base)
  t.match(owner.superblock, { plex1: PLEX_FILLING, base1Generation: base.generation })
  owner.mirror.failWrite = () => false
  t.ok(owner.turnUntil(() => owner.copy.state === 'in-sync', 5000))
  t.same(owner.differing(), [])
})

t.test('a disk of another branch is refused, and not written to', async (t) => {
  const owner = new Owner()
  const { generation } = owner.image
  for (let more = 0; more < 3; more += 1) owner.change(3)
  const ahead = owner.mirror.bytes.slice()
  const before = new Owner()
  before.lose(0)
  before.mirror.bytes.set(ahead)
  t.equal(before.image.generation, generation)
  t.ok(before.turnUntil(() => before.kinds.includes('plex still missing')))
  t.match(
    before.copy.because,
    /mirror0 has generation \d+, the plex in sync only \d+: it comes from another branch/,
  )
  t.equal(Buffer.compare(before.mirror.bytes, ahead), 0)
})

t.test('what was given up is kept, however far the image has come, until it is labelled', async (t) => {
  const owner = new Owner()
  owner.lose(6)
  const given = owner.mirror.bytes.slice()
  const { epoch, generation } = owner.superblock!
  owner.branch = { epoch: epoch + 1, generation, lost: 1 }
  t.ok(owner.turnUntil(() => owner.kinds.includes('plex still missing')))
  t.match(owner.copy.because, /takeover of epoch \d+ went on without it.*disk label --force --plex 1$/)
  t.ok(owner.returning.keepsLostLog)
  t.equal(Buffer.compare(owner.mirror.bytes, given), 0)
  owner.replace()
  t.ok(owner.turnUntil(() => owner.copy.state === 'filling', 6000))
  t.notOk(owner.returning.keepsLostLog, 'the log goes the way of its plex')
  t.ok(owner.returns())
  t.same(owner.differing(), [])
})

t.test('what cannot be read from the plex in sync is tried again, until it is there', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.replace()
  const [disk] = owner.plexes[0]
  const { blocksAt, blockCount } = owner.image.plex.disks[0]!.zones
  const places = Array.from({ length: blockCount }, (_, block) => blocksAt / BLOCK_SIZE + block)
  owner.turnUntil(() => owner.copy.state === 'filling')
  const half = places.filter((_, index) => index % 2 === 1)
  for (const place of half) disk!.badBlocks.add(place)
  t.ok(owner.turnUntil(() => owner.kinds.includes('plex still missing'), 6000))
  t.match(owner.copy.because, /^\d+ blocks cannot be read from the plex in sync: it is tried again/)
  disk!.badBlocks.clear()
  owner.image.cache.forgetFailures()
  t.ok(owner.turnUntil(() => owner.copy.state === 'in-sync', 8000))
  t.same(owner.differing(), [])
})

t.test('when the ownership ends, it ends without a change of what the plex is', async (t) => {
  const owner = new Owner()
  owner.lose()
  owner.turnUntil(() => owner.copy.state === 'filling')
  const closing = owner.returning.close()
  owner.world.run(closing, () => owner.image.cache.submit())
  t.equal(owner.copy.state, 'filling')
  t.notOk(owner.kinds.includes('plex still missing'))
  owner.image.close()
  owner.world.settle()
  t.ok([...owner.plexes[0], ...owner.plexes[1]].every(({ closed }) => closed))
})

t.test('one that is not the owner any more does not mark a plex', async (t) => {
  const owner = new Owner()
  owner.lose()
  const before = owner.mirror.bytes.slice()
  owner.isOwner = false
  t.ok(owner.turnUntil(() => owner.kinds.includes('plex still missing')))
  t.equal(Buffer.compare(owner.mirror.bytes, before), 0)
})

t.test('a consistency point under way lends a disk that is replaced meanwhile no base', async (t) => {
  const owner = new Owner()
  const { image, log } = owner
  for (let step = 0; step < 30; step += 1) owner.model.step(new SeededRandom(step), log, 1000)
  const { changes, directory } = log.freeze()
  let mayPublish = false
  const options = { epoch: 1, node, wallMs: 1, stillOwner: () => true, mayPublish: () => mayPublish }
  owner.running = consistencyPoint(image, changes, directory, options)
  // its superblock calls both plexes in sync, and waits for the partner
  owner.turnUntil(() => false, 100)
  image.copies.failed(owner.copy, 'its cable is gone')
  owner.replace()
  owner.turnUntil(() => false, 1000)
  t.equal(owner.opened, 0, 'its superblock may yet call the plex in sync')
  mayPublish = true
  t.ok(owner.turnUntil(() => owner.copy.state === 'filling'))
  t.equal(owner.copy.base.generation, 0, 'it is blank all the same')
  t.ok(owner.returns())
  t.same(owner.differing(), [])
})
