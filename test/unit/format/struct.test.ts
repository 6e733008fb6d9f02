import t from 'tap'
import { bytes, struct, text, u16, u32, u64 } from '../../../ts/format/struct.ts'

const Sample = struct('Sample', 32, { a: u32, b: u16, c: u16, d: u64, e: bytes(4), f: text(12) })
const values = {
  a: 0xfffefdfc,
  b: 0x0102,
  c: 0xffff,
  d: 2 ** 53 - 1,
  e: new Uint8Array([9, 8, 7, 6]),
  f: 'bär',
}

t.test('fields lie one behind the other, little-endian', async (t) => {
  t.same(Sample.at, { a: 0, b: 4, c: 6, d: 8, e: 16, f: 20 })
  const into = new Uint8Array(40).fill(0xee)
  Sample.encode(values, into, 4)
  t.equal(
    Buffer.from(into).toString('hex'),
    'eeeeeeeefcfdfeff0201ffffffffffffffff1f000908070662c3a4720000000000000000eeeeeeee',
  )
  t.same(Sample.decode(into, 4), values)
})

t.test('what was decoded is a copy', async (t) => {
  const from = new Uint8Array(32)
  Sample.encode(values, from)
  const decoded = Sample.decode(from)
  from.fill(0)
  t.same(decoded.e, new Uint8Array([9, 8, 7, 6]))
})

t.test('a text that fills its field has no end mark, a shorter one leaves nothing behind', async (t) => {
  const into = new Uint8Array(32)
  Sample.encode({ ...values, f: 'abcdefghijkl' }, into)
  t.equal(Sample.decode(into).f, 'abcdefghijkl')
  Sample.encode({ ...values, f: 'z' }, into)
  t.equal(Sample.decode(into).f, 'z')
  t.ok(into.subarray(21).every((byte) => byte === 0))
})

t.test('a value too long for its field is our bug', async (t) => {
  t.throws(() => Sample.encode({ ...values, f: 'thirteen byte' }, new Uint8Array(32)), /fits its field/)
  t.throws(() => Sample.encode({ ...values, e: new Uint8Array(5) }, new Uint8Array(32)), /fits its field/)
})

t.test('a declaration that is not aligned or has another length than it says is refused', async (t) => {
  t.throws(() => struct('X', 8, { a: u16, b: u32 }), /X.b is not aligned/)
  t.throws(() => struct('X', 16, { a: u32, b: u32 }), /declared with 16 bytes and has 8/)
})

t.test('every change of a layout changes its fingerprint', async (t) => {
  const prints = [
    struct('S', 8, { a: u32, b: u32 }),
    struct('S', 8, { b: u32, a: u32 }),
    struct('S', 8, { a: u32, b: bytes(4) }),
    struct('S', 8, { a: u64 }),
    struct('S', 12, { a: u32, b: u32, c: u32 }),
    struct('T', 8, { a: u32, b: u32 }),
  ].map(({ fingerprint }) => fingerprint)
  t.equal(new Set(prints).size, prints.length)
  t.equal(struct('S', 8, { a: u32, b: u32 }).fingerprint, prints[0])
})
