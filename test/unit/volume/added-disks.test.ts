import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { labelDisk, repairLabels } from '../../../ts/disk/label.ts'
import { openAnyLabelled } from '../../../ts/disk/labelled-disk.ts'
import { readSuperblocks, writeSuperblock } from '../../../ts/disk/superblock.ts'
import { mapBlockAt } from '../../../ts/disk/zones.ts'
import { NO_BASE } from '../../../ts/plex/copies.ts'
import { check } from '../../../ts/volume/check.ts'
import { checkPlexes } from '../../../ts/volume/check-plexes.ts'
import { REGION_WORDS } from '../../../ts/volume/free-bits.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { confirmedBase } from '../../../ts/volume/open-plexes.ts'
import { begun, withAdded } from '../../support/added-disks.ts'
import { ChangeLog, facts, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'
import { makePlexes, openDisksOf, openMirror } from '../../support/mirror-world.ts'

const SIZE = 12 * MIB

const label = (world: MemoryWorld, disk: MemoryDisk) => world.run(openAnyLabelled(disk, world.memory)).label

const newestOf = (world: MemoryWorld, plex: number, disks: readonly MemoryDisk[]) =>
  world.run(readSuperblocks(openDisksOf(world, plex, disks), 100, world.memory)).newestOf

/** A volume that is written again and again until some block is beyond the first disk. */
function fillBeyond(world: MemoryWorld, image: Image): void {
  const log = new ChangeLog(world, image)
  const volume = image.directory.find('vol')?.volume ?? log.create('vol', 2 * MIB)
  for (let version = 1; version < 30; version += 1) {
    log.writeRun(volume, 0, 256, version)
    log.commit(2)
    if (image.space.bits.current.subarray(REGION_WORDS).some((word) => word !== 0)) return
  }
  throw new Error('no block is on the disk that was added')
}

t.test('a disk that is added is part of the image from the next consistency point on', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const before = openImage(world, old)
  const [total, blockCount] = [before.space.total, before.superblock.blockCount]
  before.close()
  const disks = withAdded(world, 0, old, SIZE)
  const image = begun(world, openImage(world, disks))
  t.ok(image.isGrowing)
  t.ok(image.space.total > 2 * total, 'its space can be promised at once; it needs no vault')
  t.equal(image.superblock.blockCount, blockCount)
  t.match(
    disks.map((disk) => label(world, disk).diskCount),
    [2, 2],
  )
  new ChangeLog(world, image).commit(2)
  t.notOk(image.isGrowing)
  t.equal(image.superblock.blockCount, image.plex.blockCount)
  fillBeyond(world, image)
  image.close()
  const again = openImage(world, disks)
  t.notOk(again.isGrowing)
  t.notOk(world.events.some(({ kind }) => kind === 'free map damaged'))
  again.close()
  t.same(world.run(check(disks, world.memory)).problems, [])
})

t.test('several can be added at once, and more later', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const three = withAdded(world, 0, withAdded(world, 0, old, SIZE), SIZE + MIB)
  const image = begun(world, openImage(world, three))
  new ChangeLog(world, image).commit(2)
  image.close()
  t.match(
    three.map((disk) => label(world, disk).diskCount),
    [3, 3, 3],
  )
  const four = withAdded(world, 0, three, SIZE)
  const larger = begun(world, openImage(world, four))
  new ChangeLog(world, larger).commit(3)
  fillBeyond(world, larger)
  larger.close()
  t.same(world.run(check(four, world.memory)).problems, [])
})

t.test('as long as nothing was opened with the longer list, the shorter one serves', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  withAdded(world, 0, old, SIZE)
  begun(world, openImage(world, old)).close()
  t.equal(label(world, old[0]!).diskCount, 1)
})

t.test('a disk that counts is never left out', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const disks = withAdded(world, 0, old, SIZE)
  const image = begun(world, openImage(world, disks))
  t.throws(() => openImage(world, old), {
    code: 'DISK_FOREIGN',
    message: /disk0 is disk 1 of 2 of plex 0 and is configured as disk 1 of 1 of plex 0; add those that are/,
  })
  new ChangeLog(world, image).commit(2)
  image.close()
  // labels of another time: the superblock still knows
  world.run(repairLabels(old[0]!, { ...label(world, old[0]!), diskCount: 1 }, world.memory))
  t.throws(() => openImage(world, old), {
    code: 'IMAGE_UNREADABLE',
    message: /disk0 have \d+: a disk is missing from the list; add it/,
  })
})

t.test('a list with a gap, in another order or with a disk twice is refused', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const three = withAdded(world, 0, withAdded(world, 0, old, SIZE), SIZE)
  const [first, second, third] = three as [MemoryDisk, MemoryDisk, MemoryDisk]
  for (const disks of [
    [first, third],
    [second, first],
    [first, third, second],
    [first, second, second],
  ])
    t.throws(() => openImage(world, disks), { code: 'DISK_FOREIGN' })
})

t.test('a disk that holds another image is not taken for one that was added', async (t) => {
  const world = new MemoryWorld()
  const two = makeDisks(world, [SIZE, SIZE])
  // the first one is formatted by itself: the second one still holds what both held before
  world.run(labelDisk(two[0]!, facts(0, 1), { force: true }, world.memory))
  t.throws(() => openImage(world, two), {
    code: 'DISK_FOREIGN',
    message: /disk1 holds generation 1 of another image, and .*disk0 does not count it; .*--add --force/,
  })
  const report = world.run(check(two, world.memory))
  t.match(report.problems, [{ kind: 'label', text: /the other disks do not count it/ }])
})

t.test('nothing is written to a disk that was added before the labels count it', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const disks = withAdded(world, 0, old, SIZE)
  const image = openImage(world, disks)
  old[0]!.failWrite = () => true
  t.throws(() => world.run(image.repairLabels()), { code: 'DISK_FAILED' })
  image.close()
  t.same(newestOf(world, 0, disks)[1], undefined)
})

t.test('a label of which a crash has left one side as it was is written anew', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const tail = old[0]!.bytes.slice(SIZE - BLOCK_SIZE)
  const disks = withAdded(world, 0, old, SIZE)
  begun(world, openImage(world, disks)).close()
  old[0]!.bytes.set(tail, SIZE - BLOCK_SIZE)
  t.equal(world.run(openAnyLabelled(old[0]!, world.memory)).damaged, 'tail')
  begun(world, openImage(world, disks)).close()
  t.equal(world.run(openAnyLabelled(old[0]!, world.memory)).damaged, undefined)
})

t.test('the map of a disk that was added is not believed before it was written', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const disks = withAdded(world, 0, old, SIZE)
  // whatever is there already
  const { zones } = world.run(openAnyLabelled(disks[1]!, world.memory))
  for (const side of [0, 1])
    disks[1]!.bytes.fill(0xff, mapBlockAt(zones, side, 0), mapBlockAt(zones, side, 1))
  const image = begun(world, openImage(world, disks))
  t.equal(image.space.used, 0)
  t.same(world.run(image.freeMap.verify(image.copies.all[0]!)), [], 'a scrub does not ask for it')
  new ChangeLog(world, image).commit(2)
  t.same(world.run(image.freeMap.verify(image.copies.all[0]!)), [])
  image.close()
  const again = openImage(world, disks)
  t.notOk(world.events.some(({ kind }) => kind === 'free map damaged'))
  again.close()
})

t.test('both plexes get a disk, and a plex that lacks its own is missing', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world, [SIZE])
  const longer = plexes.map((disks, plex) => withAdded(world, plex, disks, SIZE))
  const short = openMirror(world, [longer[0]!, plexes[1]])
  t.same(
    short.copies.all.map(({ state }) => state),
    ['in-sync', 'missing'],
  )
  t.match(short.copies.all[1]!.because, /a plex of 1 disks cannot mirror one of 2: add the missing one/)
  short.close()
  const image = begun(world, openMirror(world, longer))
  t.same(
    image.copies.all.map(({ state }) => state),
    ['in-sync', 'in-sync'],
  )
  new ChangeLog(world, image).commit(2)
  fillBeyond(world, image)
  image.close()
  t.match(world.run(checkPlexes(longer.flat(), world.memory)), { good: true, equal: true })
})

t.test('a plex that is missing, and has more disks than the image, is closed with it', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world, [SIZE])
  const longer = withAdded(world, 1, plexes[1], SIZE)
  const image = openMirror(world, [plexes[0], longer])
  t.equal(image.copies.all[1]!.state, 'missing')
  image.close()
  world.settle()
  t.same(
    [...plexes[0], ...longer].map(({ closed }) => closed),
    [true, true, true],
  )
})

t.test('once it counts, another disk in its place lacks what it should have', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world, [SIZE])
  const longer = plexes.map((disks, plex) => withAdded(world, plex, disks, SIZE))
  const image = begun(world, openMirror(world, longer))
  new ChangeLog(world, image).commit(2)
  image.close()
  longer[1]![1]!.bytes.fill(0, MIB, 2 * MIB)
  const again = openMirror(world, longer)
  t.equal(again.copies.all[1]!.state, 'missing')
  t.match(again.copies.all[1]!.because, /added1-1 has no superblock/)
  again.close()
  const base = { epoch: 2, generation: 2 }
  const opened = openDisksOf(world, 1, longer[1]!)
  t.same(confirmedBase(base, opened, newestOf(world, 1, longer[1]!)), NO_BASE)
})

t.test('a plex that comes back with a disk that was added has what it had', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world, [SIZE])
  const image = begun(world, openMirror(world, plexes))
  for (const _ of [1, 2, 3]) new ChangeLog(world, image).commit(2)
  image.close()
  const longer = withAdded(world, 1, plexes[1], SIZE)
  const opened = openDisksOf(world, 1, longer)
  const found = newestOf(world, 1, longer)
  t.same(
    confirmedBase({ epoch: 2, generation: 4 }, opened, found),
    { epoch: 2, generation: 4 },
    'the image had nothing on it',
  )
  t.same(confirmedBase({ epoch: 2, generation: 5 }, opened, found), NO_BASE, 'a later one may have had')
})

t.test('a check tells of disks that do not count yet, and finds no fault with them', async (t) => {
  const world = new MemoryWorld()
  const old = makeDisks(world, [SIZE])
  const disks = withAdded(world, 0, old, SIZE)
  const report = world.run(checkPlexes(disks, world.memory))
  t.match(report, { good: true })
  t.match(report.notes, [/added0-1 was added to plex 0: the next consistency point counts it/])
  const image = begun(world, openImage(world, disks))
  image.close()
  t.match(world.run(checkPlexes(disks, world.memory)), { good: true, notes: { length: 1 } })
  t.throws(() => world.run(checkPlexes([...old, ...makePlexes(world, [SIZE])[1]], world.memory)), {
    code: 'USAGE',
    message: /is disk 1 of 2 of plex 0, and of this plex 1 were given/,
  })
})

t.test('a superblock that no list of these disks fits is refused', async (t) => {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [SIZE])
  const opened = openDisksOf(world, 0, disks)
  const { newest } = world.run(readSuperblocks(opened, 100, world.memory))
  const odd = { ...newest!, blockCount: newest!.blockCount - 32 }
  world.run(writeSuperblock(opened, odd, world.memory))
  t.throws(() => openImage(world, disks), {
    code: 'IMAGE_UNREADABLE',
    message: /does not end where one of these disks does; correct the list of disks/,
  })
})
