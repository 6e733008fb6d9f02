import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { mapBlockAt, mapIndexBlockAt } from '../../../ts/disk/zones.ts'
import { Image, peekEpoch } from '../../../ts/volume/image.ts'
import { ImageModel } from '../../support/image-model.ts'
import { ChangeLog, makeDisks, openImage, settings } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'

function used(seed = 4): { world: MemoryWorld; disks: MemoryDisk[]; model: ImageModel; image: Image } {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [16 * MIB, 16 * MIB])
  const image = openImage(world, disks)
  const log = new ChangeLog(world, image)
  const model = new ImageModel()
  const random = new SeededRandom(seed)
  for (let point = 0; point < 4; point += 1) {
    for (let step = 0; step < 50; step += 1) model.step(random, log, 2000)
    log.commit(3)
  }
  return { world, disks, model, image }
}

const kinds = (world: MemoryWorld): string[] => world.events.map(({ kind }) => kind)

t.test('an empty image has nothing in it', async (t) => {
  const world = new MemoryWorld()
  const image = openImage(world, makeDisks(world, [16 * MIB]))
  t.match(image, { generation: 1, epoch: 0, lastSequence: 0 })
  t.equal(image.space.used, 0)
  t.equal(image.space.freeing, 0)
  t.same(image.directory.list(), [])
  t.ok(image.vault.byteLength >= MIB)
})

t.test('an image is not made over another one by accident', async (t) => {
  const { world, disks } = used()
  t.throws(() => world.run(Image.format(world, [disks], settings)), {
    code: 'DISK_FOREIGN',
    message: /generation 5/,
  })
  world.run(Image.format(world, [disks], settings, { force: true }))
  t.match(openImage(world, disks), { generation: 1, epoch: 0 }, 'unless it is forced')
})

t.test(
  'without a superblock that may be used, an image is not opened, and its disks are closed',
  async (t) => {
    const { world, disks } = used()
    const open = (allowedEpoch: number): unknown => openImage(world, disks, { allowedEpoch })
    t.throws(() => open(2), { code: 'IMAGE_UNREADABLE', message: /of epoch 3.*knows only 2; restore/ })
    t.ok(disks.every((disk) => disk.closed))
    disks[0]!.bytes.fill(0, MIB, 2 * MIB)
    disks[1]!.bytes.fill(0, MIB, 2 * MIB)
    for (const disk of disks) disk.closed = false
    t.throws(() => open(9), { code: 'IMAGE_UNREADABLE', message: /no valid superblock.*pollux check/ })
    t.ok(disks.every((disk) => disk.closed))
    t.throws(() => openImage(world, [disks[0]!]), { code: 'DISK_FOREIGN' })
  },
)

t.test(
  'a damaged free map is rebuilt from the trees, and whole again after one consistency point',
  async (t) => {
    for (const [name, place] of [
      ['map', mapBlockAt],
      ['index', mapIndexBlockAt],
    ] as const) {
      const { world, disks, model, image } = used()
      for (const { disk, zones } of image.copies.disks) {
        for (const side of [0, 1])
          (disk.inner as MemoryDisk).bytes.fill(0xdd, place(zones, side, 0), place(zones, side, 0) + 64)
      }
      const again = openImage(world, disks)
      t.ok(kinds(world).includes('free map damaged'), name)
      t.equal(again.space.used, image.space.used)
      t.same(model.differences(world, again), [])
      const log = new ChangeLog(world, again)
      model.step(new SeededRandom(1), log, 2000)
      log.commit(4)
      world.events.length = 0
      const third = openImage(world, disks)
      t.notOk(kinds(world).includes('free map damaged'))
      t.equal(third.space.used, again.space.used)
    }
  },
)

t.test('what the generation before reaches is held, from its map or from its trees alike', async (t) => {
  const { world, disks, image } = used(11)
  const held = image.space.freeing
  t.ok(held > 10)
  const fromMap = openImage(world, disks)
  t.equal(fromMap.space.freeing, held)
  t.same(fromMap.space.bits.before, image.space.bits.before)
  // as if the next consistency point had begun to write its map: the side that is not in use
  const word = new Uint32Array(2)
  for (const [index, { disk, zones }] of image.copies.disks.entries()) {
    word.set(new Uint32Array(image.superblock.mapIndex.slice(index * 8, index * 8 + 8).buffer))
    const at = mapIndexBlockAt(zones, 1 - word[1]!, 0)
    ;(disk.inner as MemoryDisk).bytes.fill(0x11, at, at + BLOCK_SIZE)
  }
  const fromTrees = openImage(world, disks)
  t.equal(fromTrees.space.freeing, held)
})

t.test('a damaged directory makes the image unreadable, with the block named', async (t) => {
  const { world, disks, image } = used()
  const physical = new DataView(image.superblock.directory.slice().buffer).getUint32(0, true)
  const segment = image.plex.segments.find(({ end }) => physical < end)!
  const { disk, zones } = image.copies.disks[image.plex.segments.indexOf(segment)]!
  ;(disk.inner as MemoryDisk).bytes[zones.blocksAt + (physical - segment.first) * BLOCK_SIZE] = 0xff
  t.throws(() => openImage(world, disks), { code: 'IMAGE_UNREADABLE', message: /volume directory: checksum/ })
})

t.test('a damaged label is noticed, and mended by its owner', async (t) => {
  const { world, disks } = used()
  disks[1]!.bytes[40] = 0xff
  const image = openImage(world, disks)
  t.ok(kinds(world).includes('label damaged'))
  world.run(image.repairLabels())
  world.events.length = 0
  openImage(world, disks)
  t.same(kinds(world), [])
})

t.test('anybody may look which epoch wrote last', async (t) => {
  const { world, disks } = used()
  const byPath = { open: (path: string) => disks.find((disk) => disk.path === path)! }
  const peek = { memory: world.memory, disks: byPath }
  const paths = disks.map((disk) => disk.path)
  t.equal(world.run(peekEpoch(peek, [paths], settings)), 3)
  t.ok(disks.every((disk) => disk.closed))
  const other = { ...settings, pair: settings.aggregate }
  t.throws(() => world.run(peekEpoch(peek, [paths], other)), { code: 'DISK_FOREIGN' })
})

t.test('memory is used again when an image is opened after another', async (t) => {
  const { world, disks, image } = used()
  image.close()
  let allocations = 0
  const { memory } = world
  const allocate = memory.allocate.bind(memory)
  openImage(world, disks).close()
  memory.allocate = (byteLength) => {
    allocations += 1
    return allocate(byteLength)
  }
  for (let again = 0; again < 3; again += 1) openImage(world, disks).close()
  t.equal(allocations, 0)
})
