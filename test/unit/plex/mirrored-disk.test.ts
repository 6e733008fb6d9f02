import t from 'tap'
import { Gather } from '../../../ts/base/gather.ts'
import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import type { CopyState } from '../../../ts/plex/copies.ts'
import { MirroredDisk } from '../../../ts/plex/mirrored-disk.ts'
import { MemoryWorld } from '../../support/memory-world.ts'
import { answers, copiesOf, makePlexes } from '../../support/mirror-world.ts'

function setting(states?: readonly CopyState[]) {
  const world = new MemoryWorld()
  const [[disk], [mirror]] = makePlexes(world)
  const both = copiesOf(world, [[disk!], [mirror!]], states)
  const { zones } = both.first.disks[0]!
  const memory = world.memory.allocate(4 * BLOCK_SIZE)
  const blocks = (from: number, count: number): Gather => {
    const gather = new Gather()
    gather.add(memory.address + from * BLOCK_SIZE, count * BLOCK_SIZE)
    return gather
  }
  const at = zones.blocksAt
  disk!.bytes.fill(1, at, at + BLOCK_SIZE)
  mirror!.bytes.fill(1, at, at + BLOCK_SIZE)
  return {
    world,
    disk: disk!,
    mirror: mirror!,
    mirrored: new MirroredDisk(both.copies, 0),
    at,
    memory,
    blocks,
    ...both,
  }
}

t.test('a write goes to both plexes, and is answered when both have it', async (t) => {
  const { world, disk, mirror, mirrored, at, memory, blocks } = setting()
  memory.bytes.fill(7)
  const done = answers()
  mirrored.write(at, blocks(0, 2), done)
  t.same(done.results, [])
  world.settle()
  t.same(done.results, [2 * BLOCK_SIZE])
  for (const { bytes } of [disk, mirror]) t.equal(bytes[at + BLOCK_SIZE], 7)
})

for (const plex of [0, 1]) {
  t.test(`a write that fails on plex ${plex} alone is good, and the plex is missing`, async (t) => {
    const { world, disk, mirror, mirrored, at, blocks, copies, first, second } = setting()
    const [failing, other] = plex === 0 ? [first, second] : [second, first]
    ;[disk, mirror][plex]!.failWrite = () => true
    const done = answers()
    mirrored.write(at, blocks(0, 1), done)
    world.settle()
    t.same(done.results, [BLOCK_SIZE])
    t.match(failing, { state: 'missing', because: /write at \d+ failed with error 5/ })
    t.equal(other.state, 'in-sync')
    t.equal(copies.failure, undefined)
    const writes = failing.disks[0]!.disk.counters.writes
    mirrored.write(at, blocks(0, 1), done)
    world.settle()
    t.equal(failing.disks[0]!.disk.counters.writes, writes, 'it is not written any more')
  })
}

t.test('a write that both plexes fail is failed, and one of them stays', async (t) => {
  const { world, disk, mirror, mirrored, at, blocks, copies } = setting()
  disk.failWrite = () => true
  mirror.failWrite = () => true
  const done = answers()
  mirrored.write(at, blocks(0, 1), done)
  world.settle()
  t.same(done.results, [-5])
  t.equal(copies.reading.length, 1)
  t.ok(mirrored.failure, 'it waits to be readmitted')
  mirrored.readmit()
  t.equal(mirrored.failure, undefined)
})

t.test('a write to one plex alone leaves the other one as it is, and its failure is its own', async (t) => {
  const { world, disk, mirror, mirrored, at, memory, blocks, second } = setting()
  memory.bytes.fill(7)
  const done = answers()
  mirrored.write(at, blocks(0, 1), done, second)
  world.settle()
  t.same([disk.bytes[at], mirror.bytes[at]], [1, 7])
  mirror.failWrite = () => true
  mirrored.write(at, blocks(0, 1), done, second)
  world.settle()
  t.same(done.results, [BLOCK_SIZE, -5])
  t.equal(second.state, 'in-sync', 'who asked decides what follows')
})

t.test('a read asks one plex, and the other one for what that cannot give', async (t) => {
  const { world, disk, mirror, mirrored, at, memory, blocks, first } = setting()
  mirror.bytes.fill(2, at, at + 2 * BLOCK_SIZE)
  const done = answers()
  const before = mirror.reads
  mirrored.read(at, blocks(0, 1), done)
  world.settle()
  t.same([done.results, memory.bytes[0], mirror.reads], [[BLOCK_SIZE], 1, before])
  disk.badBlocks.add(at / BLOCK_SIZE + 1)
  mirrored.read(at, blocks(0, 2), done)
  world.settle()
  t.same([done.results, memory.bytes[0]], [[BLOCK_SIZE, 2 * BLOCK_SIZE], 2])
  t.equal(first.state, 'in-sync', 'what cannot be read makes no plex missing')
  mirror.badBlocks.add(at / BLOCK_SIZE + 1)
  mirrored.read(at, blocks(0, 2), done)
  world.settle()
  t.equal(done.results[2], -5)
})

t.test('a read of one plex alone is content with what that one has', async (t) => {
  const { world, disk, mirror, mirrored, at, memory, blocks, copies, second } = setting()
  mirror.bytes.fill(2, at, at + BLOCK_SIZE)
  const done = answers()
  const before = disk.reads
  mirrored.read(at, blocks(0, 1), done, second)
  world.settle()
  t.same([done.results, memory.bytes[0], disk.reads], [[BLOCK_SIZE], 2, before])
  mirror.badBlocks.add(at / BLOCK_SIZE)
  mirrored.read(at, blocks(0, 1), done, second)
  world.settle()
  t.same([done.results[1], disk.reads], [-5, before])
  copies.setState(second, 'missing')
  mirrored.read(at, blocks(0, 1), done, second)
  world.settle()
  t.same([done.results[2], memory.bytes[0]], [BLOCK_SIZE, 1], 'unless it is not in sync any more')
})

t.test('a plex that is being filled is not read', async (t) => {
  const { world, mirror, mirrored, at, memory, blocks, second } = setting(['in-sync', 'filling'])
  mirror.bytes.fill(2, at, at + BLOCK_SIZE)
  const done = answers()
  for (const copy of [undefined, second]) {
    mirrored.read(at, blocks(0, 1), done, copy)
    world.settle()
    t.equal(memory.bytes[0], 1)
  }
})

for (const kind of ['write', 'flush'] as const) {
  t.test(`a ${kind} that fails on a plex that is being filled does not fail the request`, async (t) => {
    const { world, mirror, mirrored, at, blocks, copies, second } = setting(['in-sync', 'filling'])
    copies.isRecordedStale = () => true
    mirror.failWrite = () => kind === 'write'
    mirror.failFlush = () => kind === 'flush'
    const done = answers()
    if (kind === 'write') mirrored.write(at, blocks(0, 1), done)
    else mirrored.flush(done)
    world.settle()
    t.same(done.results, [kind === 'write' ? BLOCK_SIZE : 0])
    t.match(second, { state: 'missing', because: new RegExp(`mirror0: ${kind}`) })
  })

  t.test(
    `a ${kind} that fails on the only plex in sync fails, whatever one has that is being filled`,
    async (t) => {
      const { world, disk, mirrored, at, blocks, copies, first, second } = setting(['in-sync', 'filling'])
      copies.isRecordedStale = () => true
      disk.failWrite = () => kind === 'write'
      disk.failFlush = () => kind === 'flush'
      const done = answers()
      if (kind === 'write') mirrored.write(at, blocks(0, 1), done)
      else mirrored.flush(done)
      world.settle()
      t.same(done.results, [-5])
      t.same([first.state, second.state], ['in-sync', 'filling'])
    },
  )
}

t.test('a flush that one plex fails counts when the record says that this one is stale', async (t) => {
  const { world, mirror, mirrored, copies, second } = setting()
  let isStale = false
  copies.isRecordedStale = (plex) => isStale && plex === 1
  mirror.failFlush = () => true
  const done = answers()
  mirrored.flush(done)
  world.settle()
  t.equal(second.state, 'missing')
  copies.step()
  t.same(done.results, [])
  isStale = true
  copies.step()
  t.same(done.results, [0])
})

t.test('a flush that is held does not keep others from their turn', async (t) => {
  const { world, disk, mirrored, copies, at, blocks } = setting(['in-sync', 'missing'])
  copies.isRecordedStale = () => false
  const [flush, write] = [answers(), answers()]
  mirrored.flush(flush)
  world.settle()
  mirrored.write(at, blocks(0, 1), write)
  world.settle()
  t.same([flush.results, write.results], [[], [BLOCK_SIZE]])
  disk.failFlush = () => true
  mirrored.flush(flush)
  world.settle()
  t.same(flush.results, [-5], 'one that fails is answered at once')
})

t.test('it is closed when the disks of both plexes are', async (t) => {
  const { world, disk, mirror, mirrored, at, blocks } = setting(['in-sync', 'missing'])
  let closed = 0
  mirrored.write(at, blocks(0, 1), answers())
  mirrored.close(() => {
    closed += 1
  })
  t.same([closed, disk.closed, mirror.closed], [0, false, true])
  world.settle()
  t.same([closed, disk.closed], [1, true])
})
