import t from 'tap'
import type { Procedure } from '../../../ts/base/procedure.ts'
import { BLOCK_SIZE, GIB, MIB } from '../../../ts/base/units.ts'
import { consistencyPoint } from '../../../ts/consistency-point/consistency-point.ts'
import { check } from '../../../ts/volume/check.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { ImageModel } from '../../support/image-model.ts'
import { ChangeLog, makeDisks, node, openImage, readBlock, stamp } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'

const expected = new Uint8Array(BLOCK_SIZE)

function setting(sizes = [64 * MIB]): {
  world: MemoryWorld
  disks: MemoryDisk[]
  image: Image
  log: ChangeLog
} {
  const world = new MemoryWorld()
  const disks = makeDisks(world, sizes)
  const image = openImage(world, disks)
  return { world, disks, image, log: new ChangeLog(world, image) }
}

t.test('what one consistency point wrote is there after opening again', async (t) => {
  const { world, disks, log } = setting()
  const volume = log.create('vol0', 512 * MIB)
  const blocks = [0, 1, 255, 256, 70_000, 131_071]
  for (const block of blocks) t.ok(log.write(volume, block, 1))
  const published = log.commit()
  t.equal(published.generation, 2)
  t.equal(published.dataBlocks, blocks.length + 1)
  const again = openImage(world, disks)
  t.equal(again.generation, 2)
  t.equal(again.lastSequence, log.sequence)
  t.equal(again.directory.get(volume)?.mappedBlocks, blocks.length)
  for (const block of blocks) {
    stamp(expected, volume, block, 1)
    t.same(readBlock(world, again, volume, block), expected, `block ${block}`)
  }
  t.equal(readBlock(world, again, volume, 2), undefined)
  t.equal(again.space.used, published.dataBlocks + published.metadataBlocks)
})

t.test('random blocks become a few long writes', async (t) => {
  const { disks, log } = setting([128 * MIB])
  const volume = log.create('vol0', 64 * MIB)
  const random = new SeededRandom(1)
  for (let count = 0; count < 4096; count += 1) log.write(volume, random.below(16_384), count)
  let writes = 0
  disks[0]!.failWrite = () => {
    writes += 1
    return false
  }
  const published = log.commit()
  t.ok(published.dataBlocks > 3000)
  t.ok(writes < 40, `${writes} writes`)
  t.ok(published.amplification < 1.1)
})

t.test('nothing changed: the generation rises, and no block is written', async (t) => {
  const { log } = setting()
  log.commit()
  const published = log.commit()
  t.match(published, { generation: 3, dataBlocks: 0, metadataBlocks: 0, mapBlocks: 0 })
})

t.test('a volume that shrinks and grows again reads as zeroes where it was cut', async (t) => {
  const { world, image, log } = setting()
  const volume = log.create('vol0', 64 * MIB)
  for (const block of [10, 5000, 16_000]) log.write(volume, block, 1)
  log.commit()
  log.resize(volume, 8 * MIB)
  log.resize(volume, GIB)
  log.write(volume, 5000, 2)
  log.commit()
  stamp(expected, volume, 10, 1)
  t.same(readBlock(world, image, volume, 10), expected)
  stamp(expected, volume, 5000, 2)
  t.same(readBlock(world, image, volume, 5000), expected)
  t.equal(readBlock(world, image, volume, 16_000), undefined)
  t.equal(image.directory.get(volume)!.mappedBlocks, 2)
})

t.test('changes of a volume that was deleted afterwards are left out', async (t) => {
  const { world, disks, image, log } = setting()
  const volume = log.create('vol0', MIB)
  log.write(volume, 3, 1)
  const frozen = log.freeze()
  image.directory.remove(volume)
  log.run({ ...frozen, directory: { ...frozen.directory, volumes: [] } })
  t.equal(image.space.used, 0)
  t.same(
    world.run(check(disks, world.memory)).problems.map(({ kind }) => kind),
    [],
  )
})

t.test('what is deleted is free after two more consistency points', async (t) => {
  const { image, log } = setting()
  const volume = log.create('vol0', 512 * MIB)
  const random = new SeededRandom(2)
  for (let count = 0; count < 3000; count += 1) log.write(volume, random.below(131_072), 1)
  log.commit()
  const { used } = image.space
  log.remove(volume)
  log.commit()
  t.equal(image.space.used, 0)
  t.equal(image.space.freeing, used)
  log.commit()
  t.equal(image.space.freeing, 0)
})

for (const stage of ['data', 'map', 'first flush', 'superblock', 'second flush'] as const) {
  t.test(
    `a failure at the ${stage} changes nothing, and the same changes can be written again`,
    async (t) => {
      const { world, disks, image, log } = setting([32 * MIB])
      const model = new ImageModel()
      const random = new SeededRandom(5)
      for (let step = 0; step < 60; step += 1) model.step(random, log, 1000)
      log.commit()
      const before = model.clone()
      const { used } = image.space
      for (let step = 0; step < 60; step += 1) model.step(random, log, 1000)
      const frozen = log.freeze()
      failAt(disks[0]!, stage, image)
      t.throws(() => log.run(frozen), { code: 'DISK_FAILED', message: /disk0/ })
      t.equal(image.generation, 2)
      t.equal(image.space.used, used)
      const bare = before.differences(world, openImage(world, disks))
      if (stage !== 'second flush' && stage !== 'superblock')
        t.same(bare, [], 'the disk has the old generation')
      t.throws(() => log.run(frozen), { code: 'DISK_FAILED' }, 'the disk stays out')
      disks[0]!.failWrite = () => false
      disks[0]!.failFlush = () => false
      for (const { disk } of image.plex.disks) disk.readmit()
      log.run(frozen)
      t.equal(image.generation, 3)
      t.same(model.differences(world, image), [])
      t.same(model.differences(world, openImage(world, disks)), [])
      t.same(world.run(check(disks, world.memory)).problems, [])
      log.commit()
      t.same(world.run(check(disks, world.memory)).problems, [])
    },
  )
}

function failAt(disk: MemoryDisk, stage: string, image: Image): void {
  const { zones } = image.plex.disks[0]!
  let flushes = 0
  const [from, to] =
    stage === 'data'
      ? [zones.blocksAt, zones.byteLength]
      : stage === 'map'
        ? [zones.mapAt, zones.vaultAt]
        : [MIB, 2 * MIB]
  if (stage.includes('flush')) {
    disk.failFlush = () => {
      flushes += 1
      return flushes === (stage === 'first flush' ? 1 : 2)
    }
  } else {
    disk.failWrite = (at) => at >= from && at < to
  }
}

t.test('who is no longer the owner writes no superblock', async (t) => {
  const { world, disks, image, log } = setting()
  log.create('vol0', MIB)
  const frozen = log.freeze()
  t.throws(() => log.run(frozen, 1, () => false), { code: 'FENCED' })
  t.equal(image.generation, 1)
  t.equal(openImage(world, disks).generation, 1)
})

t.test('the superblock waits until every copy of the log has what it contains', async (t) => {
  const { world, disks, image, log } = setting()
  log.create('vol0', MIB)
  const { changes, directory } = log.freeze()
  let acknowledged = false
  const options = { epoch: 1, node, wallMs: 1, stillOwner: () => true, mayPublish: () => acknowledged }
  const point = consistencyPoint(image, changes, directory, options)
  for (let turn = 0; turn < 50; turn += 1) {
    t.notOk(point.next().done)
    world.turn()
  }
  t.equal(openImage(world, disks).generation, 1)
  acknowledged = true
  world.run(point)
  t.equal(openImage(world, disks).generation, 2)
})

t.test('a pointer block that is damaged stops the consistency point by name', async (t) => {
  const { world, disks, log } = setting()
  const volume = log.create('vol0', GIB)
  log.write(volume, 7, 1)
  log.commit()
  const image = openImage(world, disks)
  const physical = image.directory.get(volume)!.root[0]!
  const at = image.plex.disks[0]!.zones.blocksAt + physical * BLOCK_SIZE
  disks[0]!.bytes[at + 9] = 0x55
  const second = new ChangeLog(world, image)
  second.write(volume, 9, 1)
  const frozen = second.freeze()
  t.throws(() => second.run(frozen), { code: 'DISK_CORRUPT', message: /block/ })
  t.equal(image.space.usedNext, image.space.used)
})

t.test('a new epoch begins far from where the old one would have written next', async (t) => {
  const { image, log } = setting([128 * MIB])
  const volume = log.create('vol0', 64 * MIB)
  for (let block = 0; block < 1000; block += 1) log.write(volume, block, 1)
  log.commit(1)
  const { cursor } = image.superblock
  const before = image.space.bits.current.slice()
  log.write(volume, 5000, 1)
  log.commit(2)
  const window = Math.max(image.logPages * 2, Math.floor(image.space.total / 8))
  for (let block = cursor; block < cursor + window; block += 1) {
    const word = block >>> 5
    const isNew = ((image.space.bits.current[word]! & ~before[word]!) >>> (block & 31)) & 1
    if (isNew === 1) t.fail(`block ${block} is in the window of the old writer`)
  }
  t.ok(image.space.cursor >= cursor + window)
})

t.test('it works in slices, so that clients are served meanwhile', async (t) => {
  const { world, image, log } = setting([128 * MIB])
  const volume = log.create('vol0', 64 * MIB)
  for (let block = 0; block < 8192; block += 1) log.write(volume, block, 1)
  const { changes, directory } = log.freeze()
  const point = consistencyPoint(image, changes, directory, {
    epoch: 1,
    node,
    wallMs: 1,
    stillOwner: () => true,
  })
  let steps = 0
  for (;;) {
    const { done } = point.next()
    if (done) break
    steps += 1
    image.cache.submit()
    world.turn()
  }
  t.ok(steps > 16, `${steps} steps`)
})

t.test('a full aggregate whose superblock was not flushed can write the same changes again', async (t) => {
  const { world, disks, image, log } = setting([16 * MIB])
  const volume = log.create('vol0', 64 * MIB)
  let end = 0
  while (end < image.space.total * 0.4 && log.writeRun(volume, end, 64, 1)) end += 64
  for (let i = 0; i < 3; i += 1) log.commit()
  let written = 0
  while (written < end && log.writeRun(volume, written, 64, 2)) written += 64
  t.ok(
    written > image.space.total / 3,
    `${written} of ${image.space.total} blocks may be written again at once`,
  )
  const frozen = log.freeze()
  failAt(disks[0]!, 'second flush', image)
  let failures = 0
  function* untilRetry(error: Error): Procedure {
    t.match(error.message, /disk0/)
    failures += 1
    disks[0]!.failFlush = () => false
    for (const { disk } of image.plex.disks) disk.readmit()
    yield 'wait'
  }
  log.run(frozen, 1, () => true, { untilRetry })
  t.equal(failures, 1)
  t.equal(image.generation, 5)
  stamp(expected, volume, 0, 2)
  t.same(readBlock(world, image, volume, 0), expected)
  t.same(world.run(check(disks, world.memory)).problems, [])
})
