import t from 'tap'
import { BLOCK_SIZE, GIB, MIB } from '../../../ts/base/units.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'
import { differingBlocks, makePlexes, openMirror } from '../../support/mirror-world.ts'
import { damage, filled, locate, placeOf, run, type Seen, type Setting } from './scrubbed.ts'

interface Mirrored extends Setting {
  readonly plexes: [MemoryDisk[], MemoryDisk[]]
}

/** The same on two plexes. */
function mirrored(): Mirrored {
  const world = new MemoryWorld()
  const plexes = makePlexes(world, [64 * MIB])
  return { ...filled(world, plexes[0][0]!, openMirror(world, plexes)), plexes }
}

/** One bit of a block on a plex; another one on each. */
const flip = ({ plexes, image }: Mirrored, plex: number, physical: number): void => {
  const { blocksAt } = image.plex.disks[0]!.zones
  plexes[plex]![0]!.bytes[blocksAt + physical * BLOCK_SIZE + 100 + plex]! ^= 1
}

t.test('a scrub of two whole plexes finds nothing, and reads every block of both', async (t) => {
  const here = mirrored()
  const { findings, byteLength } = run(here)
  t.same(findings, [])
  t.equal(byteLength, 2 * here.image.space.used * BLOCK_SIZE)
  t.equal(here.image.mender.mended, 0)
})

const told = ({ findings }: Seen): string[] =>
  findings.map(({ physical, why, isMended }) => `${physical} ${why}${isMended ? ', mended' : ''}`).sort()

t.test('what one plex has damaged is mended from the other, on whichever it is', async (t) => {
  const here = mirrored()
  const places = [0, 1].map((level) => locate(here, 70_000, level))
  for (const [level, physical] of places.entries()) flip(here, level % 2, physical)
  const alone = locate(here, 200_000, 0)
  here.plexes[1][0]!.badBlocks.add(placeOf(here, alone) / BLOCK_SIZE)
  const first = run(here)
  t.same(
    told(first),
    [...places.map((physical) => `${physical} checksum, mended`), `${alone} unreadable, mended`].sort(),
  )
  const where = first.findings.find(({ physical }) => physical === places[0])!.where
  t.equal(where, `volume vol0, block 70000 (data, at ${places[0]} of plex 0)`)
  here.world.settle()
  t.ok(here.image.mender.mended >= 3)
  t.same(differingBlocks(here.world, here.image, here.plexes), [])
  here.plexes[1][0]!.badBlocks.clear()
  t.same(told(run(here)), [], 'all of it is good again')
})

t.test(
  'a block is called mended when it is on the disk, and a scrub leaves nothing on its way',
  async (t) => {
    const here = mirrored()
    const physical = locate(here, 70_000, 0)
    const before = here.plexes[0][0]!.bytes.slice(placeOf(here, physical), placeOf(here, physical + 1))
    flip(here, 0, physical)
    const { findings } = run(
      here,
      () => {},
      () => {
        t.same(
          here.plexes[0][0]!.bytes.subarray(placeOf(here, physical), placeOf(here, physical + 1)),
          before,
        )
      },
    )
    t.equal(findings.length, 1)
    t.equal(here.image.mender.inFlight, 0)
  },
)

t.test('a block that its disk does not take is not called mended', async (t) => {
  const here = mirrored()
  const physical = locate(here, 70_000, 0)
  flip(here, 0, physical)
  here.plexes[0][0]!.failWrite = () => true
  t.same(told(run(here)), [`${physical} checksum`])
  t.match(here.image.copies.all[0], { state: 'missing' }, 'its plex is left out')
})

t.test('what lies under a pointer block that is mended is looked at in the same scrub', async (t) => {
  const here = mirrored()
  const places = [0, 2].map((level) => locate(here, 70_000, level))
  for (const physical of places) flip(here, 0, physical)
  t.same(told(run(here)), places.map((physical) => `${physical} checksum, mended`).sort())
})

t.test('a damaged directory is mended, too', async (t) => {
  const here = mirrored()
  const physical = new DataView(here.image.superblock.directory.slice().buffer).getUint32(0, true)
  flip(here, 0, physical)
  t.same(told(run(here)), [`${physical} checksum, mended`])
  here.world.settle()
  t.same(told(run(here)), [])
})

t.test('what both plexes have damaged is found once, and again by the next scrub', async (t) => {
  const here = mirrored()
  const [both, one] = [locate(here, 70_000, 0), locate(here, 200_000, 0)]
  flip(here, 0, both)
  flip(here, 1, both)
  flip(here, 1, one)
  t.same(told(run(here)), [`${both} checksum`, `${one} checksum, mended`].sort())
  here.world.settle()
  t.same(told(run(here)), [`${both} checksum`])
})

t.test('a plex that is missing is not looked at, and nothing is written to it', async (t) => {
  const here = mirrored()
  const physical = locate(here, 70_000, 0)
  flip(here, 1, physical)
  here.image.copies.failed(here.image.copies.all[1]!, 'it is gone')
  t.same(told(run(here)), [])
  here.world.settle()
  t.same(differingBlocks(here.world, here.image, here.plexes), [physical])
})

t.test('a plex that nobody answers for is passed over: it is not known what it has', async (t) => {
  const here = mirrored()
  const { copies } = here.image
  copies.setRemote(1)
  copies.isRemoteAway = () => true
  here.plexes[1][0]!.bytes.fill(0)
  const { findings, mapsWanted } = run(here)
  t.same([findings, mapsWanted], [[], 0])
  copies.isRemoteAway = () => false
  t.ok(run(here).findings.length > 0)
})

t.test('nothing is said of a plex that goes away while it is looked at', async (t) => {
  const here = mirrored()
  const { copies } = here.image
  const [mirror] = here.plexes[1] as [MemoryDisk]
  copies.setRemote(1)
  let left = 0
  let isAway = false
  copies.isRemoteAway = () => isAway
  mirror.badBlocks.has = () => isAway
  const read = mirror.read.bind(mirror)
  mirror.read = (at, into, done) => {
    left -= 1
    isAway ||= left < 0
    read(at, into, done)
  }
  let reads = 0
  for (isAway = true; isAway; reads += reads < 24 ? 1 : 29) {
    isAway = false
    left = reads
    const { findings, mapsWanted } = run(here)
    t.same([findings, mapsWanted], [[], 0], `away after ${reads} reads`)
  }
  t.ok(reads > 100, `${reads} reads`)
})

t.test('a free map that one plex has damaged is to be written anew', async (t) => {
  const here = mirrored()
  const [, [mirror]] = here.plexes
  const { mapAt, vaultAt } = here.image.plex.disks[0]!.zones
  t.equal(run(here).mapsWanted, 0)
  for (let at = mapAt; at < vaultAt; at += BLOCK_SIZE) damage(mirror!, at)
  const { findings, mapsWanted } = run(here)
  t.match(findings, [{ where: 'free map', why: /do not check on plex 1/, isMended: false }])
  t.equal(mapsWanted, 1)
  here.image.freeMap.distrust()
  here.log.write(here.volume, 1, 2)
  here.log.commit()
  t.same(told(run(here)), [])
})

t.test('what consistency points write meanwhile is never mended with older content', async (t) => {
  const here = mirrored()
  const { log, volume, image, plexes } = here
  const random = new SeededRandom(6)
  for (const [plex, level] of [0, 1].entries()) flip(here, plex, locate(here, 70_000, level))
  run(here, () => {
    for (let count = 0; count < 20; count += 1) log.write(volume, random.below(GIB / BLOCK_SIZE), 2)
    log.commit()
  })
  here.world.settle()
  t.same(differingBlocks(here.world, image, plexes), [])
})

t.test('what is found on the other plex after the image was let go of mends nothing', async (t) => {
  const here = mirrored()
  flip(here, 0, locate(here, 70_000, 0))
  const image = openMirror(here.world, here.plexes)
  const volume = image.directory.get(here.volume)!
  const waiter = { wake: () => {} }
  let physical = image.tree.resolve(volume.root, volume.height, 70_000, waiter)
  for (; physical < 0; physical = image.tree.resolve(volume.root, volume.height, 70_000, waiter)) {
    image.cache.submit()
    here.world.settle()
  }
  image.cache.get(physical, image.tree.checksum, waiter)
  image.cache.submit()
  here.world.settle()
  image.cache.submit()
  image.close()
  here.world.settle()
  t.equal(image.mender.inFlight, 0)
  t.ok(here.plexes.flat().every(({ closed }) => closed))
})
