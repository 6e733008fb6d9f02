import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { AllocationWalk, type WalkStep } from '../../../ts/nbd/allocation-walk.ts'

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
const word = (value: number) => value.toString(16).padStart(8, '0')

/** A chunk of an answer: `flags` 1 is the last one. */
function chunk(cookie: number, body: string, flags = 1, type = '0005'): Uint8Array {
  const data = bytesOf(body)
  const head = `668e33ef 000${flags} ${type} 00000000 ${word(cookie)} ${word(data.length)}`
  return Uint8Array.from(Buffer.concat([bytesOf(head), data]))
}

const HOLE = 3
const ZERO = 2
const extents = (...pairs: [number, number][]) =>
  word(7) + pairs.map(([byteLength, flags]) => word(byteLength) + word(flags)).join('')

/** What a request asks for. */
function asked(step: WalkStep): { offset: number; byteLength: number } {
  if (step.kind !== 'more' || step.send.length !== 28) throw new Error('it has not asked')
  const view = Buffer.from(step.send)
  t.equal(view.readUInt32BE(0), 0x2560_9513)
  t.equal(view.readUInt16BE(6), 7)
  return { offset: Number(view.readBigUInt64BE(16)), byteLength: view.readUInt32BE(24) }
}

t.test('an export of zeroes is walked to its end, as far as each answer goes', async (t) => {
  const walk = new AllocationWalk(7, 6 * 2 ** 30)
  t.same(asked(walk.start()), { offset: 0, byteLength: 2 ** 31 })
  t.same(asked(walk.feed(chunk(1, extents([4096, HOLE])))), { offset: 4096, byteLength: 2 ** 31 })
  t.same(asked(walk.feed(chunk(2, extents([4096, ZERO], [2 ** 31, HOLE])))), {
    offset: 8192 + 2 ** 31,
    byteLength: 2 ** 31,
  })
  t.same(asked(walk.feed(chunk(3, extents([2 ** 31, HOLE])))), {
    offset: 8192 + 2 ** 32,
    byteLength: 2 ** 31 - 8192,
  })
  t.same(walk.feed(chunk(4, extents([2 ** 31, HOLE]))), { kind: 'done', dataAt: undefined })
})

t.test('data is told wherever it is, and answers come in any pieces', async (t) => {
  const walk = new AllocationWalk(7, 2 ** 20)
  walk.start()
  const answer = chunk(1, extents([4096, HOLE], [8192, 0], [4096, HOLE]))
  for (const byte of answer.subarray(0, -1)) t.equal(walk.feed(Uint8Array.of(byte)).kind, 'more')
  t.same(walk.feed(answer.subarray(-1)), { kind: 'done', dataAt: 4096 })
})

t.test('a hole that need not read as zeroes counts as data', async (t) => {
  const walk = new AllocationWalk(7, 2 ** 20)
  walk.start()
  t.same(walk.feed(chunk(1, extents([2 ** 20, 1]))), { kind: 'done', dataAt: 0 })
})

t.test('an answer that ends with an empty chunk is an answer', async (t) => {
  const walk = new AllocationWalk(7, 2 ** 20)
  walk.start()
  t.same(walk.feed(chunk(1, extents([2 ** 20, HOLE]), 0)), { kind: 'more', send: new Uint8Array(0) })
  t.same(walk.feed(chunk(1, '', 1, '0000')), { kind: 'done', dataAt: undefined })
})

t.test('an export of no bytes has no data', async (t) => {
  t.same(new AllocationWalk(7, 0).start(), { kind: 'done', dataAt: undefined })
})

t.test('a server that does not tell, or tells nonsense, is refused', async (t) => {
  const cases: [Uint8Array, RegExp][] = [
    [chunk(2, extents([2 ** 20, HOLE])), /something else than it was asked/],
    [bytesOf('67446698 00000000 00000000 00000001 00000000'), /something else than it was asked/],
    [chunk(1, '00000016 0000', 1, '8001'), /does not tell what is allocated/],
    [chunk(1, '', 1, '0000'), /does not tell what is allocated/],
    [chunk(1, extents([0, HOLE])), /does not tell what is allocated/],
    [chunk(1, word(7)), /make no sense/],
    [chunk(1, `${word(8)}${word(4096)}${word(3)}`), /make no sense/],
    [chunk(1, `${extents([4096, HOLE])}00`), /make no sense/],
    [bytesOf(`668e33ef 0001 0005 00000000 ${word(1)} 7fffffff`), /an answer of \d+ bytes/],
  ]
  for (const [answer, message] of cases) {
    const walk = new AllocationWalk(7, 2 ** 20)
    walk.start()
    try {
      walk.feed(answer)
      t.fail(`${message} was taken`)
    } catch (error) {
      t.ok(isStoreError(error, 'ATTACH_FAILED'), String(error))
      t.match((error as Error).message, message)
    }
  }
})
