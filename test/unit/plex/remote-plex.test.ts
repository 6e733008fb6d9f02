import t from 'tap'
import { StoreError } from '../../../ts/base/errors.ts'
import { Gather } from '../../../ts/base/gather.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { GuardedDisk } from '../../../ts/disk/guarded-disk.ts'
import { readLabel } from '../../../ts/disk/label.ts'
import { DISK_BLOCKS_MAX, DISK_SLOTS, FrameKind, OpenedDisk } from '../../../ts/format/link-frame.ts'
import { FRAME_BYTES } from '../../../ts/partner/frame.ts'
import { answers, labelPlexOf } from '../../support/mirror-world.ts'
import { described, gathered, openedWith, PlexLink } from '../../support/plex-link.ts'

const LINK_FAILED = -107

/** Disks that are full of one byte each, opened over the link. */
function setting(byteLengths?: readonly number[]) {
  const link = new PlexLink(byteLengths)
  for (const [index, disk] of link.disks.entries()) disk.bytes.fill(0x10 + index)
  const disks = link.open()
  return { link, disks, disk: disks[0]!, kept: link.disks[0]! }
}

/** The keeper's disks get labels, and so identities. */
function labelled() {
  const link = new PlexLink([16 * MIB])
  labelPlexOf(link.world, 1, link.disks)
  const [disk] = link.open()
  return { link, disk: disk!, kept: link.disks[0]! }
}

const kindsOf = (link: PlexLink): number[] => link.toKeeper.seen.map(({ kind }) => kind)

t.test('the disks of the partner are disks like others', async (t) => {
  const { link, disks } = setting([MIB, 2 * MIB])
  t.match(disks, [
    { path: 'pollux:/dev/mirror0', byteLength: MIB },
    { path: 'pollux:/dev/mirror1', byteLength: 2 * MIB },
  ])
  const { memory, gather } = link.blocks(4)
  const done = answers()
  memory.bytes.fill(0xee)
  disks[0]!.write(BLOCK_SIZE, gather(2, 0), done)
  disks[1]!.write(2 * MIB - BLOCK_SIZE, gather(1), done)
  t.same(done.results, [], 'nothing ends inside of the call')
  link.settle()
  t.same(done.results, [2 * BLOCK_SIZE, BLOCK_SIZE])
  const [first, second] = link.disks
  t.same(
    [0, 4095, 4096, 12287, 12288].map((at) => first!.bytes[at]),
    [0x10, 0x10, 0xee, 0xee, 0x10],
  )
  t.same([second!.bytes.at(-4097), second!.bytes.at(-1)], [0x11, 0xee])
  first!.bytes.fill(0x77, 2 * BLOCK_SIZE, 3 * BLOCK_SIZE)
  disks[0]!.read(BLOCK_SIZE, gather(3, 1), done)
  for (const disk of disks) disk.flush(done)
  link.settle()
  t.same(done.results.slice(2).sort(), [0, 0, 2 * BLOCK_SIZE])
  t.same([memory.bytes[3 * BLOCK_SIZE], memory.bytes[BLOCK_SIZE]], [0xee, 0x77])
  t.equal(link.remote.bytesByValue, 3 * BLOCK_SIZE)
})

t.test('what is long goes in parts, and is answered once', async (t) => {
  const { link, disk, kept } = setting([8 * MIB])
  const count = 2 * DISK_BLOCKS_MAX + 3
  const { memory, gather } = link.blocks(count)
  for (let block = 0; block < count; block += 1)
    memory.bytes.fill(block, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
  const done = answers()
  disk.write(MIB, gather(), done)
  link.settle()
  t.same(done.results, [count * BLOCK_SIZE])
  t.ok(Buffer.from(kept.bytes.buffer, MIB, memory.byteLength).equals(memory.bytes))
  const written = Buffer.from(memory.bytes)
  memory.bytes.fill(0)
  disk.read(MIB, gather(), done)
  link.settle()
  t.equal(done.results[1], count * BLOCK_SIZE)
  t.ok(written.equals(memory.bytes))
  const blocks = link.toKeeper.seen.slice(1).map((frame) => frame.blocks)
  t.same(blocks, [128, 128, 3, 128, 128, 3])
})

t.test('one part that fails fails the request, when all of them have ended', async (t) => {
  const { link, disk, kept } = setting([8 * MIB])
  const { gather } = link.blocks(2 * DISK_BLOCKS_MAX)
  kept.badBlocks.add(DISK_BLOCKS_MAX)
  const done = answers()
  disk.read(0, gather(), done)
  link.settle()
  t.same(done.results, [-5])
})

t.test('there may be more requests than slots', async (t) => {
  const { link, disk } = setting([8 * MIB])
  const done = answers()
  const { memory, gather } = link.blocks(100)
  for (let block = 0; block < 100; block += 1) {
    memory.bytes.fill(block, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
    disk.write(block * BLOCK_SIZE, gather(block), done)
  }
  link.areDisksStuck = true
  link.settle()
  t.equal(link.toKeeper.seen.length, 1 + DISK_SLOTS)
  t.equal(new Set(link.toKeeper.seen.slice(1).map(({ slot }) => slot)).size, DISK_SLOTS)
  link.areDisksStuck = false
  link.settle()
  t.same(done.results, Array(100).fill(BLOCK_SIZE))
  t.ok(Buffer.from(memory.bytes).equals(link.disks[0]!.bytes.subarray(0, memory.byteLength)))
  t.same(link.ends, [])
})

t.test('a block that the partner has in its log is named, and not sent', async (t) => {
  const { link, disk, kept } = setting()
  const first = link.log(1, 2, 3)
  const { memory, gather } = link.blocks(2)
  memory.bytes.fill(0xaa)
  const list = gather(0)
  for (const page of [2, 0]) list.add(link.ring.pageAddress(first + page), BLOCK_SIZE)
  list.add(memory.address + BLOCK_SIZE, BLOCK_SIZE)
  const done = answers()
  disk.write(0, list, done)
  link.settle()
  t.match(link.remote, { bytesByValue: 4 * BLOCK_SIZE, bytesByReference: 0 }, 'it has nothing yet')
  link.mirrorLog()
  kept.bytes.fill(0)
  disk.write(0, list, done)
  link.settle()
  t.same(done.results, [4 * BLOCK_SIZE, 4 * BLOCK_SIZE])
  t.match(link.remote, { bytesByValue: 6 * BLOCK_SIZE, bytesByReference: 2 * BLOCK_SIZE })
  t.equal(link.toKeeper.seen.at(-1)!.payload, 16 + 2 * BLOCK_SIZE)
  t.same(
    [0, 1, 2, 3].map((block) => kept.bytes[block * BLOCK_SIZE + 7]),
    [0xaa, 3, 1, 0xaa],
  )
})

t.test('so it is where the ring has wrapped', async (t) => {
  const { link, disk, kept } = setting()
  for (let entry = 0; entry < 4; entry += 1) link.log(...Array(60).fill(9))
  link.mirrorLog()
  link.ring.release(3)
  const before = link.log(
    ...Array(14)
      .fill(0)
      .map((_, index) => 20 + index),
  )
  const after = link.log(50, 51, 52)
  t.same([before, after], [240, 0])
  link.mirrorLog()
  const { gather } = link.blocks(1)
  const list = gather(0)
  for (const page of [253, 0, 1, 180]) list.add(link.ring.pageAddress(page), BLOCK_SIZE)
  const done = answers()
  disk.write(0, list, done)
  link.settle()
  t.same(done.results, [5 * BLOCK_SIZE])
  t.same(
    [1, 2, 3, 4].map((block) => kept.bytes[block * BLOCK_SIZE]),
    [33, 50, 51, 9],
  )
  t.match(link.remote, { bytesByValue: BLOCK_SIZE, bytesByReference: 4 * BLOCK_SIZE })
})

t.test('a block that may change while it is sent leaves as it was when it was sealed', async (t) => {
  const { link, disk, kept } = setting()
  const { memory, gather } = link.blocks(3)
  memory.bytes.fill(1)
  for (const block of [0, 2]) link.changing.add(memory.address + block * BLOCK_SIZE)
  const sent = Array.from({ length: 2 }, () => new Gather())
  const done = answers()
  for (const list of sent) {
    disk.write(0, gather(2, 1, 0), done)
    link.remote.addFrames(list)
    memory.bytes.fill(2)
  }
  const bytes = sent.map((list) => gathered(link.world, list).subarray(FRAME_BYTES + 16))
  t.same(
    bytes.map((blocks) => [0, 1, 2].map((block) => blocks[block * BLOCK_SIZE])),
    [
      [1, 2, 1],
      [2, 2, 2],
    ],
    'the one before is still on its way',
  )
  t.equal(link.remote.bytesByValue, 6 * BLOCK_SIZE)
  memory.bytes.fill(3)
  t.equal(kept.bytes[0], 0x10)
})

t.test('what a guard refuses does not go over the link, nor wait for it', async (t) => {
  const { link, disk, kept } = setting()
  const { gather } = link.blocks(1)
  const guarded = new GuardedDisk(disk, link.world.memory.allocate(BLOCK_SIZE))
  const done = answers()
  kept.failWrite = () => true
  guarded.write(0, gather(), done)
  link.settle()
  const { reads } = kept
  guarded.write(0, gather(), done)
  t.same(done.results, [-5], 'nothing ends inside of the call')
  link.settle()
  link.isOnlyPlex = true
  link.down()
  guarded.flush(done)
  link.settle()
  t.same([done.results, kept.reads], [[-5, LINK_FAILED, LINK_FAILED], reads])
})

t.test("what the keeper's disk says comes back, and no write is taken after one that failed", async (t) => {
  const { link, disk, kept } = setting()
  const { gather } = link.blocks(1)
  const done = answers()
  kept.failWrite = () => true
  disk.write(0, gather(), done)
  link.settle()
  kept.failWrite = () => false
  disk.write(0, gather(), done)
  disk.flush(done)
  disk.read(0, gather(), done)
  link.settle()
  t.same(done.results, [-5, -5, -5, BLOCK_SIZE])
  disk.readmit!()
  disk.write(0, gather(), done)
  link.settle()
  t.same(done.results.slice(4), [BLOCK_SIZE])
  kept.failFlush = () => true
  disk.flush(done)
  link.settle()
  t.equal(done.results.at(-1), -5)
})

t.test('with the link all that is under way fails, later', async (t) => {
  const { link, disk } = setting()
  const { gather } = link.blocks(1)
  link.areDisksStuck = true
  const done = answers()
  for (let i = 0; i < DISK_SLOTS; i += 1) disk.read(0, gather(), done)
  for (const each of ['write', 'read'] as const) disk[each](0, gather(), done)
  disk.flush(done)
  link.settle()
  link.down()
  for (const each of ['write', 'read'] as const) disk[each](0, gather(), done)
  disk.flush(done)
  t.same(done.results, [], 'nothing ends inside of the call')
  t.ok(link.remote.hasWork)
  link.remote.step(link.nowMs)
  t.same(done.results, Array(DISK_SLOTS + 6).fill(LINK_FAILED))
  t.notOk(link.remote.hasWork)
  link.areDisksStuck = false
  link.settle()
  t.equal(done.results.length, DISK_SLOTS + 6, 'each is answered once')
})

t.test('reads of the only plex wait for the link; writes and flushes do not', async (t) => {
  const { link, disk } = setting()
  const { memory, gather } = link.blocks(1)
  link.isOnlyPlex = true
  link.areDisksStuck = true
  const [reads, others] = [answers(), answers()]
  disk.read(0, gather(), reads)
  disk.write(BLOCK_SIZE, gather(), others)
  disk.flush(others)
  link.settle()
  link.areDisksStuck = false
  link.down()
  disk.read(0, gather(), reads)
  link.settle()
  t.same([reads.results, others.results], [[], [LINK_FAILED, LINK_FAILED]])
  link.up()
  link.settle()
  t.same([reads.results, memory.bytes[5]], [[BLOCK_SIZE, BLOCK_SIZE], 0x10])
  t.same(kindsOf(link).slice(4), [FrameKind.DISK_OPEN, FrameKind.DISK_READ, FrameKind.DISK_READ])
})

t.test('reads that wait fail when nobody owns the plex any more', async (t) => {
  const { link, disk } = setting()
  const { gather } = link.blocks(1)
  link.isOnlyPlex = true
  link.down()
  const done = answers()
  disk.read(0, gather(), done)
  link.settle()
  t.same(done.results, [])
  link.remote.giveUp()
  t.same(done.results, [])
  link.settle()
  t.same(done.results, [LINK_FAILED])
})

t.test('writes and flushes of an earlier session fail until the disk is readmitted', async (t) => {
  const { link, disk } = setting()
  const { gather } = link.blocks(1)
  link.down()
  link.up()
  const done = answers()
  disk.write(0, gather(), done)
  disk.flush(done)
  t.same(done.results, [])
  disk.read(0, gather(), done)
  link.settle()
  t.same(done.results, [LINK_FAILED, LINK_FAILED, BLOCK_SIZE])
  disk.readmit!()
  disk.write(0, gather(), done)
  disk.flush(done)
  link.settle()
  t.same(done.results.slice(3), [BLOCK_SIZE, 0])
})

t.test('disks that nobody asked to open anew are used only if they are the same ones', async (t) => {
  const { link, disk, kept } = labelled()
  const before = kept.bytes.slice()
  const { gather } = link.blocks(1)
  const done = answers()
  link.down()
  link.up()
  disk.readmit!()
  disk.write(8 * MIB, gather(), done)
  link.settle()
  t.same(done.results, [BLOCK_SIZE])
  labelPlexOf(link.world, 0, link.disks)
  link.down()
  link.up()
  disk.readmit!()
  disk.write(8 * MIB, gather(), done)
  disk.read(8 * MIB, gather(), done)
  link.settle()
  t.same(done.results.slice(1), [LINK_FAILED, LINK_FAILED], 'it is another disk')
  kept.bytes.set(before)
  link.nowMs += 100
  disk.read(8 * MIB, gather(), done)
  link.settle()
  t.equal(done.results[3], BLOCK_SIZE, 'it is the same one again')
  labelPlexOf(link.world, 0, link.disks)
  const [other] = link.open()
  other!.read(8 * MIB, gather(), done)
  link.settle()
  t.equal(done.results[4], BLOCK_SIZE, 'who asks gets what is there')
})

t.test('what waits for a slot goes on after its disk was readmitted', async (t) => {
  const { link, disk } = setting()
  const { gather } = link.blocks(1)
  const done = answers()
  link.areDisksStuck = true
  for (let i = 0; i <= DISK_SLOTS; i += 1) disk.read(0, gather(), done)
  link.settle()
  disk.readmit!()
  link.areDisksStuck = false
  link.settle()
  t.equal(done.results.length, DISK_SLOTS + 1)
})

t.test('an answer that does not fit ends the session', async (t) => {
  const done = (slot: number, generation = 0) => ({ kind: FrameKind.DISK_DONE, count: slot, generation })
  const cases: [string, ReturnType<typeof done>, number, RegExp][] = [
    ['to a slot that is free', done(1), 0, /answers what nobody has asked/],
    ['to a slot that is none', done(DISK_SLOTS), 0, /answers what nobody has asked/],
    ['without what was read', done(0), 0, /wrong length/],
    ['that is too short', done(0), BLOCK_SIZE, /wrong length/],
    ['that is too long', done(0), 3 * BLOCK_SIZE, /wrong length/],
  ]
  for (const [what, values, byteLength, complaint] of cases) {
    const { link, disk } = setting()
    link.areDisksStuck = true
    const read = answers()
    const { gather } = link.blocks(2)
    disk.read(0, gather(), read)
    link.settle()
    link.answer(values, byteLength === 0 ? undefined : new Uint8Array(byteLength))
    link.settle()
    t.match(link.ends, [complaint], what)
    t.same(read.results, [LINK_FAILED], what)
  }
})

t.test('whatever an opening is answered with, it is disks or an error', async (t) => {
  for (const byteLength of [0, 8, OpenedDisk.byteLength - 8, OpenedDisk.byteLength + 8, 3 * 4096]) {
    const payload = byteLength > 0 ? new Uint8Array(byteLength).fill(0xff) : undefined
    t.match(openedWith(payload).opened, { code: 'DISK_MISSING' }, `${byteLength} bytes`)
  }
  t.match(openedWith(new Uint8Array(OpenedDisk.byteLength).fill(0xff)).opened, { length: 1 })
  t.match(openedWith(described(...Array(3700).fill(MIB))).opened, { length: 3700 })
})

const lengths = [0, 1, 4096, 8191, MIB + 1, 2 ** 53 + 8192, 2 ** 60, 2 ** 64 - 4096, 2 ** 64 - 2 ** 11]

t.test('whatever length a disk has, its label is looked for', async (t) => {
  for (const byteLength of lengths) {
    const { link, opened } = openedWith(described(byteLength))
    if (opened instanceof StoreError) throw opened
    link.down()
    const disk = new GuardedDisk(opened[0]!, link.world.memory.allocate(BLOCK_SIZE))
    const [code, message] = [/DISK_UNUSABLE|DISK_TOO_SMALL/, /neither end can be read|no room for two labels/]
    t.throws(() => link.run(readLabel(disk, link.world.memory)), { code, message }, `${byteLength} bytes`)
  }
})
