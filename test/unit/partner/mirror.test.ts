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
