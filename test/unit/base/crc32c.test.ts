import t from 'tap'
import { crc32c } from '../../../ts/base/crc32c.ts'

const ascii = (text: string) => new TextEncoder().encode(text)

/** Bit by bit, straight from the definition. */
function slow(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

t.test('published vectors', async (t) => {
  t.equal(crc32c(ascii('123456789')), 0xe306_9283)
  t.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa, 'RFC 3720: zeroes')
  t.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8_ab43, 'RFC 3720: ones')
  t.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd_794e, 'RFC 3720: rising')
  t.equal(crc32c(new Uint8Array(0)), 0)
})

t.test('every length and every start agree with the definition', async (t) => {
  const bytes = Uint8Array.from({ length: 80 }, (_, i) => (i * 37 + 11) & 255)
  for (let from = 0; from < 9; from += 1) {
    for (let to = from; to <= bytes.length; to += 1) {
      if (crc32c(bytes, from, to) !== slow(bytes.subarray(from, to))) t.fail(`bytes ${from} to ${to}`)
    }
  }
  t.pass('all are equal')
})

t.test('a checksum can be continued', async (t) => {
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i * i)
  for (const cut of [0, 1, 7, 8, 50, 99, 100]) {
    t.equal(crc32c(bytes, cut, 100, crc32c(bytes, 0, cut)), crc32c(bytes), `cut at ${cut}`)
  }
})
