import t from 'tap'
import { DirtyIndex, FrozenIndex, NOT_DIRTY, ZERO_BLOCK } from '../../../ts/log/dirty-index.ts'
import { MemoryTwin } from './memory-twin.ts'
import { ringOf, Writer } from './rings.ts'

t.test('the newest page of a block is found, with the sequence of its entry', async (t) => {
  const index = new DirtyIndex(4)
  t.ok(index.isEmpty)
  index.set(1, 5, 100, 7)
  index.set(1, 5, 101, 2 ** 32 - 1)
  index.set(2, 5, 102, 9)
  t.equal(index.lookup(1, 5), 101)
  t.equal(index.foundSequence, 2 ** 32 - 1)
  t.equal(index.lookup(2, 5), 102)
  t.equal(index.lookup(1, 6), NOT_DIRTY)
  t.same([index.blockCount, index.isEmpty], [2, false])
})

t.test('block numbers reach to 2^32 - 1', async (t) => {
  const index = new DirtyIndex(4)
  index.set(3, 2 ** 32 - 1, 9, 1)
  index.set(3, 2 ** 31, 8, 1)
  t.same([index.lookup(3, 2 ** 32 - 1), index.lookup(3, 2 ** 31), index.lookup(3, 0)], [9, 8, NOT_DIRTY])
  t.same(Array.from(index.sortedKeys()), [3 * 2 ** 32 + 2 ** 31, 4 * 2 ** 32 - 1])
})

t.test('zeroed stretches, short and long, hide older data and are hidden by newer', async (t) => {
  for (const length of [1, 15, 16, 1000]) {
    const index = new DirtyIndex(4)
    index.set(1, 100, 50, 1)
    index.set(1, 99, 49, 1)
    index.zero(1, 100, 100 + length, 2)
    t.equal(index.lookup(1, 100), ZERO_BLOCK, `${length} blocks`)
    t.equal(index.foundSequence, 2)
    t.same([index.lookup(1, 99), index.lookup(1, 100 + length)], [49, NOT_DIRTY])
    index.set(1, 100, 51, 3)
    t.equal(index.lookup(1, 100), 51)
    t.equal(index.foundSequence, 3)
  }
})

t.test('stretches are kept as ranges, whose cost does not depend on their length', async (t) => {
  const index = new DirtyIndex(4)
  index.zero(1, 0, 1, 1)
  index.zero(1, 100, 102, 2)
  index.zero(1, 102, 116, 3)
  index.zero(4, 0, 2 ** 32, 4)
  t.same(index.rangesOf(1), [{ first: 100, end: 116 }])
  t.same([...index.rangedVolumes()], [1, 4])
  t.equal(index.blockCount, 1)
  t.same([index.lookup(1, 101), index.foundSequence], [ZERO_BLOCK, 2])
  t.same([index.lookup(1, 102), index.foundSequence], [ZERO_BLOCK, 3])
})

t.test('a stretch costs the same whatever else is dirty', async (t) => {
  const index = new DirtyIndex(2 ** 18)
  for (let block = 0; block < 2 ** 18; block += 1) index.set(1, block * 3, block, block + 1)
  const startedMs = performance.now()
  for (let i = 0; i < 4096; i += 1) index.zero(1, i * 128, i * 128 + 64, 2 ** 18 + 1 + i)
  const tookMs = performance.now() - startedMs
  t.ok(tookMs < 500, `4096 stretches took ${tookMs.toFixed(0)} ms`)
  t.equal(index.lookup(1, 126), 42, 'what lies between them is dirty')
  t.equal(index.lookup(1, 129), ZERO_BLOCK)
})

t.test('what a stretch hides is not among the changes of a consistency point', async (t) => {
  const index = new DirtyIndex(4)
  for (let block = 0; block < 10; block += 1) index.set(1, block, block, block + 1)
  index.zero(1, 2, 8, 20)
  index.set(1, 5, 55, 21)
  t.same(
    Array.from(index.sortedKeys(), (key) => key - 2 ** 32),
    [0, 1, 5, 8, 9],
  )
})

t.test('a volume that is deleted leaves nothing, the others stay', async (t) => {
  const index = new DirtyIndex(4)
  for (let block = 0; block < 50; block += 1) {
    index.set(1, block, block, 1)
    index.set(2, block, block, 1)
  }
  index.zero(1, 1000, 2000, 2)
  index.dropVolume(1, 3)
  t.same([index.lookup(1, 7), index.lookup(1, 1500), index.lookup(2, 7)], [NOT_DIRTY, NOT_DIRTY, 7])
  t.equal(index.sortedKeys().length, 50)
  t.same(index.rangesOf(1), [])
})

t.test('a cleared index is empty, and usable', async (t) => {
  const index = new DirtyIndex(4)
  index.set(1, 1, 1, 1)
  index.zero(1, 100, 200, 1)
  index.clear()
  t.ok(index.isEmpty)
  t.same([index.lookup(1, 1), index.lookup(1, 150)], [NOT_DIRTY, NOT_DIRTY])
})

t.test('a frozen index lists the changes in the order of volumes and blocks', async (t) => {
  const memory = new MemoryTwin()
  const writer = new Writer(ringOf(memory), memory)
  const { firstPage } = writer.write(4)!
  const index = new DirtyIndex(4)
  index.set(9, 3, firstPage + 2, 1)
  index.set(2, 70_000, firstPage + 1, 1)
  index.set(2, 8, firstPage, 1)
  index.zero(2, 9, 10, 2)
  index.zero(5, 0, 100, 3)
  const frozen = new FrozenIndex(writer.ring, index, 3)
  t.equal(frozen.lastSequence, 3)
  t.same(Array.from(frozen.volumes), [2, 2, 2, 9])
  t.same(Array.from(frozen.blocks), [8, 9, 70_000, 3])
  t.same(Array.from(frozen.pages), [firstPage, ZERO_BLOCK, firstPage + 1, firstPage + 2])
  t.same(frozen.touchedVolumes(), [2, 5, 9])
  t.same(frozen.zeroRanges(5), [{ first: 0, end: 100 }])
  t.equal(frozen.pageAddress(2), writer.ring.pageAddress(2))
  t.equal(frozen.pageChecksum(firstPage), memory.checksum(writer.ring.pageAddress(firstPage), 4096))
})

t.test('the blocks of a volume are collected piece by piece, without those that are hidden', async (t) => {
  const index = new DirtyIndex(4)
  for (let block = 0; block < 100; block += 1) index.set(1, block, block, block + 1)
  index.set(2, 5, 1, 101)
  index.zero(1, 50, 60, 102)
  index.zero(1, 70, 71, 103)
  index.set(1, 55, 9, 104)
  const found: number[] = []
  for (let from = 0; from < index.placeCount; from += 8) index.collect(1, 40, 80, from, from + 8, found)
  const expected = Array.from({ length: 40 }, (_, i) => 40 + i).filter((i) => i < 50 || i >= 60 || i === 55)
  t.same(
    found.sort((a, b) => a - b),
    expected.map((block) => block * 2 + (block === 70 ? 1 : 0)),
  )
  t.ok(index.rangesIn(1)?.find(50))
  t.equal(index.rangesIn(2), undefined)
})
