import t from 'tap'
import { RequestReader } from '../../../ts/nbd/transmission.ts'
import { encodeExtendedRequest, encodeRequest } from '../../support/nbd-wire.ts'

function viewOf(bytes: Buffer, before: number): DataView {
  const buffer = new Uint8Array(before + bytes.length)
  buffer.set(bytes, before)
  return new DataView(buffer.buffer)
}

t.test('a header is read at any offset of the buffer', async (t) => {
  const cookie = 0xfedc_ba98_7654_3210n
  const fields = { command: 6, cookie, flags: 0x8013, offset: 2 ** 53 - 1, length: 0xffff_ffff }
  const reader = new RequestReader()
  t.equal(reader.read(viewOf(encodeRequest(fields), 13), 13), true)
  t.match(reader, {
    command: 6,
    flags: 0x8013,
    offset: 2 ** 53 - 1,
    length: 0xffff_ffff,
    offsetOutOfRange: false,
  })
  t.equal(reader.cookieHigh, 0xfedc_ba98)
  t.equal(reader.cookieLow, 0x7654_3210)
})

t.test('offsets that a number cannot hold are flagged, and the flag goes away again', async (t) => {
  const reader = new RequestReader()
  for (const offset of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    reader.read(viewOf(encodeRequest({ command: 0, cookie: 1n, offset }), 0), 0)
    t.equal(reader.offsetOutOfRange, true, String(offset))
  }
  reader.read(viewOf(encodeRequest({ command: 0, cookie: 1n, offset: 7 }), 0), 0)
  t.match(reader, { offsetOutOfRange: false, offset: 7 })
})

t.test('what does not start with the magic is not a request', async (t) => {
  const bytes = encodeRequest({ command: 0, cookie: 1n })
  for (const at of [0, 1, 2, 3]) {
    const damaged = Buffer.from(bytes)
    damaged[at]! ^= 1
    t.equal(new RequestReader().read(viewOf(damaged, 0), 0), false)
  }
})

t.test('an extended header has a longer length, and says whether it is that of a payload', async (t) => {
  const fields = { command: 6, cookie: 7n, offset: 2n ** 64n - 1n, length: 2 ** 53 - 1 }
  const reader = new RequestReader()
  t.equal(reader.readExtended(viewOf(encodeExtendedRequest(fields), 5), 5), true)
  t.match(reader, { length: 2 ** 53 - 1, lengthOutOfRange: false, payloadLength: 0, offsetOutOfRange: true })
  t.same([reader.offsetHigh, reader.offsetLow], [0xffff_ffff, 0xffff_ffff], 'the offset is kept as it came')
  reader.readExtended(viewOf(encodeExtendedRequest({ ...fields, command: 1, flags: 32, length: 9 }), 0), 0)
  t.match(reader, { length: 9, payloadLength: 9 })
  reader.readExtended(viewOf(encodeExtendedRequest({ ...fields, length: 2n ** 53n }), 0), 0)
  t.equal(reader.lengthOutOfRange, true)
  t.equal(reader.readExtended(viewOf(encodeRequest({ command: 0, cookie: 1n }), 0), 0), false)
  t.equal(reader.read(viewOf(encodeExtendedRequest(fields), 0), 0), false, 'one kind of header in a session')
})
