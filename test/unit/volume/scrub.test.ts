import t from 'tap'
import type { Procedure } from '../../../ts/base/procedure.ts'
import { BLOCK_SIZE, GIB, MIB } from '../../../ts/base/units.ts'
import { SUPERBLOCK_COPIES_AT } from '../../../ts/disk/superblock.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { type ScrubFinding, scrub } from '../../../ts/volume/scrub.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'

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
  const image = openImage(world, disks)
  const log = new ChangeLog(world, image)
  const volume = log.create('vol0', GIB)
  log.create('empty', GIB)
  const random = new SeededRandom(3)
  for (let count = 0; count < 3000; count += 1) log.write(volume, random.below(GIB / BLOCK_SIZE), 1)
  log.write(volume, 70_000, 1)
  log.commit()
  return { world, disk: disks[0]!, image, log, volume }
}

interface Seen {
  readonly findings: ScrubFinding[]
  byteLength: number
}

/** Scrubs; `between` is called after every part. */
function run({ world, image }: Setting, between: (seen: Seen) => void = () => {}): Seen {
  const seen: Seen = { findings: [], byteLength: 0 }
  function* pace(byteLength: number): Procedure {
    seen.byteLength += byteLength
    between(seen)
    yield 'again'
  }
  const user = { isOver: () => false, pace, found: (finding: ScrubFinding) => seen.findings.push(finding) }
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
  t.same(run(here).findings, [{ where, physical, why: 'checksum' }])
})

for (const level of [1, 2]) {
  t.test(`a damaged pointer block of level ${level} is found, though the cache has it`, async (t) => {
    const here = setting()
    locate(here, 70_000, 0)
    const physical = locate(here, 70_000, level)
    damage(here.disk, placeOf(here, physical))
    const first = 70_000 - (70_000 % 256 ** level)
    const where = `volume vol0, block ${first} (pointers of level ${level}, at ${physical})`
    t.same(run(here).findings, [{ where, physical, why: 'checksum' }])
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
      /^free map: [1-9]\d* blocks of it do not check$/,
    ],
  )
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
  }
  const pass = scrub(openImage(here.world, [here.disk]), user)
  for (; turns < 1000 && !pass.next().done; turns += 1) here.world.turn()
  t.ok(turns > 500, 'it waits for the cache while it goes on')
  t.ok(turns < 1000, `${turns} turns without the cache`)
})
