import t from 'tap'
import type { Procedure } from '../../../ts/base/procedure.ts'
import { BLOCK_SIZE, GIB, MIB } from '../../../ts/base/units.ts'
import { SUPERBLOCK_COPIES_AT } from '../../../ts/disk/superblock.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { type ScrubFinding, scrub } from '../../../ts/volume/scrub.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'
import { differingBlocks, makePlexes, openMirror } from '../../support/mirror-world.ts'

interface Setting {
  readonly world: MemoryWorld
  readonly disk: MemoryDisk
  readonly image: Image
  readonly log: ChangeLog
  readonly volume: number
}

/** A volume of 1 GiB with some thousand blocks all over it, so that its tree has three levels. */
function setting(): Setting {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [64 * MIB])
  return filled(world, disks[0]!, openImage(world, disks))
}

function filled(world: MemoryWorld, disk: MemoryDisk, image: Image): Setting {
  const log = new ChangeLog(world, image)
  const volume = log.create('vol0', GIB)
  log.create('empty', GIB)
  const random = new SeededRandom(3)
  for (let count = 0; count < 3000; count += 1) log.write(volume, random.below(GIB / BLOCK_SIZE), 1)
  for (const block of [70_000, 200_000]) log.write(volume, block, 1)
  log.commit()
  return { world, disk, image, log, volume }
}

interface Seen {
  readonly findings: ScrubFinding[]
  byteLength: number
  mapsWanted: number
}

/** Scrubs; `between` is called after every part, `found` with each finding. */
function run(
  { world, image }: Setting,
  between: (seen: Seen) => void = () => {},
  found: (finding: ScrubFinding) => void = () => {},
): Seen {
  const seen: Seen = { findings: [], byteLength: 0, mapsWanted: 0 }
  function* pace(byteLength: number): Procedure {
    seen.byteLength += byteLength
    between(seen)
    yield 'again'
  }
  const user = {
    isOver: () => false,
    pace,
    found: (finding: ScrubFinding) => {
      seen.findings.push(finding)
      found(finding)
    },
    rewriteMap: () => {
      seen.mapsWanted += 1
    },
  }
  world.run(scrub(image, user), () => image.cache.submit())
  return seen
}

const damage = (disk: MemoryDisk, at: number): void => {
  disk.bytes[at + 100]! ^= 1
}

const placeOf = ({ image }: Setting, physical: number): number =>
  image.plex.disks[0]!.zones.blocksAt + physical * BLOCK_SIZE

/** Where a block, or the pointer block of a level above it, lies. */
function locate(setting: Setting, block: number, level: number): number {
  const { world, image, volume } = setting
  function* look(): Procedure<number> {
    const { root, height } = image.directory.get(volume)!
    for (;;) {
      const physical = image.tree.locate(root, height, block, level, { wake: () => {} })
      if (physical >= 0) return physical
      yield 'wait'
    }
  }
  return world.run(look(), () => image.cache.submit())
}

t.test('a whole image has no findings, and every block of it is read once', async (t) => {
  const here = setting()
  const { findings, byteLength } = run(here)
  t.same(findings, [])
  t.equal(byteLength, here.image.space.used * BLOCK_SIZE)
})

t.test('each damaged block of data is found, by volume and block', async (t) => {
  const here = setting()
  const physical = locate(here, 70_000, 0)
  damage(here.disk, placeOf(here, physical))
  const where = `volume vol0, block 70000 (data, at ${physical})`
  t.same(run(here).findings, [{ where, physical, why: 'checksum', isMended: false }])
})

for (const level of [1, 2]) {
  t.test(`a damaged pointer block of level ${level} is found, though the cache has it`, async (t) => {
    const here = setting()
    locate(here, 70_000, 0)
    const physical = locate(here, 70_000, level)
    damage(here.disk, placeOf(here, physical))
    const first = 70_000 - (70_000 % 256 ** level)
    const where = `volume vol0, block ${first} (pointers of level ${level}, at ${physical})`
    t.same(run(here).findings, [{ where, physical, why: 'checksum', isMended: false }])
  })
}

t.test('labels, superblocks and the free map are looked at, too', async (t) => {
  const here = setting()
  const { disk, image } = here
  const { zones } = image.plex.disks[0]!
  damage(disk, disk.byteLength - BLOCK_SIZE)
  damage(disk, zones.superblocksAt + SUPERBLOCK_COPIES_AT[1] + image.superblock.slot * BLOCK_SIZE)
  for (let at = zones.mapAt; at < zones.vaultAt; at += BLOCK_SIZE) damage(disk, at)
  t.match(
    run(here).findings.map(({ where, why }) => `${where}: ${why}`),
    [
      /^.*disk0: the label at its tail does not check$/,
      /^superblock: .*disk0: superblock slot \d+ does not check$/,
      /^free map: [1-9]\d* blocks of it do not check on plex 0$/,
    ],
  )
})

t.test('a free map that was rebuilt is not judged before it has been written', async (t) => {
  const { world, disk, image } = setting()
  const { mapIndexAt, vaultAt } = image.plex.disks[0]!.zones
  const flipMap = () => {
    for (let at = mapIndexAt; at < vaultAt; at += BLOCK_SIZE) disk.bytes[at]! ^= 1
  }
  image.close()
  world.settle()
  flipMap()
  const again = openImage(world, [disk])
  flipMap()
  const here = { world, disk, image: again, log: new ChangeLog(world, again), volume: 1 }
  t.same(run(here).findings, [], 'on the disk it is whole; what was read of it was not')
  here.log.create('vol1', GIB)
  here.log.commit()
  t.same(run(here).findings, [])
  flipMap()
  t.match(run(here).findings, [{ where: 'free map', why: /do not check on plex 0/ }])
})

t.test('what consistency points change meanwhile is no finding, and what they leave is', async (t) => {
  const here = setting()
  const { log, volume, disk } = here
  const random = new SeededRandom(4)
  const physical = locate(here, 70_000, 0)
  damage(disk, placeOf(here, physical))
  const { findings } = run(here, () => {
    for (let count = 0; count < 20; count += 1) {
      const block = random.below(GIB / BLOCK_SIZE)
      if (Math.floor(block / 256) !== Math.floor(70_000 / 256)) log.write(volume, block, 2)
    }
    log.commit()
  })
  t.same(
    findings.map((finding) => finding.physical),
    [physical],
  )
})

t.test('a block that cannot be read is found as such', async (t) => {
  const here = setting()
  const physical = locate(here, 70_000, 0)
  here.disk.badBlocks.add(placeOf(here, physical) / BLOCK_SIZE)
  t.match(run(here).findings, [{ physical, why: 'unreadable' }])
})

t.test('a scrub that is told to end does not wait for a cache that nobody reads for any more', async (t) => {
  const here = setting()
  let turns = 0
  const user = {
    isOver: () => turns > 500,
    *pace(): Procedure {
      yield 'again'
    },
    found: () => {},
    rewriteMap: () => {},
  }
  const pass = scrub(openImage(here.world, [here.disk]), user)
  for (; turns < 1000 && !pass.next().done; turns += 1) here.world.turn()
  t.ok(turns > 500, 'it waits for the cache while it goes on')
  t.ok(turns < 1000, `${turns} turns without the cache`)
})

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
