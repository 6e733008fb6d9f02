import t from 'tap'
import { BLOCK_SIZE, GIB, MIB, TIB } from '../../../ts/base/units.ts'
import { VOLUMES_MAX } from '../../../ts/format/volume-record.ts'
import { VolumeDirectory } from '../../../ts/volume/directory.ts'
import { Space } from '../../../ts/volume/space.ts'
import { MemoryTwin } from '../../support/memory-world.ts'

const identity = new Uint8Array(16)
const make = (): VolumeDirectory =>
  new VolumeDirectory(new Space([{ first: 0, end: 8192 }], 8192, new MemoryTwin()))
const root = (physical: number): Uint32Array => Uint32Array.of(physical, 1, 2, 3)

t.test('volumes are found by name and number, and numbers are never used again', async (t) => {
  const directory = make()
  directory.create(1, 'a', MIB, identity)
  directory.create(2, 'b', GIB, identity)
  t.equal(directory.find('b')?.volume, 2)
  t.equal(directory.get(1)?.name, 'a')
  directory.remove(1)
  t.equal(directory.find('a'), undefined)
  t.equal(directory.create(3, 'c', MIB, identity).place, 0, 'the place is used again')
  t.same(
    directory.list().map(({ name }) => name),
    ['b', 'c'],
  )
  directory.rename(3, 'aa')
  t.equal(directory.find('c'), undefined)
  t.same(
    directory.list().map(({ name }) => name),
    ['aa', 'b'],
  )
  t.throws(() => directory.create(3, 'd', MIB, identity), /numbered in the order/)
})

t.test('mistakes are named before anything is logged', async (t) => {
  const directory = make()
  directory.create(1, 'a', MIB, identity)
  t.match(directory.mistakeInCreate('a', MIB), { code: 'VOLUME_EXISTS' })
  t.match(directory.mistakeInRename('b', 'a'), { code: 'VOLUME_EXISTS' })
  t.equal(directory.mistakeInRename('a', 'a'), undefined)
  for (const name of ['', '-a', '.', 'a b', 'ä', 'a/b', 'a'.repeat(129)]) {
    t.match(directory.mistakeInCreate(name, MIB), { code: 'VOLUME_INVALID' }, name)
  }
  t.equal(directory.mistakeInCreate(`A0._-${'a'.repeat(123)}`, MIB), undefined)
  for (const size of [0, -4096, 4097, 1.5, Number.NaN, 16 * TIB]) {
    t.match(directory.mistakeInResize('a', size), { code: 'VOLUME_INVALID' }, String(size))
  }
  t.equal(directory.mistakeInResize('a', 16 * TIB - BLOCK_SIZE), undefined)
})

t.test('there is a limit to the number of volumes', async (t) => {
  const directory = make()
  for (let volume = 1; volume <= VOLUMES_MAX; volume += 1)
    directory.create(volume, `v${volume}`, MIB, identity)
  t.match(directory.mistakeInCreate('one-more', MIB), { code: 'VOLUME_LIMIT' })
})

t.test('what changes after a freeze does not show in it', async (t) => {
  const directory = make()
  directory.create(1, 'a', MIB, identity)
  const frozen = directory.freeze()
  directory.rename(1, 'b')
  directory.resize(1, GIB)
  directory.create(2, 'c', MIB, identity)
  t.match(frozen.volumes, [{ volume: 1, name: 'a', size: MIB }])
  t.equal(frozen.nextVolume, 2)
  t.same([...frozen.changedPlaces], [0])
  directory.publish(new Map([[1, { root: root(5), height: 1, mappedBlocks: 3, createdIn: 2 }]]))
  t.match(directory.get(1), {
    name: 'b',
    size: GIB,
    height: 1,
    heightNeeded: 3,
    mappedBlocks: 3,
    createdIn: 2,
  })
  t.same([...directory.freeze().changedPlaces].sort(), [0, 1])
  t.equal(directory.freeze().changedPlaces.size, 0)
})

t.test('a volume deleted during a consistency point is freed with the tree that this one made', async (t) => {
  const directory = make()
  directory.create(1, 'a', MIB, identity)
  t.equal(directory.freeze().removed.length, 0)
  directory.remove(1)
  directory.publish(new Map([[1, { root: root(9), height: 1, mappedBlocks: 3, createdIn: 2 }]]))
  t.same(directory.freeze().removed, [{ root: root(9), height: 1 }])
  t.same(directory.freeze().removed, [])
})

t.test('a volume that was never on disk leaves nothing to free', async (t) => {
  const directory = make()
  directory.create(1, 'a', MIB, identity)
  directory.remove(1)
  const frozen = directory.freeze()
  t.same(frozen.removed, [])
  t.same([...frozen.changedPlaces], [0])
})

t.test('the smallest size since the last freeze is where a volume was cut', async (t) => {
  const directory = make()
  directory.create(1, 'a', GIB, identity)
  directory.freeze()
  directory.resize(1, 8 * MIB)
  directory.resize(1, 64 * MIB)
  directory.resize(1, 16 * MIB)
  t.equal(directory.freeze().volumes[0]!.cutBlock, (8 * MIB) / BLOCK_SIZE)
  t.equal(directory.freeze().volumes[0]!.cutBlock, Number.POSITIVE_INFINITY)
})
