import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { openLabelled } from '../../../ts/disk/labelled-disk.ts'
import { Plex } from '../../../ts/plex/plex.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import { FAILED, WAIT } from '../../../ts/volume/answers.ts'
import { BlockCache, CACHE_FRAMES_MIN } from '../../../ts/volume/cache.ts'
import { plexOf } from '../../../ts/volume/open-plexes.ts'
import { aggregate, makeDisks, pair } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'
import { copiesOf, makePlexes } from '../../support/mirror-world.ts'

function setting() {
  const world = new MemoryWorld()
  const [disk] = makeDisks(world, [32 * MIB])
  const expected = { pair, aggregate, plex: 0, diskIndex: 0, diskCount: 1 }
  const labelled = world.run(openLabelled(disk!, expected, world.memory))
  const cache = new BlockCache(new Plex([labelled]), world.memory, 0)
  const at = (block: number): number => labelled.zones.blocksAt + block * BLOCK_SIZE
  for (let block = 0; block < 4096; block += 1)
    new Uint32Array(disk!.bytes.buffer, at(block), 1024).fill(block + 7)
  const scratch = world.memory.allocate(BLOCK_SIZE)
  const checksum = (block: number): number => {
    scratch.bytes.set(disk!.bytes.subarray(at(block), at(block) + BLOCK_SIZE))
    return world.memory.checksum(scratch.address, BLOCK_SIZE)
  }
  const turn = (): void => {
    cache.submit()
    world.settle()
  }
  return { world, disk: disk!, cache, at, checksum, turn }
}

const wakes = () => ({
  count: 0,
  wake() {
    this.count += 1
  },
})

t.test('a miss is read, checked, and its waiter woken once', async (t) => {
  const { cache, checksum, turn } = setting()
  const waiter = wakes()
  t.equal(cache.get(5, checksum(5), waiter), WAIT)
  t.equal(cache.get(5, checksum(5), waiter), WAIT)
  t.equal(waiter.count, 0)
  turn()
  t.equal(waiter.count, 1)
  const frame = cache.get(5, checksum(5), waiter)
  t.ok(frame >= 0)
  t.equal(cache.u32[cache.frameWord(frame)], 12)
  t.equal(cache.counters.fetches, 1)
})

t.test('neighbours are read together', async (t) => {
  const { cache, checksum, turn } = setting()
  for (const block of [12, 10, 11, 30, 13]) cache.get(block, checksum(block), undefined)
  turn()
  t.equal(cache.counters.fetches, 2)
  for (const block of [10, 11, 12, 13, 30]) {
    t.equal(cache.u32[cache.frameWord(cache.get(block, checksum(block), undefined))], block + 7)
  }
})

t.test('a wrong checksum is tried twice, told once, and answered FAILED until it is forgotten', async (t) => {
  const { cache, disk, at, checksum, turn } = setting()
  const damage: [number, string][] = []
  cache.onDamage = (physical, why) => damage.push([physical, why])
  const good = checksum(9)
  disk.bytes[at(9)] = 99
  const waiter = wakes()
  cache.get(9, good, waiter)
  turn()
  t.equal(waiter.count, 0, 'it is read once more first')
  turn()
  t.equal(waiter.count, 1)
  t.equal(cache.get(9, good, waiter), FAILED)
  t.same(damage, [[9, 'checksum']])
  new Uint32Array(disk.bytes.buffer, at(9), 1024).fill(16)
  cache.forgetFailures()
  t.equal(cache.get(9, good, waiter), WAIT)
  turn()
  t.ok(cache.get(9, good, waiter) >= 0)
})

t.test('a failure is asked for again after some refusals', async (t) => {
  const { cache, disk, at, checksum, turn } = setting()
  const good = checksum(9)
  disk.badBlocks.add(at(9) / BLOCK_SIZE)
  cache.get(9, good, undefined)
  turn()
  turn()
  let refusals = 0
  while (cache.get(9, good, undefined) === FAILED && refusals < 1000) refusals += 1
  t.ok(refusals > 1 && refusals < 100)
  disk.badBlocks.clear()
  turn()
  t.ok(cache.get(9, good, undefined) >= 0)
})

t.test('a failure is not told to somebody who comes much later', async (t) => {
  const { cache, disk, at, checksum, turn } = setting()
  const good = checksum(9)
  disk.badBlocks.add(at(9) / BLOCK_SIZE)
  cache.get(9, good, undefined)
  turn()
  turn()
  t.equal(cache.get(9, good, undefined), FAILED, 'it is told to whoever waited')
  disk.badBlocks.clear()
  for (let turns = 0; turns < 1000; turns += 1) turn()
  const waiter = wakes()
  t.equal(cache.get(9, good, waiter), WAIT, 'the disk is asked first')
  turn()
  t.equal(waiter.count, 1)
  t.ok(cache.get(9, good, waiter) >= 0)
})

t.test('an unreadable block does not spoil the others of the same read', async (t) => {
  const { cache, disk, at, checksum, turn } = setting()
  const damage: [number, string][] = []
  cache.onDamage = (physical, why) => damage.push([physical, why])
  disk.badBlocks.add(at(21) / BLOCK_SIZE)
  for (let block = 20; block < 28; block += 1) cache.get(block, checksum(block), undefined)
  turn()
  turn()
  t.same(damage, [[21, 'unreadable']])
  for (const block of [20, 22, 27]) t.ok(cache.get(block, checksum(block), undefined) >= 0)
})

t.test('another content of the same place is fetched anew', async (t) => {
  const { cache, disk, at, checksum, turn } = setting()
  cache.get(3, checksum(3), undefined)
  turn()
  t.ok(cache.get(3, checksum(3), undefined) >= 0)
  disk.bytes.fill(1, at(3), at(3) + BLOCK_SIZE)
  const waiter = wakes()
  t.equal(cache.get(3, checksum(3), waiter), WAIT)
  turn()
  t.ok(cache.get(3, checksum(3), waiter) >= 0)
})

t.test('a block that is overwritten while it is read is not kept', async (t) => {
  const { world, cache, disk, at, checksum, turn } = setting()
  const damage: unknown[] = []
  cache.onDamage = (physical) => damage.push(physical)
  const waiter = wakes()
  cache.get(3, checksum(3), waiter)
  cache.submit()
  cache.invalidate(3)
  disk.bytes.fill(1, at(3), at(3) + BLOCK_SIZE)
  world.settle()
  t.equal(waiter.count, 1)
  t.same(damage, [])
  t.equal(cache.get(3, checksum(3), waiter), WAIT)
  turn()
  t.ok(cache.get(3, checksum(3), waiter) >= 0)
})

t.test('a fresh block is there without being read', async (t) => {
  const { world, cache, checksum } = setting()
  const memory = world.memory.allocate(2 * BLOCK_SIZE)
  memory.bytes.fill(5, BLOCK_SIZE)
  const fresh = world.memory.checksum(memory.address + BLOCK_SIZE, BLOCK_SIZE)
  cache.put(77, fresh, memory, BLOCK_SIZE)
  const frame = cache.get(77, fresh, undefined)
  t.equal(cache.memory.bytes[frame * BLOCK_SIZE], 5)
  t.equal(cache.get(77, checksum(77), undefined), WAIT)
})

t.test('what is written again and again stays, and what it replaces goes first', async (t) => {
  const { cache, checksum, turn, disk, at } = setting()
  const live = Math.floor(CACHE_FRAMES_MIN * 0.6)
  const memory = { bytes: disk.bytes } as Memory
  let places = Array.from({ length: live }, (_, block) => block)
  let next = live
  for (const _ of ['asked for', 'used']) {
    for (const place of places) cache.get(place, checksum(place), undefined)
    turn()
  }
  for (let round = 0; round < 4; round += 1) {
    const misses = cache.counters.misses
    places = places.map((old) => {
      cache.get(old, checksum(old), undefined)
      const place = next
      next += 1
      cache.put(place, checksum(place), memory, at(place))
      cache.fade(old)
      turn()
      return place
    })
    t.equal(cache.counters.misses, misses, `round ${round}`)
  }
})

t.test('frames of this turn are not reused before it ends, and who found none asks again', async (t) => {
  const { cache, checksum, turn } = setting()
  const all = CACHE_FRAMES_MIN
  for (let from = 0; from < all; from += all / 4) {
    for (let block = from; block < from + all / 4; block += 1) cache.get(block, checksum(block), undefined)
    turn()
  }
  const frames = new Set<number>()
  for (let block = 0; block < all; block += 1) frames.add(cache.get(block, checksum(block), undefined))
  t.equal(frames.size, CACHE_FRAMES_MIN)
  t.notOk(frames.has(WAIT))
  const starved = wakes()
  t.equal(cache.get(1000, checksum(1000), starved), WAIT)
  t.equal(starved.count, 0)
  cache.submit()
  t.equal(starved.count, 1, 'nothing is in flight that could wake it later')
  t.equal(cache.get(1000, checksum(1000), starved), WAIT)
  turn()
  t.equal(starved.count, 2)
  t.ok(cache.get(1000, checksum(1000), starved) >= 0)
})

t.test('scattered blocks are read a bounded number at a time, and all of them come', async (t) => {
  const world = new MemoryWorld()
  const [disk] = makeDisks(world, [32 * MIB])
  const expected = { pair, aggregate, plex: 0, diskIndex: 0, diskCount: 1 }
  const plex = new Plex([world.run(openLabelled(disk!, expected, world.memory))])
  const cache = new BlockCache(plex, world.memory, 16 * MIB)
  let [inFlight, most] = [0, 0]
  const read = plex.read.bind(plex)
  plex.read = (first, gather, done) => {
    inFlight += 1
    most = Math.max(most, inFlight)
    read(first, gather, {
      complete: (result) => {
        inFlight -= 1
        done.complete(result)
      },
    })
  }
  const zeroes = world.memory.checksum(world.memory.allocate(BLOCK_SIZE).address, BLOCK_SIZE)
  const waiting = new Set(Array.from({ length: 1800 }, (_, index) => index * 3))
  const blocks = [...waiting]
  for (let turn = 0; turn < 50 && waiting.size > 0; turn += 1) {
    for (const block of blocks) if (cache.get(block, zeroes, wakes()) >= 0) waiting.delete(block)
    cache.submit()
    if (turn > 3) world.settle()
  }
  t.equal(waiting.size, 0)
  t.equal(most, 512, 'a ring of I/O has room for them, and for everything else')
})

t.test('reads of clients leave frames for a consistency point', async (t) => {
  const { cache, checksum, turn } = setting()
  for (let block = 0; block < 2 * CACHE_FRAMES_MIN; block += 2) cache.get(block, checksum(block), undefined)
  t.equal(cache.get(1001, checksum(1001), wakes()), WAIT)
  const point = wakes()
  cache.isForPoint = true
  t.equal(cache.get(1003, checksum(1003), point), WAIT)
  cache.isForPoint = false
  turn()
  t.ok(cache.get(1003, checksum(1003), undefined) >= 0, 'it was read in this turn')
  t.equal(cache.get(1001, checksum(1001), undefined), WAIT, 'the other one was not')
})

t.test('only half of the frames are on their way at once, and everybody is served', async (t) => {
  const { cache, checksum, turn } = setting()
  const waiting = new Set(Array.from({ length: 1000 }, (_, index) => index * 2))
  let turns = 0
  while (waiting.size > 0 && turns < 100) {
    turns += 1
    for (const block of waiting) if (cache.get(block, checksum(block), wakes()) >= 0) waiting.delete(block)
    turn()
  }
  t.equal(waiting.size, 0, `after ${turns} turns`)
})

t.test('more blocks than frames all come, one after the other', async (t) => {
  const { cache, checksum, turn } = setting()
  const random = new SeededRandom(1)
  for (let step = 0; step < 300; step += 1) {
    const block = random.below(3000)
    for (let tries = 0; ; tries += 1) {
      const frame = cache.get(block, checksum(block), undefined)
      if (frame >= 0) {
        t.equal(cache.u32[cache.frameWord(frame) + 5], block + 7)
        break
      }
      if (tries > 3) throw new Error('it does not come')
      turn()
    }
  }
})

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
  return { disks, cache, copies, first, second, told, spoil, refuse, read }
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
