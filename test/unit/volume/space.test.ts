import t from 'tap'
import { Space, worstCaseBlocks } from '../../../ts/volume/space.ts'
import { MemoryTwin, SeededRandom } from '../../support/memory-world.ts'

const make = (...lengths: number[]): Space => {
  const intervals: { first: number; end: number }[] = []
  let first = 0
  for (const length of lengths) {
    intervals.push({ first, end: first + length })
    first = Math.ceil((first + length) / 32768) * 32768
  }
  return new Space(intervals, intervals.at(-1)!.end, new MemoryTwin())
}

function takeAll(space: Space): Set<number> {
  const taken = new Set<number>()
  for (let count = space.allocate(256); count > 0; count = space.allocate(256)) {
    for (let block = space.first; block < space.first + count; block += 1) taken.add(block)
  }
  return taken
}

t.test('every block is handed out once, and none in the gap between disks', async (t) => {
  const space = make(1000, 64)
  const taken = takeAll(space)
  t.equal(taken.size, 1064)
  t.notOk([...taken].some((block) => block >= 1000 && block < 32768))
  t.equal(Math.max(...taken), 32768 + 63)
})

t.test('what a generation frees is free again two generations later, and not before', async (t) => {
  const space = make(2048)
  space.begin()
  t.equal(space.allocate(100), 100)
  const { first } = space
  space.publish()
  space.begin()
  for (let block = first; block < first + 100; block += 1) space.free(block)
  t.equal(space.freeing, 100)
  t.notOk(takeAll(space).has(first), 'the newest superblock reaches it')
  space.revert(false)
  for (let block = first; block < first + 100; block += 1) space.free(block)
  space.publish()
  t.equal(space.used, 0)
  t.equal(space.freeing, 100)
  space.begin()
  t.notOk(takeAll(space).has(first), 'the superblock before the newest reaches it')
  space.revert(false)
  space.publish()
  t.equal(space.freeing, 0)
  space.begin()
  t.ok(takeAll(space).has(first))
})

t.test('an attempt that may be durable keeps its blocks until the next one is', async (t) => {
  const space = make(2048)
  space.begin()
  space.allocate(100)
  const { first } = space
  space.revert(true)
  t.equal(space.used, 0)
  t.equal(space.freeing, 100)
  space.cursor = 0
  space.begin()
  space.allocate(50)
  t.ok(space.first >= first + 100)
  space.publish()
  t.equal(space.freeing, 0)
  space.cursor = 0
  space.begin()
  space.allocate(50)
  t.equal(space.first, first)
})

t.test('promises are kept apart from each other and from what is kept back', async (t) => {
  const space = make(64 * 128)
  t.equal(space.floor, 128)
  const free = space.available
  t.ok(space.reserve(free))
  t.equal(space.available, 0)
  t.notOk(space.reserve(1))
  t.ok(space.reserveForFreeing(100), 'freeing may use what is kept back')
  t.notOk(space.reserveForFreeing(100))
  space.release(100)
  space.release(free)
  t.equal(space.available, free)
  t.ok(space.reserve(10))
  space.freeze()
  space.begin()
  space.allocate(10)
  t.equal(space.available, free - 10, 'a block is not both taken and promised')
  space.publish()
  space.release(10)
  t.equal(space.available, free - 10)
})

t.test('more than was reserved is a mistake of ours', async (t) => {
  const space = make(8192)
  space.freeze()
  space.begin()
  space.allocate(space.floor + 1)
  t.throws(() => space.checkSpent(), /were taken and 0 were reserved/)
})

t.test('a new epoch keeps clear of a window while there is space elsewhere', async (t) => {
  const space = make(4096)
  space.avoid(4000, 200)
  t.equal(space.cursor, 104, 'the window goes on at the beginning')
  space.begin()
  const outside: number[] = []
  for (let left = 4096 - 200; left > 0; ) {
    const count = space.allocate(Math.min(64, left))
    outside.push(space.first)
    left -= count
  }
  t.notOk(outside.some((block) => block >= 4000 || block < 104))
  t.ok(space.allocate(64) > 0, 'a full aggregate uses the window, too')
  t.ok(space.first >= 4000 || space.first < 104)
})

t.test('what an older writer may still write is avoided also if disks were added since', async (t) => {
  const taken = (itsSpan: number): number[] => {
    const space = make(1024, 1024)
    space.avoid(1000, 100, itsSpan)
    space.begin()
    const blocks: number[] = []
    for (let left = 2048 - 176; left > 0; left -= 1) {
      space.allocate(1)
      blocks.push(space.first)
    }
    space.close()
    return blocks
  }
  const isIn = (first: number, end: number) => (block: number) => block >= first && block < end
  const with2 = taken(32768 + 1024)
  t.notOk(with2.some(isIn(1000, 1024)))
  t.notOk(with2.some(isIn(32768, 32768 + 76)), 'the sweep goes on with the next disk, whatever is in between')
  t.ok(with2.some(isIn(0, 76)))
  const with1 = taken(1024)
  t.notOk(with1.some(isIn(1000, 1024)))
  t.notOk(with1.some(isIn(0, 76)), 'that of a writer with one disk goes on at the beginning')
  t.notOk(with1.some(isIn(32768, 32768 + 76)), 'whether it had one or two is not known')
})

t.test('sweeping goes on where it ended, and takes long runs first', async (t) => {
  const space = make(4096)
  space.begin()
  space.allocate(256)
  space.allocate(256)
  t.equal(space.first, 256)
  space.giveBack(300, 4)
  space.cursor = 0
  space.allocate(256)
  t.equal(space.first, 512, 'the hole of four blocks is passed over')
  space.giveBack(512, 256)
  space.cursor = 0
  space.allocate(4)
  t.equal(space.first, 300, 'but filled when that is enough')
})

/** A space of many regions, of which only short runs are free: `free` blocks of every 16. */
function fragmented(regions: number, free: number, more: (space: Space) => void = () => {}): Space {
  const space = make(regions * 32768)
  for (let block = 0; block < regions * 32768; block += 1) if (block % 16 >= free) space.mark(block)
  more(space)
  space.loaded()
  space.begin()
  return space
}

/** How many words of the bitmaps are looked at. */
function lookedAt(space: Space, work: () => void): number {
  const { bits } = space
  let count = 0
  for (const name of ['nextFree', 'nextBusy'] as const) {
    const search = bits[name].bind(bits)
    bits[name] = (from, end) => {
      const found = search(from, end)
      count += 1 + ((found - from) >>> 5)
      return found
    }
  }
  work()
  return count
}

t.test('where only short runs are free, none is looked for all over the disks', async (t) => {
  for (const free of [3, 8, 15]) {
    const space = fragmented(64, free)
    const sizes: number[] = []
    const count = lookedAt(space, () => {
      for (let left = 1000; left > 0; left -= sizes.at(-1)!) sizes.push(space.allocate(256))
    })
    t.same([...new Set(sizes)], [free], 'each run as a whole')
    t.ok(count < 64 * 1024, `${free} of 16 blocks free: ${count} words for 1000 blocks`)
  }
})

t.test('a long run is found wherever it is, and without looking at what is in between', async (t) => {
  const long = 50 * 32768 + 5000
  const space = fragmented(64, 3, (made) => {
    for (let block = long; block < long + 300; block += 1) made.bits.current[block >>> 5] = 0
  })
  const count = lookedAt(space, () => {
    t.equal(space.allocate(256), 256)
  })
  t.ok(Math.abs(space.first - long) < 32, `found at ${space.first}`)
  t.ok(count < 20_000, `${count} words`)
  t.equal(space.allocate(256), 67, 'what is left of it')
  t.equal(space.allocate(256), 3, 'there is no second one')
})

t.test('everything is found, however it lies', async (t) => {
  for (const free of [1, 2, 3, 5, 14]) {
    const space = fragmented(3, free)
    const taken = takeAll(space)
    t.equal(taken.size, (3 * 32768 * free) / 16)
    t.equal(space.allocate(1), 0)
  }
})

t.test('the count of free blocks agrees with the bitmaps after any sequence of steps', async (t) => {
  const random = new SeededRandom(3)
  const space = make(40_000, 5_000)
  let live: number[] = []
  for (let generation = 0; generation < 60; generation += 1) {
    const before = [...live]
    space.begin()
    const fresh: number[] = []
    for (let run = random.below(20); run > 0; run -= 1) {
      const count = space.allocate(1 + random.below(300))
      for (let block = space.first; block < space.first + count; block += 1) fresh.push(block)
    }
    live = live.filter((block) => {
      if (random.chance(0.7)) return true
      space.free(block)
      return false
    })
    if (random.chance(0.3)) {
      space.revert(random.chance(0.5))
      live = before
    } else {
      space.publish()
      live.push(...fresh)
    }
    const { used, held } = space.bits.count()
    t.equal(space.used, used)
    t.equal(space.used, live.length)
    t.equal(space.freeing, held)
  }
})

t.test('the worst case counts every pointer block on the way', async (t) => {
  t.equal(worstCaseBlocks(0, 1, 0), 1)
  t.equal(worstCaseBlocks(0, 1, 3), 4)
  t.equal(worstCaseBlocks(255, 2, 2), 2 + 2 + 1)
  t.equal(worstCaseBlocks(0, 256, 1), 257)
  t.equal(worstCaseBlocks(65_535, 2, 3), 2 + 2 + 2 + 1)
})
