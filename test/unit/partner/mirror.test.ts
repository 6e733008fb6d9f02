import t from 'tap'
import { Gather } from '../../../ts/base/gather.ts'
import { FrameKind } from '../../../ts/format/link-frame.ts'
import { encodeFrame, FrameReader } from '../../../ts/partner/frame.ts'
import { identity } from '../log/copies.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { EPOCH, OwnerEnd } from './pair.ts'

const partner = identity(9)

function owner(): { memory: MemoryTwin; end: OwnerEnd } {
  const memory = new MemoryTwin()
  const end = new OwnerEnd(memory)
  end.mirror.start(partner)
  return { memory, end }
}

function acknowledgement(sequence: number, epoch = EPOCH, incarnation = partner): FrameReader {
  const bytes = new Uint8Array(64)
  encodeFrame(bytes, 0, { kind: FrameKind.ACKNOWLEDGE, epoch, sequence }, incarnation, 0, 0)
  const reader = new FrameReader()
  reader.read(bytes, new DataView(bytes.buffer), 0)
  return reader
}

function batch({ memory, end }: { memory: MemoryTwin; end: OwnerEnd }): {
  frame: FrameReader
  bytes: Uint8Array
} {
  const gather = new Gather()
  end.mirror.addEntries(gather)
  const bytes = memory.gathered(gather)
  const frame = new FrameReader()
  if (bytes.length > 0) frame.read(bytes, new DataView(bytes.buffer), 0)
  end.mirror.sendEnded()
  return { frame, bytes }
}

t.test('a batch is the entries as they lie in the ring', async (t) => {
  const { memory, end } = owner()
  const { ring } = end.writer
  for (const pages of [2, 0, 3]) end.writer.write(pages)
  const { frame, bytes } = batch({ memory, end })
  t.match(frame, { kind: FrameKind.ENTRIES, epoch: EPOCH, sequence: 1, count: 3, firstPage: 0, pageCount: 5 })
  t.equal(bytes.length, 64 + 3 * 64 + 5 * 4096)
  t.same(bytes.subarray(128, 192), ring.descriptorBytes(2))
  t.same(bytes.subarray(64 + 3 * 64 + 4096, 64 + 3 * 64 + 8192), ring.pageBytes(1))
  t.equal(end.mirror.entriesSent, 3)
  t.equal(batch({ memory, end }).bytes.length, 0, 'each entry is sent once')
})

t.test('what is being sent is pinned until it has left', async (t) => {
  const { end } = owner()
  for (let i = 0; i < 3; i += 1) end.writer.write(1)
  t.notOk(end.mirror.isSending)
  end.mirror.addEntries(new Gather())
  t.same([end.mirror.pinnedFrom, end.mirror.isSending], [1, true])
  end.mirror.sendEnded()
  t.equal(end.mirror.pinnedFrom, Number.MAX_SAFE_INTEGER)
})

t.test('a batch has a size, and ends where the pages wrap', async (t) => {
  const side = owner()
  const { end } = side
  for (let i = 0; i < 4; i += 1) end.writer.write(60)
  t.match(batch(side).frame, { sequence: 1, count: 4, pageCount: 240 })
  end.writer.ring.release(4)
  for (const pages of [10, 20, 0, 7]) end.writer.write(pages)
  t.match(batch(side).frame, { sequence: 5, count: 1, firstPage: 240, pageCount: 10 })
  t.match(batch(side).frame, { sequence: 6, count: 3, firstPage: 0, pageCount: 27 })
})

t.test(
  'while a frame is on its way, a little waits for its acknowledgement, and 64 KiB do not',
  async (t) => {
    const side = owner()
    const { end } = side
    end.writer.write(1)
    t.match(batch(side).frame, { sequence: 1, count: 1 }, 'nobody alone waits')
    for (let i = 0; i < 15; i += 1) end.writer.write(1)
    t.equal(batch(side).bytes.length, 0)
    end.mirror.take(acknowledgement(1))
    t.match(batch(side).frame, { sequence: 2, count: 15 }, 'all that has gathered leaves together')
    for (let i = 0; i < 16; i += 1) end.writer.write(1)
    t.match(batch(side).frame, { sequence: 17, count: 16 })
  },
)

t.test('the descriptors of a batch may wrap', async (t) => {
  const memory = new MemoryTwin()
  const end = new OwnerEnd(memory, 255)
  end.mirror.start(partner)
  for (let i = 0; i < 3; i += 1) end.writer.write(1)
  const { frame, bytes } = batch({ memory, end })
  t.match(frame, { sequence: 255, count: 3, pageCount: 3 })
  for (const i of [0, 1, 2])
    t.same(bytes.subarray(64 + i * 64, 128 + i * 64), end.writer.ring.descriptorBytes(255 + i))
})

t.test('acknowledgements rise, and those of another copy or epoch count for nothing', async (t) => {
  const side = owner()
  const { mirror, writer } = side.end
  for (let i = 0; i < 5; i += 1) writer.write(1)
  batch(side)
  t.equal(mirror.acknowledged, 0)
  t.equal(mirror.take(acknowledgement(4)), undefined)
  t.equal(mirror.take(acknowledgement(2)), undefined)
  t.equal(mirror.acknowledged, 4)
  t.equal(mirror.take(acknowledgement(5, EPOCH, identity(8))), undefined)
  t.equal(mirror.take(acknowledgement(5, EPOCH - 1)), undefined)
  t.equal(mirror.take(acknowledgement(5, EPOCH + 1)), undefined)
  t.equal(mirror.acknowledged, 4)
  t.match(mirror.take(acknowledgement(6)), /never sent/)
  t.equal(mirror.acknowledged, 4)
})

t.test('a partner that comes back starts at the tail and catches up', async (t) => {
  const side = owner()
  const { mirror, writer } = side.end
  for (let i = 0; i < 200; i += 1) writer.write(1)
  t.same([mirror.backlog, mirror.isCaughtUp], [200, false])
  batch(side)
  mirror.take(acknowledgement(150))
  t.same([mirror.backlog, mirror.isCaughtUp], [11, true])
  mirror.take(acknowledgement(189))
  batch(side)
  t.same([mirror.backlog, mirror.isCaughtUp], [0, true])
  writer.ring.release(100)
  mirror.start(identity(8))
  t.match(mirror, { base: 101, acknowledged: 100, backlog: 100 })
  t.equal(mirror.take(acknowledgement(180)), undefined)
  t.equal(mirror.acknowledged, 100, 'of the copy before')
  t.match(batch(side).frame, { sequence: 101, count: 100, pageCount: 100 })
})

t.test('entries that were released before they were sent cannot be sent', async (t) => {
  const side = owner()
  const { mirror, writer } = side.end
  for (let i = 0; i < 10; i += 1) writer.write(1)
  writer.ring.release(4)
  t.ok(mirror.hasFallenBehind)
  t.equal(batch(side).bytes.length, 0)
  mirror.restart()
  t.notOk(mirror.hasFallenBehind)
  t.match(batch(side).frame, { sequence: 5, count: 6 })
})

/** Which pages of the ring the partner has, too. */
function sharedPages({ end }: { end: OwnerEnd }): number[] {
  const { ring } = end.writer
  const pages = Array.from({ length: ring.layout.pageCount }, (_, page) => page)
  return pages.filter((page) => {
    const found = end.mirror.sharedPageAt(ring.pageAddress(page))
    if (found >= 0 && found !== page) throw new Error(`page ${page} is taken for ${found}`)
    return found >= 0
  })
}

const from = (first: number, end: number): number[] =>
  Array.from({ length: end - first }, (_, index) => first + index)

t.test('a page is shared from its acknowledgement until it is released', async (t) => {
  const side = owner()
  const { mirror, writer } = side.end
  t.same(sharedPages(side), [], 'there is nothing yet')
  for (const pages of [3, 0, 2]) writer.write(pages)
  t.same(sharedPages(side), [])
  batch(side)
  t.same(sharedPages(side), [], 'it is on its way')
  mirror.take(acknowledgement(2))
  t.same(sharedPages(side), [0, 1, 2])
  mirror.take(acknowledgement(3))
  t.same(sharedPages(side), [0, 1, 2, 3, 4])
  writer.write(1)
  t.same(sharedPages(side), [0, 1, 2, 3, 4], 'the next one is not there yet')
  writer.ring.release(1)
  t.same(sharedPages(side), [3, 4])
  writer.ring.release(3)
  t.same(sharedPages(side), [], 'what is kept was not acknowledged')
  batch(side)
  mirror.take(acknowledgement(4))
  t.same(sharedPages(side), [5])
  writer.ring.release(4)
  t.same(sharedPages(side), [])
})

t.test('memory next to the pages of the ring is no page', async (t) => {
  const side = owner()
  const { mirror, writer } = side.end
  const { ring } = writer
  for (let i = 0; i < 4; i += 1) writer.write(60)
  batch(side)
  mirror.take(acknowledgement(4))
  t.equal(mirror.sharedPageAt(ring.pageAddress(0)), 0)
  for (const page of [-1, -100, 256, 257, 2 ** 30])
    t.equal(mirror.sharedPageAt(ring.pageAddress(page)), -1, `${page}`)
  t.equal(mirror.sharedPageAt(side.memory.allocate(4096).address), -1)
})

t.test('the pages that are shared wrap with the ring', async (t) => {
  const side = owner()
  const { mirror, writer } = side.end
  for (let i = 0; i < 4; i += 1) writer.write(60)
  batch(side)
  mirror.take(acknowledgement(4))
  writer.ring.release(3)
  for (const pages of [16, 20, 0, 30]) writer.write(pages)
  batch(side)
  batch(side)
  mirror.take(acknowledgement(5))
  t.same(sharedPages(side), from(180, 256), 'up to the end of the ring')
  mirror.take(acknowledgement(6))
  t.same(sharedPages(side), [...from(0, 20), ...from(180, 256)])
  mirror.take(acknowledgement(7))
  t.same(sharedPages(side), [...from(0, 20), ...from(180, 256)], 'an entry may have no pages')
  mirror.take(acknowledgement(8))
  writer.ring.release(4)
  t.same(sharedPages(side), [...from(0, 50), ...from(240, 256)])
  writer.ring.release(6)
  t.same(sharedPages(side), from(20, 50))
})

t.test('a partner whose copy begins again has nothing of what the one before had', async (t) => {
  const side = owner()
  const { mirror, writer } = side.end
  for (let i = 0; i < 3; i += 1) writer.write(2)
  batch(side)
  mirror.take(acknowledgement(3))
  t.equal(sharedPages(side).length, 6)
  mirror.restart()
  t.same(sharedPages(side), [])
  batch(side)
  mirror.take(acknowledgement(1))
  t.same(sharedPages(side), [0, 1])
  mirror.start(identity(8))
  t.same(sharedPages(side), [])
})
