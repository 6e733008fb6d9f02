import t from 'tap'
import * as reply from '../../../ts/nbd/reply.ts'

const [cookieHigh, cookieLow] = [0xaabb_ccdd, 0x0102_0304]
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
  const bytes = written((into, at) => reply.encodeSimpleReply(into, at, cookieHigh, cookieLow, 28))
  t.equal(bytes, `674466980000001c${cookie}`)
})

t.test('the end of a structured reply', async (t) => {
  const bytes = written((into, at) => reply.encodeDone(into, at, cookieHigh, cookieLow))
  t.equal(bytes, `668e33ef00010000${cookie}00000000`)
})

t.test('the header of data counts the data and carries its offset', async (t) => {
  const bytes = written((into, at) =>
    reply.encodeOffsetData(into, at, cookieHigh, cookieLow, offset, 4096, false),
  )
  t.equal(bytes, `668e33ef00000001${cookie}000010080000010000001000`)
  t.equal(bytes.length / 2, reply.OFFSET_DATA_HEADER_BYTE_LENGTH)
  const last = written((into, at) => reply.encodeOffsetData(into, at, 0, 0, 0, 1, true))
  t.equal(last.slice(8, 16), '00010001')
})

t.test('a hole', async (t) => {
  const bytes = written((into, at) =>
    reply.encodeOffsetHole(into, at, cookieHigh, cookieLow, offset, 0x2_0000, true),
  )
  t.equal(bytes, `668e33ef00010002${cookie}0000000c000001000000100000020000`)
  t.equal(bytes.length / 2, reply.OFFSET_HOLE_BYTE_LENGTH)
  t.match(
    written((into, at) => reply.encodeOffsetHole(into, at, 0, 0, 0, 1, false)),
    /^668e33ef00000002/,
  )
})

t.test('an error with and without a message', async (t) => {
  const message = new TextEncoder().encode('full')
  const bytes = written((into, at) => reply.encodeErrorChunk(into, at, cookieHigh, cookieLow, 28, message))
  t.equal(bytes, `668e33ef00018001${cookie}0000000a0000001c000466756c6c`)
  const silent = written((into, at) => reply.encodeErrorChunk(into, at, 0, 0, 5, new Uint8Array(0)))
  t.equal(silent.length / 2, reply.ERROR_CHUNK_BYTE_LENGTH)
})

t.test('chunks that the protocol forbids are our own bugs', async (t) => {
  const into = new DataView(new ArrayBuffer(8192))
  t.throws(() => reply.encodeOffsetData(into, 0, 0, 0, 0, 0, true), { name: 'AssertionFailure' })
  t.throws(() => reply.encodeOffsetHole(into, 0, 0, 0, 0, 0, true), { name: 'AssertionFailure' })
  t.throws(() => reply.encodeErrorChunk(into, 0, 0, 0, 0, new Uint8Array(0)), { name: 'AssertionFailure' })
  t.throws(() => reply.encodeErrorChunk(into, 0, 0, 0, 5, new Uint8Array(4097)), { name: 'AssertionFailure' })
})
