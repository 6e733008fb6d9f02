import t from 'tap'
import { MemoryBatch } from '../../../ts/base/memory-batch.ts'
import { EntryKind, LOG_ENTRY_MAGIC, LogEntry, logLayout } from '../../../ts/format/log-ring.ts'
import { LogRing, NO_ROOM } from '../../../ts/log/ring.ts'
import { MemoryTwin } from './memory-twin.ts'
import { pageOf, ringOf, Writer } from './rings.ts'

t.test('an entry says what it was given, and lies where the format says', async (t) => {
  const memory = new MemoryTwin()
  const ring = ringOf(memory)
  ring.reset(2 ** 40 + 5)
  const batch = new MemoryBatch(8)
  const large = 2 ** 50 + 4096
  const sequence = ring.append(
    batch,
    9,
    EntryKind.TRIM,
    3,
    12,
    77,
    large,
    8192,
    0,
    0,
    0xaaaa_aaaa,
    0xbbbb_bbbb,
  )
  memory.run(batch)
  t.equal(sequence, 2 ** 40 + 5)
  const decoded = LogEntry.decode(ring.descriptorBytes(sequence))
  t.match(decoded, {
    magic: LOG_ENTRY_MAGIC,
    epoch: 9,
    kind: EntryKind.TRIM,
    flags: 3,
    sequence,
    volume: 12,
    generation: 77,
    offset: large,
    length: 8192,
    firstPage: 0,
    pageCount: 0,
  })
  t.equal(Buffer.from(decoded.cookie).toString('hex'), 'aaaaaaaabbbbbbbb')
  t.equal(ring.descriptorAddress(sequence) - ring.memory.address, 4 * 4096 + (sequence % 256) * 64)
  const { epoch, kind, flags, volume, offset, length, claimedSequence, magic } = ring
  const said = [epoch, kind, flags, volume, offset, length, claimedSequence, magic].map((of) => of(sequence))
  t.same(said, [9, EntryKind.TRIM, 3, 12, large, 8192, sequence, LOG_ENTRY_MAGIC])
})

t.test('data lies behind its checksum, and the seal covers both', async (t) => {
  const memory = new MemoryTwin()
  const ring = ringOf(memory)
  const writer = new Writer(ring, memory)
  writer.write(3)
  const { sequence, firstPage } = writer.write(2)!
  t.equal(firstPage, 3)
  t.same(ring.pageBytes(firstPage + 1), pageOf(sequence, 1))
  t.equal(ring.pageChecksum(firstPage + 1), memory.checksum(ring.pageAddress(firstPage + 1), 4096))
  const isWhole = () => {
    const batch = new MemoryBatch(2)
    ring.verifySealStep(batch, sequence)
    return memory.run(batch) === 0
  }
  t.ok(isWhole())
  memory.at(ring.checksumAddress(firstPage + 1), 1)[0]! ^= 1
  t.notOk(isWhole(), 'a checksum of a page belongs to the entry')
  memory.at(ring.checksumAddress(firstPage + 1), 1)[0]! ^= 1
  ring.descriptorBytes(sequence)[63]! ^= 128
  t.notOk(isWhole(), 'so does its last byte')
})

t.test('the pages of an entry never wrap: what does not fit before the end begins at 0', async (t) => {
  const memory = new MemoryTwin()
  const ring = ringOf(memory)
  const writer = new Writer(ring, memory)
  for (let i = 0; i < 4; i += 1) writer.write(60)
  t.equal(ring.pagesUsed, 240)
  t.equal(ring.place(16), NO_ROOM, 'one page stays free, so that full and empty differ')
  t.equal(ring.place(15), 240)
  t.equal(ring.place(20), NO_ROOM)
  ring.release(1)
  t.equal(ring.place(16), 240, 'it ends exactly with the ring')
  t.equal(ring.place(20), 0)
  writer.write(20)
  t.equal(ring.pagesUsed, 180 + 16 + 20, 'the end of the ring is used up, too')
  t.equal(ring.place(40), NO_ROOM)
  t.equal(ring.place(39), 20)
})

t.test('released places can be used again, and an empty ring goes on where it was', async (t) => {
  const memory = new MemoryTwin()
  const ring = ringOf(memory)
  const writer = new Writer(ring, memory)
  writer.write(64)
  writer.write(64)
  ring.release(1)
  t.same([ring.tail, ring.pagesUsed, ring.entryCount], [2, 64, 1])
  ring.release(1)
  t.equal(ring.tail, 2, 'releasing twice changes nothing')
  ring.release(2)
  t.same([ring.pagesUsed, ring.entryCount, ring.fill], [0, 0, 0])
  t.equal(writer.write(64)!.firstPage, 128)
  t.throws(() => ring.release(4), /only entries that exist/)
})

t.test('an entry without pages takes no page, but a descriptor', async (t) => {
  const memory = new MemoryTwin()
  const ring = ringOf(memory)
  const writer = new Writer(ring, memory)
  let count = 0
  while (writer.write(0) !== undefined) count += 1
  t.equal(ring.pagesUsed, 0)
  t.ok(count < 256 && ring.fill === count / 256)
  t.equal(ring.place(0), NO_ROOM, 'clients leave places for the entries that open an epoch')
  const batch = new MemoryBatch(256)
  for (; count < 256; count += 1) {
    t.equal(ring.placeOfMark(), 0)
    ring.append(batch, 1, EntryKind.NOTHING, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  }
  t.equal(ring.placeOfMark(), NO_ROOM)
  t.equal(ring.fill, 1)
})

t.test('an entry that is put where its place is not is our bug', async (t) => {
  const ring = ringOf()
  const batch = new MemoryBatch(2)
  t.throws(() => ring.append(batch, 1, EntryKind.WRITE, 0, 1, 1, 0, 4096, 5, 1, 0, 0), /where its place is/)
  t.throws(() => ring.place(65), /at most 64 pages/)
  t.throws(() => ring.adopt(2), /adopted in order/)
})

t.test('a ring that was reset recognises nothing of what it held', async (t) => {
  const memory = new MemoryTwin()
  const ring = ringOf(memory)
  const writer = new Writer(ring, memory)
  for (let i = 0; i < 10; i += 1) writer.write(1)
  ring.reset(500)
  t.same([ring.head, ring.tail, ring.pagesUsed], [500, 500, 0])
  t.same(
    Array.from({ length: 256 }, (_, i) => ring.magic(i)).filter((magic) => magic !== 0),
    [],
  )
})

t.test('what lies behind the head is forgotten, what is kept is not', async (t) => {
  const memory = new MemoryTwin()
  const ring = ringOf(memory)
  const writer = new Writer(ring, memory)
  for (let i = 0; i < 10; i += 1) writer.write(1)
  ring.release(3)
  ring.forgetFrom(8)
  const known = Array.from({ length: 10 }, (_, i) => i + 1).filter((s) => ring.magic(s) !== 0)
  t.same(known, [4, 5, 6, 7])
})

t.test('a ring takes over entries that are already in their places', async (t) => {
  const memory = new MemoryTwin()
  const writer = new Writer(ringOf(memory), memory)
  for (const pages of [64, 64, 64, 50, 0]) writer.write(pages)
  writer.ring.release(2)
  writer.write(30)
  const twin = new LogRing(writer.ring.memory, writer.ring.layout)
  twin.head = twin.tail = 3
  twin.startPagesAt(twin.firstPage(3))
  for (let sequence = 3; sequence <= 6; sequence += 1) twin.adopt(sequence)
  t.same([twin.head, twin.tail, twin.pagesUsed], [7, 3, writer.ring.pagesUsed])
  t.equal(twin.place(10), writer.ring.place(10))
  t.throws(() => twin.startPagesAt(0), /only an empty ring/)
})

t.test('memory that is too small for the ring is our bug', async (t) => {
  const memory = new MemoryTwin().allocate(4096)
  t.throws(() => new LogRing(memory, logLayout(256)), /holds the whole ring/)
})

t.test('a ring that is found with every page in use is full, not empty', async (t) => {
  const memory = new MemoryTwin()
  const writer = new Writer(ringOf(memory), memory)
  const { ring } = writer
  // entries that were released leave their pages to later ones; an older superblock wants them all again
  for (let i = 0; i < 3; i += 1) writer.write(64)
  ring.release(1)
  writer.write(64)
  t.equal(ring.pagesUsed, 192)
  const found = new LogRing(ring.memory, ring.layout)
  found.retain(1, 5)
  t.equal(found.pagesUsed, 256)
  t.equal(found.fill, 1)
  t.equal(found.place(1), NO_ROOM)
  t.ok(found.placeOfMark() >= 0, 'a mark needs no page')
  found.release(1)
  t.equal(found.pagesUsed, 192)
  t.equal(found.place(63), 0)
  found.release(4)
  t.equal(found.pagesUsed, 0)
})
