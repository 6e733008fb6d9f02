import t from 'tap'
import { Gather } from '../../../ts/base/gather.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { openLabelled } from '../../../ts/disk/labelled-disk.ts'
import { Plex } from '../../../ts/plex/plex.ts'
import { aggregate, makeDisks, pair } from '../../support/image-world.ts'
import { MemoryWorld } from '../../support/memory-world.ts'

function setting(byteLengths: number[]) {
  const world = new MemoryWorld()
  const disks = makeDisks(world, byteLengths)
  const labelled = disks.map((disk, diskIndex) => {
    const expected = { pair, aggregate, plex: 0, diskIndex, diskCount: disks.length }
    return world.run(openLabelled(disk, expected, world.memory))
  })
  return { world, disks, plex: new Plex(labelled) }
}

t.test('disks follow each other in the block space, each from a map block on', async (t) => {
  const { plex } = setting([16 * MIB, 32 * MIB])
  t.equal(plex.segments[1]!.first, 32768)
  t.equal(
    plex.usableBlocks,
    plex.segments.reduce((sum, { first, end }) => sum + end - first, 0),
  )
  t.ok(plex.holds(0))
  t.notOk(plex.holds(plex.segments[0]!.end), 'there is nothing between the disks')
  t.notOk(plex.holds(plex.segments[0]!.end - 1, 2))
  t.ok(plex.holds(plex.blockCount - 1))
  t.notOk(plex.holds(plex.blockCount))
})

t.test('a request over the border of two disks is split', async (t) => {
  // the first disk has exactly one map block's reach, so the second follows without a gap
  const { world, disks, plex } = setting([4 * MIB + 128 * MIB + MIB, 16 * MIB])
  const [first, second] = plex.segments
  t.equal(first!.end, second!.first)
  const memory = world.memory.allocate(8 * BLOCK_SIZE)
  for (let block = 0; block < 8; block += 1)
    memory.bytes.fill(block + 1, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
  const gather = new Gather()
  for (const block of [4, 5, 0, 1, 6, 2]) gather.add(memory.address + block * BLOCK_SIZE, BLOCK_SIZE)
  let result = 0
  plex.write(first!.end - 3, gather, {
    complete: (answer) => {
      result = answer
    },
  })
  world.settle()
  t.equal(result, 6 * BLOCK_SIZE)
  const { zones } = second!.labelled
  t.equal(disks[1]!.bytes[zones.blocksAt], 2)
  t.equal(disks[1]!.bytes[zones.blocksAt + 2 * BLOCK_SIZE], 3)
  memory.bytes.fill(0)
  plex.read(first!.end - 3, gather, {
    complete: (answer) => {
      result = answer
    },
  })
  world.settle()
  t.same(
    [4, 5, 0, 1, 6, 2].map((block) => memory.bytes[block * BLOCK_SIZE]),
    [5, 6, 1, 2, 7, 3],
  )
})

t.test('a flush needs every disk', async (t) => {
  const { world, disks, plex } = setting([16 * MIB, 16 * MIB])
  t.equal(world.run(plex.flushed()), 0)
  disks[1]!.failFlush = () => true
  t.equal(world.run(plex.flushed()), -5)
  t.match(plex.failure, /disk1: flush/)
})
