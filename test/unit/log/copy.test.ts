import t from 'tap'
import { HEADERS_AT, LOG_RING_VERSION, LogRingHeader, MARKS_AT } from '../../../ts/format/log-ring.ts'
import { seal } from '../../../ts/format/sealed.ts'
import { CopyHost, identity } from './copies.ts'

function changeHeader(
  host: CopyHost,
  change: (header: ReturnType<typeof LogRingHeader.decode>) => void,
): void {
  const header = LogRingHeader.decode(host.memory.bytes)
  change(header)
  for (const at of HEADERS_AT) {
    LogRingHeader.encode(header, host.memory.bytes, at)
    seal(host.memory.bytes.subarray(at, at + LogRingHeader.byteLength))
  }
}

t.test('a new file is a lost log: a new incarnation, and nothing in it', async (t) => {
  const host = new CopyHost()
  const copy = host.open()
  t.match(copy, { lost: true, damage: '' })
  t.equal(copy.incarnationText, '41414141-4141-4141-4141-414141414141')
  t.match(copy.marks.load(), { epoch: 0, complete: false, base: 1, acknowledged: 0 })
  t.equal(copy.ring.entryCount, 0)
})

t.test('a file that is kept keeps its incarnation and its marks', async (t) => {
  const host = new CopyHost()
  host.open().marks.begin(5, 100, true, 120)
  const copy = host.open()
  t.match(copy, { lost: false, damage: '', incarnation: identity(0x41) })
  t.match(copy.marks, { epoch: 5, complete: true, base: 100, acknowledged: 120 })
})

t.test('a file of another length is a lost log', async (t) => {
  const host = new CopyHost()
  host.open()
  host.found = 'resized'
  t.match(host.open(), { lost: true, damage: '', incarnation: identity(0x42) })
})

t.test('memory that came back blank is a lost log, not a damaged one', async (t) => {
  const host = new CopyHost()
  host.open()
  host.memory.bytes.fill(0)
  t.match(host.open(), { lost: true, damage: '', incarnation: identity(0x42) })
})

t.test('without a mark that checks the log is damaged, but it is still this log', async (t) => {
  const host = new CopyHost()
  host.open()
  for (const at of MARKS_AT) host.memory.bytes[at + 20]! ^= 1
  const copy = host.open()
  t.match(copy, { lost: false, incarnation: identity(0x41) })
  t.match(copy.damage, /^\/nvram\/a\.nvram: neither of its marks checks/)
})

t.test('a bit that flips in one of the two headers costs nothing, whichever bit it is', async (t) => {
  const host = new CopyHost()
  host.open().marks.begin(5, 100, true, 120)
  const whole = host.memory.bytes.slice()
  for (const at of HEADERS_AT) {
    for (let bit = 0; bit < LogRingHeader.byteLength * 8; bit += 1) {
      host.memory.bytes[at + (bit >>> 3)]! ^= 1 << (bit & 7)
      if (host.open().damage !== '') t.fail(`bit ${bit} at ${at}`)
    }
  }
  t.ok(Buffer.from(whole).equals(host.memory.bytes), 'and it is mended')
})

const mistakes: [string, RegExp, (host: CopyHost) => void][] = [
  [
    'a bit flipped in both headers',
    /its header does not check/,
    ({ memory }) => {
      for (const at of HEADERS_AT) memory.bytes[at + 20]! ^= 1
    },
  ],
  ['another number of pages', /another size/, (h) => changeHeader(h, (header) => (header.pageCount = 512))],
]

const foreign: [string, RegExp, (host: CopyHost) => void][] = [
  [
    'another format',
    /a log of another format version; start the version that wrote it/,
    (h) => changeHeader(h, (header) => (header.version = LOG_RING_VERSION + 1)),
  ],
  ['another pair', /log of another pair/, (h) => changeHeader(h, (header) => header.pair.fill(9))],
  ['another aggregate', /of another aggregate/, (h) => changeHeader(h, (header) => header.aggregate.fill(9))],
  ['another node', /log of another node; give/, (h) => changeHeader(h, (header) => header.node.fill(9))],
]

for (const [name, reason, change] of foreign) {
  t.test(`a ring of ${name} may be the only copy: it is refused, and not one byte is changed`, async (t) => {
    const host = new CopyHost()
    host.open().marks.begin(5, 100, true, 120)
    change(host)
    const before = Buffer.from(host.memory.bytes)
    t.throws(() => host.open(), { code: 'NVRAM_UNUSABLE', message: reason })
    t.ok(before.equals(host.memory.bytes))
  })
}

for (const [name, reason, damage] of mistakes) {
  t.test(`${name} is named, and gets a new incarnation`, async (t) => {
    const host = new CopyHost()
    host.open().marks.begin(5, 100, true, 120)
    damage(host)
    const copy = host.open()
    t.match(copy, { lost: false, incarnation: identity(0x42), damage: reason })
    t.match(copy.damage, /^\/nvram\/a\.nvram: /)
    t.match(copy.marks.load(), { epoch: 0, complete: false }, 'the old marks say nothing about it')
    t.match(host.open(), { lost: false, damage: '', incarnation: identity(0x42) })
  })
}
