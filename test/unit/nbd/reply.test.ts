import t from 'tap'
import * as reply from '../../../ts/nbd/reply.ts'

const to = {
  cookieHigh: 0xaabb_ccdd,
  cookieLow: 0x0102_0304,
  offsetHigh: 0x5566_7788,
  offsetLow: 0x99aa_bbcc,
}
const zero = { cookieHigh: 0, cookieLow: 0, offsetHigh: 0, offsetLow: 0 }
const cookie = 'aabbccdd01020304'
const offset = 2 ** 40 + 0x1000

/** What an encoder has written, given that it respects its place and reports its length. */
function written(encode: (into: DataView, at: number) => number): string {
  const at = 11
  const into = Buffer.alloc(256, 0xee)
  const byteLength = encode(new DataView(into.buffer, into.byteOffset, into.length), at)
  const untouched = Buffer.concat([into.subarray(0, at), into.subarray(at + byteLength)])
  if (!untouched.every((byte) => byte === 0xee)) throw new Error('an encoder wrote outside of its place')
  return into.toString('hex', at, at + byteLength)
}

t.test('a simple reply', async (t) => {
  const bytes = written((into, at) => reply.encodeSimpleReply(into, at, to, 28))
  t.equal(bytes, `674466980000001c${cookie}`)
})

t.test('the end of a structured reply', async (t) => {
  const bytes = written((into, at) => reply.encodeDone(into, at, to, false))
  t.equal(bytes, `668e33ef00010000${cookie}00000000`)
})

t.test('the header of data counts the data and carries its offset', async (t) => {
  const bytes = written((into, at) => reply.encodeOffsetData(into, at, to, false, offset, 4096, false))
  t.equal(bytes, `668e33ef00000001${cookie}000010080000010000001000`)
  t.equal(bytes.length / 2, 28)
  const last = written((into, at) => reply.encodeOffsetData(into, at, zero, false, 0, 1, true))
  t.equal(last.slice(8, 16), '00010001')
})

t.test('a hole', async (t) => {
  const bytes = written((into, at) => reply.encodeOffsetHole(into, at, to, false, offset, 0x2_0000, true))
  t.equal(bytes, `668e33ef00010002${cookie}0000000c000001000000100000020000`)
  t.equal(bytes.length / 2, 32)
  t.match(
    written((into, at) => reply.encodeOffsetHole(into, at, zero, false, 0, 1, false)),
    /^668e33ef00000002/,
  )
})

t.test('an error with and without a message', async (t) => {
  const message = new TextEncoder().encode('full')
  const bytes = written((into, at) => reply.encodeErrorChunk(into, at, to, false, 28, message))
  t.equal(bytes, `668e33ef00018001${cookie}0000000a0000001c000466756c6c`)
  const silent = written((into, at) => reply.encodeErrorChunk(into, at, zero, false, 5, new Uint8Array(0)))
  t.equal(silent.length / 2, 26)
})

t.test('chunks that the protocol forbids are our own bugs', async (t) => {
  const into = new DataView(new ArrayBuffer(8192))
  t.throws(() => reply.encodeOffsetData(into, 0, zero, false, 0, 0, true), { name: 'AssertionFailure' })
  t.throws(() => reply.encodeOffsetHole(into, 0, zero, false, 0, 0, true), { name: 'AssertionFailure' })
  t.throws(() => reply.encodeErrorChunk(into, 0, zero, false, 0, new Uint8Array(0)), {
    name: 'AssertionFailure',
  })
  t.throws(() => reply.encodeErrorChunk(into, 0, zero, false, 5, new Uint8Array(4097)), {
    name: 'AssertionFailure',
  })
})

t.test('a status counts its extents, which follow it', async (t) => {
  const header = written((into, at) => reply.encodeBlockStatus(into, at, to, false, 7, 2, true))
  t.equal(header, `668e33ef00010005${cookie}0000001400000007`)
  t.equal(
    written((into, at) => reply.encodeExtent(into, at, false, 0x2_0000, 3)),
    '0002000000000003',
  )
  t.throws(() => reply.encodeBlockStatus(new DataView(new ArrayBuffer(64)), 0, to, false, 1, 0, true))
  t.throws(() => reply.encodeExtent(new DataView(new ArrayBuffer(64)), 0, false, 0, 3))
})

t.test('extended chunks repeat the offset of the request, and have room for long extents', async (t) => {
  const [start, requested] = ['6e8a278c', `${cookie}5566778899aabbcc`]
  t.equal(
    written((into, at) => reply.encodeDone(into, at, to, true)),
    `${start}00010000${requested}0000000000000000`,
  )
  t.equal(
    written((into, at) => reply.encodeOffsetData(into, at, to, true, offset, 4096, true)),
    `${start}00010001${requested}00000000000010080000010000001000`,
  )
  t.equal(
    written((into, at) => reply.encodeOffsetHole(into, at, to, true, offset, 512, false)),
    `${start}00000002${requested}000000000000000c000001000000100000000200`,
  )
  t.equal(
    written((into, at) => reply.encodeErrorChunk(into, at, to, true, 5, new Uint8Array([65]))),
    `${start}00018001${requested}000000000000000700000005000141`,
  )
  t.equal(
    written((into, at) => reply.encodeBlockStatus(into, at, to, true, 1, 3, false)),
    `${start}00000006${requested}00000000000000380000000100000003`,
    'not the last one',
  )
  t.equal(
    written((into, at) => reply.encodeExtent(into, at, true, 2 ** 40, 3)),
    '00000100000000000000000000000003',
  )
})
