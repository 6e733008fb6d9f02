import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { openLabelled } from '../../../ts/disk/labelled-disk.ts'
import { Plex } from '../../../ts/plex/plex.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import { FAILED, WAIT } from '../../../ts/volume/answers.ts'
import { BlockCache, CACHE_FRAMES_MIN } from '../../../ts/volume/cache.ts'
import { aggregate, makeDisks, pair } from '../../support/image-world.ts'
import { MemoryWorld, SeededRandom } from '../../support/memory-world.ts'
import { wakes } from './wakes.ts'

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
