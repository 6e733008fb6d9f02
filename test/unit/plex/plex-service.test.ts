import fc from 'fast-check'
import t, { type Test } from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { DISK_BLOCKS_MAX, DISK_SLOTS, FrameKind, NO_PAGE } from '../../../ts/format/link-frame.ts'
import { runs } from '../../property/runs.ts'
import { answers } from '../../support/mirror-world.ts'
import { PlexLink, type Words } from '../../support/plex-link.ts'

const { DISK_OPEN, DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DONE } = FrameKind

function setting(byteLengths?: readonly number[]) {
  const link = new PlexLink(byteLengths)
  const [disk] = link.open()
  return { link, disk: disk!, kept: link.disks[0]! }
}

/** The payload of a write: a table of pages, and blocks that are all of one byte. */
function payloadOf(pages: readonly number[], blocks = 0, more = 0): Uint8Array {
  const tableBytes = Math.ceil(pages.length / 2) * 8
  const payload = new Uint8Array(tableBytes + blocks * BLOCK_SIZE + more).fill(0xdd)
  payload.set(new Uint8Array(new Uint32Array(pages).buffer))
  return payload
}

const pagesOf = (count: number): number[] => Array(count).fill(NO_PAGE)

/** How many answers there are to what the owner has not asked, and does not hear. */
function heard(link: PlexLink): number {
  link.toOwner.isHeld = true
  link.settle()
  return link.toOwner.waiting
}

t.test('a write is put together from pages of this ring and from what came with it', async (t) => {
  const { link, kept } = setting()
  link.keptRing.pageBytes(0).fill(0x21)
  link.keptRing.pageBytes(255).fill(0x22)
  const write = { kind: DISK_WRITE, sequence: 8 * BLOCK_SIZE, pageCount: 5, count: 31 }
  link.ask(write, payloadOf([255, NO_PAGE, 0, 255, NO_PAGE], 2))
  t.equal(heard(link), 1)
  t.same(
    [8, 9, 10, 11, 12].map((block) => kept.bytes[block * BLOCK_SIZE + 1]),
    [0x22, 0xdd, 0x21, 0x22, 0xdd],
  )
  t.same(link.ends, [])
})

t.test('what does not fit ends the session', async (t) => {
  const end = MIB
  const far = [2 ** 53, 2 ** 53 + 2 * BLOCK_SIZE, 2 ** 63, 2 ** 64 - BLOCK_SIZE, 2 ** 64 - 2 ** 11]
  const cases: [string, Words, Uint8Array | undefined, RegExp][] = [
    ['a slot that is none', { kind: DISK_READ, count: DISK_SLOTS, pageCount: 1 }, undefined, /slot/],
    ['the last slot of all', { kind: DISK_FLUSH, count: 0xffff_ffff }, undefined, /slot/],
    ['an opening in a slot that is none', { kind: DISK_OPEN, count: DISK_SLOTS }, undefined, /slot/],
    ['no blocks', { kind: DISK_READ }, undefined, /no run of blocks/],
    ['too many', { kind: DISK_READ, pageCount: DISK_BLOCKS_MAX + 1 }, undefined, /no run of blocks/],
    ['far too many', { kind: DISK_READ, pageCount: 0xffff_ffff }, undefined, /no run of blocks/],
    ['no place of a block', { kind: DISK_READ, sequence: 512, pageCount: 1 }, undefined, /no run of blocks/],
    ['the end', { kind: DISK_READ, sequence: end, pageCount: 1 }, undefined, /beyond its end/],
    ['over the end', { kind: DISK_READ, sequence: end - 4096, pageCount: 2 }, undefined, /beyond its end/],
    ['no blocks', { kind: DISK_WRITE }, new Uint8Array(8), /no run of blocks/],
    ['over the end', { kind: DISK_WRITE, sequence: end, pageCount: 1 }, payloadOf([0]), /beyond its end/],
    ['no table', { kind: DISK_WRITE, pageCount: 1 }, undefined, /has no table/],
    ['a short table', { kind: DISK_WRITE, pageCount: 3 }, new Uint8Array(8), /has no table/],
    ['a page behind the ring', { kind: DISK_WRITE, pageCount: 1 }, payloadOf([256]), /is not there/],
    ['a page far away', { kind: DISK_WRITE, pageCount: 1 }, payloadOf([NO_PAGE - 1]), /is not there/],
    ['no block', { kind: DISK_WRITE, pageCount: 1 }, payloadOf([NO_PAGE]), /lacks a block/],
    ['a block too few', { kind: DISK_WRITE, pageCount: 3 }, payloadOf(pagesOf(3), 2), /lacks a block/],
    ['half a block', { kind: DISK_WRITE, pageCount: 1 }, payloadOf([NO_PAGE], 0, 2048), /lacks a block/],
    ['a block too many', { kind: DISK_WRITE, pageCount: 1 }, payloadOf([NO_PAGE], 2), /wrong length/],
    ['a little too much', { kind: DISK_WRITE, pageCount: 1 }, payloadOf([9], 0, 8), /wrong length/],
    ...far.map((sequence): [string, Words, undefined, RegExp] => {
      return [
        `${sequence}`,
        { kind: DISK_READ, sequence, pageCount: 1 },
        undefined,
        /no run|beyond its end|no frame has/,
      ]
    }),
  ]
  for (const [what, values, payload, complaint] of cases) {
    const { link, kept } = setting()
    link.ask(values, payload)
    link.settle()
    t.match(link.ends, [complaint], `${values.kind}: ${what}`)
    t.equal(
      kept.bytes.some((byte) => byte !== 0),
      false,
      'nothing is written',
    )
    link.up()
    t.equal(link.open().length, 1, 'and the next session is a good one')
  }
})

t.test('a slot that is busy is not asked again', async (t) => {
  for (const kind of [DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_OPEN]) {
    const { link } = setting()
    link.areDisksStuck = true
    link.ask({ kind: DISK_FLUSH, count: 3 })
    link.ask({ kind, count: 3, pageCount: 1 }, kind === DISK_WRITE ? payloadOf([0]) : undefined)
    link.settle()
    t.match(link.ends, [/slot that is not free/], `${kind}`)
  }
})

t.test('a disk that is not open is answered with an error', async (t) => {
  const link = new PlexLink()
  for (const kind of [DISK_READ, DISK_WRITE, DISK_FLUSH]) link.ask({ kind, count: kind, pageCount: 1 })
  t.equal(heard(link), 3, 'before it was opened')
  const { link: opened, kept } = setting()
  const writes = kept.bytes.slice()
  for (const [slot, firstPage] of [1, 64, 0xffff_ffff].entries())
    opened.ask({ kind: DISK_WRITE, firstPage, count: slot, pageCount: 1 }, payloadOf([NO_PAGE], 1))
  t.equal(heard(opened), 3, 'or there are not so many')
  t.same([opened.ends, kept.bytes], [[], writes])
})

t.test('requests that come while disks are opened are answered with an error', async (t) => {
  const { link, kept } = setting()
  const reads = kept.reads
  link.areDisksStuck = true
  link.ask({ kind: DISK_READ, count: 1, pageCount: 1 })
  link.settle()
  link.ask({ kind: DISK_OPEN, count: 2 })
  link.ask({ kind: DISK_READ, count: 3, pageCount: 1 })
  t.equal(heard(link), 1)
  t.notOk(kept.closed, 'a read is under way')
  link.areDisksStuck = false
  t.equal(heard(link), 3, 'the read, and the opening, are answered as well')
  t.equal(kept.reads, reads + 3, 'one read, and two ends of the label')
  link.ask({ kind: DISK_OPEN, count: 2 })
  link.ask({ kind: DISK_OPEN, count: 3 })
  link.settle()
  t.match(link.ends, [/asked to be opened twice/])
})

t.test('a disk that is not there is told in words', async (t) => {
  const { link } = setting([MIB, MIB])
  link.missing.add('/dev/mirror1')
  t.throws(() => link.open(), {
    code: 'DISK_MISSING',
    message: 'the plex of pollux cannot be opened: /dev/mirror1 is not there',
  })
  t.ok(link.disks[0]!.closed, 'all of them or none')
  link.missing.clear()
  t.equal(link.open().length, 2)
})

t.test('an opening ends with the link', async (t) => {
  const { link } = setting()
  const opening = link.remote.open()
  opening.next()
  link.turn()
  link.down()
  t.match(link.run(opening), { code: 'DISK_MISSING', message: /error 107/ })
  link.up()
  t.equal(link.open().length, 1)
})

t.test('before this node opens its disks itself, what is in flight ends, and they are closed', async (t) => {
  const { link, disk, kept } = setting([MIB, MIB])
  const done = answers()
  link.areDisksStuck = true
  for (const each of ['read', 'write'] as const) disk[each](0, link.blocks(1).gather(), done)
  link.settle()
  const closing = link.service.closing()
  for (let turns = 0; turns < 5; turns += 1) {
    t.equal(closing.next().done, false)
    link.turn()
  }
  t.same(
    link.disks.map(({ closed }) => closed),
    [false, true],
  )
  link.areDisksStuck = false
  link.run(closing)
  t.ok(kept.closed)
  link.settle()
  t.same(done.results, [], 'nobody hears of it any more')
  link.ask({ kind: DISK_READ, count: 9, pageCount: 1 })
  t.equal(heard(link), 1, 'and nothing is open')
})

t.test('an opening that is under way ends before the disks are closed', async (t) => {
  const link = new PlexLink([MIB, MIB])
  link.ask({ kind: DISK_OPEN })
  link.areDisksStuck = true
  link.settle()
  const closing = link.service.closing()
  closing.next()
  link.settle()
  t.notOk(link.disks[0]!.closed, 'its label is being read')
  link.areDisksStuck = false
  link.run(closing)
  t.ok(link.disks.every(({ closed, reads }) => closed || reads === 0))
  t.equal(heard(link), 0)
})

t.test('with the link, an opening is over; the disks are opened anew in the next session', async (t) => {
  const { link, kept } = setting()
  link.areDisksStuck = true
  link.ask({ kind: DISK_OPEN })
  link.settle()
  link.down()
  link.areDisksStuck = false
  link.settle()
  link.up()
  t.match(link.open(), [{ byteLength: MIB }])
  t.notOk(kept.closed)
  t.same([link.ends, link.toOwner.seen.length], [[], 2])
})

t.test('answers of an earlier session are not sent in the next one', async (t) => {
  const { link, disk } = setting()
  const done = answers()
  link.areDisksStuck = true
  for (const each of ['read', 'write'] as const) disk[each](0, link.blocks(1).gather(), done)
  disk.flush(done)
  link.settle()
  link.down()
  link.up()
  link.areDisksStuck = false
  link.settle()
  t.same([done.results, link.toOwner.seen.length], [[-107, -107, -107], 1])
})

/** The next session of the link waits with its disks for what is stuck there. */
function opensNextSession(t: Test, link: PlexLink): void {
  link.down()
  link.up()
  const opening = link.remote.open()
  opening.next()
  link.settle()
  t.same(link.ends, [], 'the log goes over the same link')
  link.areDisksStuck = false
  t.match(link.run(opening), [{ byteLength: MIB }], 'it has waited')
}

t.test('what the last session has left under way does not end the next one', async (t) => {
  const { link, disk } = setting()
  const done = answers()
  link.areDisksStuck = true
  disk.read(0, link.blocks(1).gather(), done)
  link.settle()
  opensNextSession(t, link)
})

t.test('nor does an opening that the last session has left under way', async (t) => {
  const { link } = setting()
  link.areDisksStuck = true
  link.ask({ kind: DISK_OPEN, count: 31 })
  link.settle()
  opensNextSession(t, link)
})

t.test('a disk may have a long path', async (t) => {
  const paths = [
    `/dev/disk/by-path/${'pci-0000:00:1f.2-'.repeat(20)}`,
    `/dev/${'x'.repeat(194)}`,
    `/dev/${'\u6e05'.repeat(90)}`,
    `/dev/${'\u{1f4be}'.repeat(90)}`,
  ]
  for (const path of paths) t.doesNotThrow(() => new PlexLink([MIB], path).open(), path)
})

t.test('a payload of odd length before a write does not move its table', async (t) => {
  for (const byteLength of [1, 2, 3, 4]) {
    const { link, kept } = setting()
    link.keptRing.pageBytes(0).fill(0x21)
    link.ask({ kind: DISK_FLUSH, count: 1 }, new Uint8Array(byteLength))
    link.ask({ kind: DISK_WRITE, count: 2, pageCount: 1 }, payloadOf([0]))
    heard(link)
    t.ok(link.ends.length === 1 || kept.bytes[0] === 0x21, `${byteLength} bytes`)
  }
})

t.test('memory of what the last session has left under way is used again', async (t) => {
  const { link, disk } = setting()
  const done = answers()
  const { gather } = link.blocks(1)
  const { memory } = link.world
  const allocate = memory.allocate.bind(memory)
  const allocated: number[] = []
  memory.allocate = (byteLength) => {
    allocated.push(byteLength)
    return allocate(byteLength)
  }
  for (let times = 0; times < 6; times += 1) {
    disk.read(0, gather(), done)
    link.settle()
    link.areDisksStuck = true
    if (times % 2 === 0) disk.read(0, gather(), done)
    else link.ask({ kind: DISK_OPEN })
    link.settle()
    link.down()
    link.areDisksStuck = false
    link.settle()
    link.up()
  }
  const large = allocated.filter((byteLength) => byteLength === DISK_BLOCKS_MAX * BLOCK_SIZE)
  t.equal(large.length, 1, `${large.length} times`)
})

const number = fc.oneof(
  { weight: 8, arbitrary: fc.nat(3) },
  { weight: 2, arbitrary: fc.nat(300) },
  { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
)
const block = fc.nat(200).map((at) => at * BLOCK_SIZE)
const place = fc.oneof(
  { weight: 8, arbitrary: block },
  { weight: 1, arbitrary: fc.nat(2 ** 31) },
  { weight: 1, arbitrary: fc.maxSafeNat() },
)
const frame = fc.record({
  kind: fc.constantFrom(DISK_OPEN, DISK_READ, DISK_READ, DISK_WRITE, DISK_WRITE, DISK_FLUSH),
  firstPage: number,
  pageCount: number,
  sequence: place,
})
/** Pages, and how many blocks follow more than there are places for. */
const content = fc.record({
  pages: fc.array(fc.oneof(fc.nat(260), fc.constant(NO_PAGE)), { minLength: 1, maxLength: 4 }),
  more: fc.constantFrom(0, 0, 0, 0, 0, 0, -1, 1),
  isFit: fc.nat(9),
})

type Content = typeof content extends fc.Arbitrary<infer V> ? V : never

function asked(link: PlexLink, count: number, values: Words, { pages, more, isFit }: Content): void {
  const blocks = Math.max(0, pages.filter((page) => page === NO_PAGE).length + more)
  const isWrite = values.kind === DISK_WRITE
  const pageCount = isWrite && isFit > 0 ? pages.length : values.pageCount!
  link.ask({ ...values, count, pageCount }, isWrite ? payloadOf(pages, blocks) : undefined)
}

t.test('whatever a keeper is asked, it answers, or ends the session', async (t) => {
  const seen = { ends: 0, answers: 0 }
  const slot = fc.oneof({ weight: 15, arbitrary: fc.nat(31) }, { weight: 1, arbitrary: number })
  const all = fc.array(fc.tuple(slot, frame, content), { maxLength: 12 })
  const property = fc.property(all, (frames) => {
    const { link } = setting([MIB, MIB])
    link.toOwner.isHeld = true
    for (const [count, values, more] of frames) {
      asked(link, count, values, more)
      link.settle()
      if (link.ends.length > 0) break
      seen.answers += 1
    }
    seen.ends += link.ends.length
    if (link.ends.length === 0 && link.toOwner.waiting !== frames.length)
      throw new Error(`${frames.length} requests, ${link.toOwner.waiting} answers`)
    link.toOwner.isHeld = false
    if (link.ends.length === 0) link.down()
    link.up()
    if (link.open().length !== 2) throw new Error('it cannot be opened again')
  })
  fc.assert(property, runs(300))
  t.ok(seen.ends > 100 && seen.answers > 300, JSON.stringify(seen))
})

t.test('whatever an owner is answered, every request is answered once', async (t) => {
  const errno = fc.constantFrom(0, 0, 5, 0xffff_ffff)
  const answer = fc.record({ count: number, generation: errno })
  const bytes = fc.constantFrom(0, BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE, 8, 280, 2 * BLOCK_SIZE)
  const seen = { ends: 0, good: 0 }
  const property = fc.property(fc.array(fc.tuple(answer, bytes), { maxLength: 12 }), (all) => {
    const { link, disk } = setting()
    link.toKeeper.isHeld = true
    const done = answers()
    const { gather } = link.blocks(1)
    for (const each of ['read', 'write', 'read', 'read'] as const) disk[each](0, gather(), done)
    link.turn()
    for (const [values, byteLength] of all) {
      if (link.ends.length > 0) break
      link.answer({ kind: DISK_DONE, ...values }, byteLength > 0 ? new Uint8Array(byteLength) : undefined)
      link.turn()
    }
    seen.ends += link.ends.length
    seen.good += done.results.filter((result) => result >= 0).length
    if (link.ends.length === 0) link.down()
    link.settle()
    if (done.results.length !== 4) throw new Error(`${done.results.length} answers`)
  })
  fc.assert(property, runs(300))
  t.ok(seen.ends > 100 && seen.good > 50, JSON.stringify(seen))
})
