import t from 'tap'
import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import { FAILED } from '../../../ts/volume/answers.ts'
import { BlockCache } from '../../../ts/volume/cache.ts'
import { plexOf } from '../../../ts/volume/open-plexes.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'
import { copiesOf, makePlexes } from '../../support/mirror-world.ts'
import { wakes } from './wakes.ts'

/** Two plexes with the same content; the cache tells what it has found elsewhere, and what nowhere. */
function mirrored() {
  const world = new MemoryWorld()
  const plexes = makePlexes(world)
  const disks = plexes.map(([disk]) => disk!) as [MemoryDisk, MemoryDisk]
  const { copies, first, second } = copiesOf(world, plexes)
  const { blocksAt } = first.disks[0]!.zones
  const cache = new BlockCache(plexOf(copies), world.memory, 0, copies)
  const at = (block: number): number => blocksAt + block * BLOCK_SIZE
  for (const { bytes } of disks)
    for (let block = 0; block < 64; block += 1) new Uint32Array(bytes.buffer, at(block), 1024).fill(block + 7)
  const scratch = world.memory.allocate(BLOCK_SIZE)
  const checksum = (block: number): number => {
    scratch.u32.fill(block + 7)
    return world.memory.checksum(scratch.address, BLOCK_SIZE)
  }
  const told: string[] = []
  cache.onDamage = (physical, why) => told.push(`${physical}: ${why}`)
  cache.onFoundElsewhere = (physical, frame, copy) => {
    const word = cache.u32[cache.frameWord(frame)]
    told.push(`${physical}: not on plex ${copy.plex}, which should have ${word! - 7}`)
  }
  const spoil = (plex: number, block: number): void => {
    disks[plex]!.bytes[at(block) + 9] = 0xee
  }
  const refuse = (plex: number, block: number): void => {
    disks[plex]!.badBlocks.add(at(block) / BLOCK_SIZE)
  }
  /** The first word of each block, or why there is none. */
  const read = (...blocks: number[]): number[] => {
    for (let turn = 0; turn < 6; turn += 1) {
      for (const block of blocks) cache.get(block, checksum(block), undefined)
      cache.submit()
      world.settle()
    }
    const frames = blocks.map((block) => cache.get(block, checksum(block), undefined))
    return frames.map((frame) => (frame < 0 ? frame : cache.u32[cache.frameWord(frame)]! - 7))
  }
  return { world, disks, cache, copies, first, second, checksum, told, spoil, refuse, read }
}

t.test('of two plexes one is read', async (t) => {
  const { disks, told, read } = mirrored()
  const before = disks[1].reads
  t.same(read(5, 6), [5, 6])
  t.same([disks[1].reads, told], [before, []])
})

for (const [what, harm] of [
  ['does not match its checksum', 'spoil'],
  ['cannot be read', 'refuse'],
] as const) {
  t.test(`a block that ${what} on one plex comes from the other, and the plex is told of once`, async (t) => {
    const here = mirrored()
    here[harm](0, 5)
    t.same(here.read(4, 5, 6), [4, 5, 6])
    t.same(here.told, ['5: not on plex 0, which should have 5'])
    t.match(here.cache.counters, { checksumErrors: 0, readErrors: 0 })
  })
}

t.test('a block that no plex has is asked of both twice, and told of once', async (t) => {
  const { disks, told, spoil, read, cache } = mirrored()
  spoil(0, 5)
  spoil(1, 5)
  const before = disks.map(({ reads }) => reads)
  t.same(read(5), [FAILED])
  t.same(
    disks.map(({ reads }, plex) => reads - before[plex]!),
    [2, 2],
  )
  t.same(told, ['5: checksum'])
  t.equal(cache.counters.checksumErrors, 1)
})

t.test('a block that one plex cannot read and the other has wrong is damaged', async (t) => {
  const { told, spoil, refuse, read } = mirrored()
  refuse(0, 5)
  spoil(1, 5)
  t.same(read(5), [FAILED])
  t.same(told, ['5: checksum'])
})

t.test('different blocks may be bad on different plexes', async (t) => {
  const { told, spoil, read } = mirrored()
  for (const block of [10, 12]) spoil(0, block)
  for (const block of [11, 13]) spoil(1, block)
  t.same(read(10, 11, 12, 13), [10, 11, 12, 13])
  t.same(
    told,
    [10, 12].map((block) => `${block}: not on plex 0, which should have ${block}`),
  )
})

t.test('with one plex missing, the other one is asked twice', async (t) => {
  const { disks, copies, first, told, spoil, read } = mirrored()
  copies.failed(first, 'it is gone')
  spoil(1, 5)
  const before = disks.map(({ reads }) => reads)
  t.same(read(5, 6), [FAILED, 6])
  t.same([disks[0].reads, told], [before[0], ['5: checksum']])
})

t.test('a plex that has come back is not asked for what the other one was asked for before', async (t) => {
  const { world, cache, copies, first, checksum, told, spoil, refuse, read } = mirrored()
  copies.failed(first, 'it is gone')
  const waiter = wakes()
  cache.get(5, checksum(5), waiter)
  cache.submit()
  // it was freed while nobody answered, and so the resync has not brought it
  spoil(0, 5)
  refuse(1, 5)
  copies.setState(first, 'in-sync')
  cache.plexReturned()
  world.settle()
  cache.submit()
  world.settle()
  t.same([waiter.count, told], [1, []], 'whoever waits looks where the block is now')
  t.same(read(6), [6])
  cache.get(5, checksum(5), waiter)
  t.same([read(5), told], [[FAILED], ['5: unreadable']], 'and is told, if it still is there')
})
