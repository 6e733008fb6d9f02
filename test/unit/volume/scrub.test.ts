import t from 'tap'
import type { Procedure } from '../../../ts/base/procedure.ts'
import { BLOCK_SIZE, GIB } from '../../../ts/base/units.ts'
import { SUPERBLOCK_COPIES_AT } from '../../../ts/disk/superblock.ts'
import { type ScrubFinding, scrub } from '../../../ts/volume/scrub.ts'
import { ChangeLog, openImage } from '../../support/image-world.ts'
import { SeededRandom } from '../../support/memory-world.ts'
import { damage, locate, placeOf, run, setting } from './scrubbed.ts'

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

t.test('a scrub that is held up between two levels asks for what is there by then', async (t) => {
  const { world, image, log, volume } = setting()
  const random = new SeededRandom(5)
  const findings: ScrubFinding[] = []
  const user = {
    isOver: () => false,
    *pace() {},
    found: (it: ScrubFinding) => findings.push(it),
    rewriteMap() {},
  }
  const procedure = scrub(image, user)
  const { height } = image.directory.get(volume)!
  let descents = 0
  let isAtTop = false
  const locate = image.tree.locate.bind(image.tree)
  image.tree.locate = (root, ...place) => {
    if (place[2] === height) isAtTop = true
    return locate(root, ...place)
  }
  while (procedure.next().done !== true) {
    image.cache.submit()
    world.settle()
    // so many that all that was free at the beginning has been written to
    for (let commits = 0; isAtTop && descents < 5 && commits < 100; commits += 1) {
      for (let count = 0; count < 100; count += 1) log.write(volume, random.below(GIB / BLOCK_SIZE), 1)
      log.commit()
    }
    if (isAtTop) descents += 1
    isAtTop = false
  }
  t.same(findings, [])
  t.match(image.counters, { damagedBlocks: 0 })
  t.ok(descents > 100 && image.generation > 500, `${descents} descents, ${image.generation} generations`)
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
