import t from 'tap'
import { BLOCK_SIZE, GIB, MIB, TIB } from '../../../ts/base/units.ts'
import { FAILED, HOLE, MAPPED, WAIT } from '../../../ts/volume/answers.ts'
import { nodeIndex, reachOf } from '../../../ts/volume/tree.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { MemoryWorld } from '../../support/memory-world.ts'

t.test('blocks of volumes of every height are found, up to the largest volume', async (t) => {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [32 * MIB])
  const log = new ChangeLog(world, openImage(world, disks))
  for (const [height, size] of [BLOCK_SIZE, MIB, 200 * MIB, 50 * GIB, 16 * TIB - BLOCK_SIZE].entries()) {
    const volume = log.create(`h${height}`, size)
    const last = size / BLOCK_SIZE - 1
    for (const block of new Set([0, last])) t.ok(log.write(volume, block, height))
    log.commit()
    const { image } = log
    const record = image.directory.get(volume)!
    t.equal(record.height, height)
    t.ok(image.tree.resolve(record.root, record.height, last, undefined) >= 0)
    t.equal(image.tree.birth, image.generation)
    if (last > 1) t.equal(image.tree.resolve(record.root, record.height, last - 1, undefined), HOLE)
  }
})

t.test('a look-up waits for what is not in the cache, and wakes', async (t) => {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [32 * MIB])
  const log = new ChangeLog(world, openImage(world, disks))
  const volume = log.create('a', GIB)
  log.write(volume, 1000, 1)
  log.commit()
  const image = openImage(world, disks)
  const { root, height } = image.directory.get(volume)!
  const waiter = {
    woken: 0,
    wake() {
      this.woken += 1
    },
  }
  for (let level = height; level > 0; level -= 1) {
    t.equal(image.tree.resolve(root, height, 1000, waiter), WAIT)
    image.cache.submit()
    world.settle()
    t.equal(waiter.woken, height - level + 1)
  }
  t.ok(image.tree.resolve(root, height, 1000, waiter) >= 0)
})

t.test('a pointer to nowhere is damage', async (t) => {
  const world = new MemoryWorld()
  const image = openImage(world, makeDisks(world, [32 * MIB]))
  t.equal(image.tree.resolve(Uint32Array.of(4_000_000, 1, 1, 0), 0, 0, undefined), FAILED)
  t.equal(
    image.tree.resolve(Uint32Array.of(1, 7, 1, 0), 0, 0, undefined),
    FAILED,
    'of a kind that is not known',
  )
  t.equal(image.tree.resolve(Uint32Array.of(1, 1, 1, 0), 0, 5, undefined), HOLE, 'beyond the tree')
  t.equal(world.events.filter(({ kind }) => kind === 'block damaged').length, 2)
})

t.test('places within a tree', async (t) => {
  t.equal(nodeIndex(0xffff_ffff, 1), 0xff_ffff)
  t.equal(nodeIndex(0xffff_ffff, 3), 255)
  t.equal(nodeIndex(0xffff_ffff, 4), 0)
  t.equal(reachOf(4), 2 ** 32)
})

t.test('what is mapped is told in runs, without reading data', async (t) => {
  const world = new MemoryWorld()
  const log = new ChangeLog(world, openImage(world, makeDisks(world, [32 * MIB])))
  const volume = log.create('a', TIB)
  for (const block of [0, 1, 2, 5, 255, 256, 70_000]) log.write(volume, block, 1)
  log.commit()
  const { image } = log
  const { root, height } = image.directory.get(volume)!
  const runs: [number, boolean][] = []
  const waiter = { wake() {} }
  for (let block = 0; block < TIB / BLOCK_SIZE; ) {
    const found = image.tree.probe(root, height, block, waiter)
    if (found === WAIT) {
      image.cache.submit()
      world.settle()
      continue
    }
    t.ok(image.tree.runEnd > block)
    block = Math.min(image.tree.runEnd, TIB / BLOCK_SIZE)
    const last = runs.at(-1)
    if (last?.[1] === (found === MAPPED)) last[0] = block
    else runs.push([block, found === MAPPED])
  }
  const expected = [3, 5, 6, 255, 257, 70_000, 70_001, TIB / BLOCK_SIZE]
  t.same(
    runs.map(([end]) => end),
    expected,
  )
  t.same([runs[0]![1], runs[1]![1]], [true, false])
  t.equal(image.tree.probe(new Uint32Array(4), 2, 7, waiter), HOLE, 'nothing was ever written')
  t.equal(image.tree.probe(Uint32Array.of(1, 1, 1, 0), 0, 0, waiter), MAPPED, 'the root is the data itself')
  t.equal(image.tree.probe(Uint32Array.of(4_000_000, 1, 1, 0), 1, 0, waiter), FAILED)
})
