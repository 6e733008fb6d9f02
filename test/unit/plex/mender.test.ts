import t from 'tap'
import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import type { Copy } from '../../../ts/plex/copies.ts'
import { Mender } from '../../../ts/plex/mender.ts'
import { plexOf } from '../../../ts/volume/open-plexes.ts'
import { MemoryWorld } from '../../support/memory-world.ts'
import { answers, copiesOf, makePlexes } from '../../support/mirror-world.ts'

function setting() {
  const world = new MemoryWorld()
  const [[disk], [mirror]] = makePlexes(world)
  const both = copiesOf(world, [[disk!], [mirror!]])
  const mender = new Mender(plexOf(both.copies), both.copies, world.memory)
  const mended: [number, number][] = []
  mender.onMended = (physical, copy) => mended.push([physical, copy.plex])
  const source = world.memory.allocate(2 * BLOCK_SIZE)
  source.bytes.fill(7, BLOCK_SIZE)
  const mend = (physical: number, copy: Copy): boolean => mender.mend(physical, source, BLOCK_SIZE, copy)
  const at = (physical: number): number => both.first.disks[0]!.zones.blocksAt + physical * BLOCK_SIZE
  return { world, disk: disk!, mirror: mirror!, mender, mended, source, mend, at, ...both }
}

t.test('a good block is written to its place on the one plex that has it bad', async (t) => {
  const { world, disk, mirror, mender, mended, source, mend, at, second } = setting()
  t.ok(mend(5, second))
  source.bytes.fill(9)
  t.same([mender.inFlight, mender.mended], [1, 0])
  world.settle()
  t.same(
    mirror.bytes.subarray(at(5), at(6)),
    new Uint8Array(BLOCK_SIZE).fill(7),
    'as it was when it was asked for',
  )
  t.same([disk.bytes[at(5)], mirror.bytes[at(6)]], [0, 0])
  t.match(mender, { inFlight: 0, mended: 1 })
  t.same(mended, [[5, 1]])
})

t.test('a block that a read and a scrub find at the same time is written once', async (t) => {
  const { world, mirror, mender, mended, mend, first, second } = setting()
  let writes = 0
  mirror.failWrite = () => {
    writes += 1
    return false
  }
  t.ok(mend(5, second))
  t.ok(mend(5, second), 'it is on its way')
  t.ok(mend(5, first), 'to the other plex it is not')
  t.equal(mender.inFlight, 2)
  world.settle()
  t.equal(writes, 1)
  t.same(mended.toSorted(), [
    [5, 0],
    [5, 1],
  ])
  t.ok(mend(5, second), 'later it may be damaged again')
  t.equal(mender.inFlight, 1)
})

t.test('meanwhile no consistency point writes to blocks that are free', async (t) => {
  const { world, mend, copies, second } = setting()
  mend(5, second)
  t.notOk(copies.pins.mayOverwrite(1))
  world.settle()
  t.ok(copies.pins.mayOverwrite(1))
})

t.test('only a plex in sync is mended: what another one lacks a resync brings', async (t) => {
  const { mend, copies, first, second } = setting()
  copies.setState(second, 'filling')
  t.notOk(mend(5, second))
  copies.setState(second, 'missing')
  t.notOk(mend(5, second))
  t.ok(mend(5, first))
})

t.test('nothing is mended while a disk has to be readmitted first', async (t) => {
  const { world, mirror, mend, copies, first } = setting()
  mirror.failFlush = () => true
  copies.all[1]!.disks[0]!.disk.flush(answers())
  world.settle()
  t.ok(copies.failure)
  t.notOk(mend(5, first))
})

t.test(
  'a block that cannot be mended makes its plex missing, and lets consistency points go on',
  async (t) => {
    const { world, mirror, mender, mended, mend, copies, second } = setting()
    mirror.failWrite = () => true
    t.ok(mend(5, second))
    world.settle()
    t.match(second, { state: 'missing', because: 'block 5 cannot be mended (error 5)' })
    t.match(mender, { inFlight: 0, mended: 0 })
    t.same(mended, [])
    t.ok(copies.pins.mayOverwrite(1))
  },
)

t.test('so many blocks are mended at once, and others when these are done', async (t) => {
  const { world, mirror, mender, mend, at, second } = setting()
  const begun = Array.from({ length: 40 }, (_, physical) => mend(physical, second))
  t.equal(begun.filter(Boolean).length, 16)
  world.settle()
  t.ok(mend(30, second))
  world.settle()
  t.equal(mender.mended, 17)
  t.same(
    [0, 15, 16, 30].map((physical) => mirror.bytes[at(physical)]),
    [7, 7, 0, 7],
  )
})
