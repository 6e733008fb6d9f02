import t from 'tap'
import { Gather } from '../../../ts/base/gather.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { GuardedDisk } from '../../../ts/disk/guarded-disk.ts'
import { flushDisk, readBytes, writeBytes } from '../../../ts/disk/transfers.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'

function guarded(): {
  world: MemoryWorld
  inner: MemoryDisk
  disk: GuardedDisk
  address: number
  bytes: Uint8Array
} {
  const world = new MemoryWorld()
  const inner = world.disk('/dev/a', 4 * MIB)
  for (let block = 0; block < inner.byteLength / BLOCK_SIZE; block += 1) {
    inner.bytes.fill(block & 255, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
  }
  const memory = world.memory.allocate(MIB)
  const disk = new GuardedDisk(inner, world.memory.allocate(BLOCK_SIZE))
  return { world, inner, disk, address: memory.address, bytes: memory.bytes }
}

t.test('after a failed write everything is refused until the disk is admitted again', async (t) => {
  const { world, inner, disk, address } = guarded()
  const failures: string[] = []
  disk.onFailure = (_, what) => failures.push(what)
  inner.failWrite = (at) => at === 8192
  t.equal(world.run(writeBytes(disk, 4096, address, 4096)), 0)
  t.equal(world.run(writeBytes(disk, 8192, address, 4096)), -5)
  t.equal(world.run(writeBytes(disk, 8192, address, 4096)), -5)
  inner.failWrite = () => false
  t.equal(world.run(writeBytes(disk, 4096, address, 4096)), -5, 'it is not believed again by itself')
  t.equal(world.run(flushDisk(disk)), -5)
  t.equal(world.run(readBytes(disk, 4096, address, 4096)), 0, 'reading goes on')
  t.same(failures, ['write at 8192 failed with error 5'])
  t.equal(disk.counters.refused, 3)
  disk.readmit()
  t.equal(world.run(writeBytes(disk, 4096, address, 4096)), 0)
})

t.test('a failed flush is as bad as a failed write', async (t) => {
  const { world, inner, disk, address } = guarded()
  inner.failFlush = () => true
  t.equal(world.run(flushDisk(disk)), -5)
  inner.failFlush = () => false
  t.equal(world.run(flushDisk(disk)), -5, 'the kernel reports it only once')
  t.equal(world.run(writeBytes(disk, 4096, address, 4096)), -5)
})

t.test('a refusal never comes before the call has returned', async (t) => {
  const { world, inner, disk, address } = guarded()
  inner.failWrite = () => true
  world.run(writeBytes(disk, 4096, address, 4096))
  let answered = false
  const gather = new Gather()
  gather.add(address, 4096)
  disk.write(4096, gather, {
    complete: () => {
      answered = true
    },
  })
  t.notOk(answered)
  world.settle()
  t.ok(answered)
})

t.test('one bad block does not hide its neighbours', async (t) => {
  const { world, inner, disk, address, bytes } = guarded()
  inner.badBlocks.add(13)
  const bad: number[] = []
  disk.onBadBlock = (_, at) => bad.push(at / BLOCK_SIZE)
  t.equal(world.run(readBytes(disk, 0, address, 64 * BLOCK_SIZE)), -5)
  t.same(bad, [13])
  for (let block = 0; block < 64; block += 1) {
    if (block !== 13) t.equal(bytes[block * BLOCK_SIZE], block)
  }
  t.equal(disk.counters.badBlocks, 1)
  t.equal(disk.counters.readErrors, 1)
  t.ok(inner.reads < 20)
})

t.test('a dead disk is not probed block by block', async (t) => {
  const { world, inner, disk, address } = guarded()
  for (let block = 0; block < 256; block += 1) inner.badBlocks.add(block)
  t.equal(world.run(readBytes(disk, 0, address, 256 * BLOCK_SIZE)), -5)
  t.ok(inner.reads < 40)
})

t.test('it is closed once nothing is in flight', async (t) => {
  const { world, inner, disk, address } = guarded()
  let closed = false
  const gather = new Gather()
  gather.add(address, 4096)
  disk.write(4096, gather, { complete: () => t.notOk(inner.closed) })
  disk.close(() => {
    closed = true
  })
  t.notOk(inner.closed)
  world.settle()
  t.ok(inner.closed && closed)
  t.throws(() => disk.write(4096, gather, { complete: () => {} }), /is closed/)
})
