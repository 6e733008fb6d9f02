import t from 'tap'
import { BLOCK_SIZE, KIB, MIB } from '../../../ts/base/units.ts'
import { type LabelledDisk, openLabelled } from '../../../ts/disk/labelled-disk.ts'
import {
  readSuperblocks,
  SUPERBLOCK_COPIES_AT,
  type SuperblockValues,
  writeSuperblock,
} from '../../../ts/disk/superblock.ts'
import { superblockSlot } from '../../../ts/format/superblock.ts'
import { aggregate, makeDisks, pair } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'

interface Setting {
  world: MemoryWorld
  disks: MemoryDisk[]
  labelled: LabelledDisk[]
  first: SuperblockValues
}

function setting(): Setting {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [16 * MIB, 16 * MIB])
  const labelled = disks.map((disk, diskIndex) =>
    world.run(openLabelled(disk, { pair, aggregate, plex: 0, diskIndex, diskCount: 2 }, world.memory)),
  )
  const first = world.run(readSuperblocks(labelled, 0, world.memory)).newest!
  return { world, disks, labelled, first }
}

function write({ world, labelled, first }: Setting, epoch: number, generation: number): void {
  const values = { ...first, epoch, generation, slot: superblockSlot(epoch, generation) }
  t.equal(world.run(writeSuperblock(labelled, values, world.memory)), 0)
}

const found = ({ world, labelled }: Setting, allowed = 100) => {
  const { newest, previous, refusedEpoch, problems } = world.run(
    readSuperblocks(labelled, allowed, world.memory),
  )
  const short = (each: SuperblockValues | undefined) => each && [each.epoch, each.generation]
  return { newest: short(newest), previous: short(previous), refusedEpoch, problems }
}

/** Byte offsets of all copies of a slot. */
const copies = (epoch: number, generation: number): number[] =>
  SUPERBLOCK_COPIES_AT.map((copyAt) => MIB + copyAt + superblockSlot(epoch, generation) * BLOCK_SIZE)

t.test('the newest generation of the newest allowed epoch counts', async (t) => {
  const all = setting()
  t.match(found(all), { newest: [0, 1], previous: undefined })
  write(all, 1, 2)
  write(all, 1, 3)
  write(all, 2, 4)
  t.match(found(all), { newest: [2, 4], previous: [1, 3], refusedEpoch: -1 })
  t.match(found(all, 1), { newest: [1, 3], previous: [1, 2], refusedEpoch: 2 })
  write(all, 1, 4)
  write(all, 1, 5)
  t.match(found(all), { newest: [2, 4] }, 'a late writer of an older epoch changes nothing')
})

t.test('one whole copy on one disk is enough', async (t) => {
  const all = setting()
  write(all, 1, 2)
  write(all, 1, 3)
  const places = all.disks.flatMap((disk) => copies(1, 3).map((at) => ({ disk, at })))
  t.equal(places.length, 4)
  for (const kept of places) {
    const saved = places.map(({ disk, at }) => disk.bytes.slice(at, at + BLOCK_SIZE))
    for (const { disk, at } of places.filter((each) => each !== kept)) disk.bytes[at + 2000] = 0xee
    const { newest, problems } = found(all)
    t.same(newest, [1, 3])
    t.equal(problems.length, 3)
    for (const [index, { disk, at }] of places.entries()) disk.bytes.set(saved[index]!, at)
  }
  for (const { disk, at } of places) disk.bytes.fill(0xee, at + KIB, at + BLOCK_SIZE)
  t.same(found(all).newest, [1, 2], 'torn everywhere, the one before counts')
})

t.test('a superblock in the wrong slot or from the wrong disk is not believed', async (t) => {
  const all = setting()
  write(all, 1, 2)
  write(all, 1, 3)
  const [older] = copies(1, 2)
  const [newer] = copies(1, 3)
  const [first, second] = all.disks as [MemoryDisk, MemoryDisk]
  first.bytes.copyWithin(older!, newer!, newer! + BLOCK_SIZE)
  t.match(found(all).problems.join(), /another slot/)
  second.bytes.set(first.bytes.subarray(newer!, newer! + BLOCK_SIZE), newer!)
  t.match(found(all).problems.join(), /another disk/)
  t.same(found(all).newest, [1, 3])
})

t.test('a superblock that says what cannot be is not believed', async (t) => {
  const impossible: Partial<SuperblockValues>[] = [
    { mapIndexCount: 257 },
    { directoryHeight: 5 },
    { directoryHeight: 2 ** 32 - 1 },
    { lastSequence: 2 ** 52 + 1 },
  ]
  for (const values of impossible) {
    const all = setting()
    write(all, 1, 2)
    write({ ...all, first: { ...all.first, ...values } }, 1, 3)
    t.same(found(all).newest, [1, 2], JSON.stringify(values))
    t.match(found(all).problems.join(), /impossible/)
  }
})

t.test('a slot that cannot be read costs only itself', async (t) => {
  const all = setting()
  write(all, 1, 2)
  for (const disk of all.disks) for (const at of copies(0, 1)) disk.badBlocks.add(at / BLOCK_SIZE)
  t.match(found(all), { newest: [1, 2], previous: undefined })
  t.match(found(all).problems.join(), /cannot be read/)
})
