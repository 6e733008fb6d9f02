import fc from 'fast-check'
import t from 'tap'
import { Handshake } from '../../ts/nbd/handshake.ts'
import { decodeContextRequest } from '../../ts/nbd/option-request.ts'
import {
  encodeErrorChunk,
  encodeOffsetData,
  encodeOffsetHole,
  encodeSimpleReply,
} from '../../ts/nbd/reply.ts'
import type { SessionTerms } from '../../ts/nbd/session-terms.ts'
import { RequestReader } from '../../ts/nbd/transmission.ts'
import { validate } from '../../ts/nbd/validate.ts'
import { catalogOf, exportOf } from '../support/nbd-catalog.ts'
import {
  decodeOptionReplies,
  encodeClientFlags,
  encodeContextData,
  encodeInfoData,
  encodeOption,
  encodeRequest,
  option,
  optionReply,
} from '../support/nbd-wire.ts'

const runs = { seed: Number(process.env['POLLUX_SEED'] ?? 20260), numRuns: 1500 }
const catalog = catalogOf(exportOf('one', { description: 'first' }), exportOf('zwei', { readOnly: true }))

interface Outcome {
  kind: string
  sent: string
  exportName: string | undefined
  terms: SessionTerms | undefined
  leftover: string
}

/** Feeds the pieces in order; bytes after the handshake has ended are what a socket would hand on. */
function run(pieces: readonly Uint8Array[]): Outcome {
  const handshake = new Handshake(catalog)
  const sent: Uint8Array[] = []
  for (const [index, piece] of pieces.entries()) {
    const step = handshake.feed(piece)
    sent.push(step.send)
    if (step.kind === 'more') continue
    const isIn = step.kind === 'transmission'
    return {
      kind: step.kind,
      sent: Buffer.concat(sent).toString('hex'),
      exportName: isIn ? step.exportInfo.name : undefined,
      terms: isIn ? step.terms : undefined,
      leftover: isIn ? Buffer.concat([step.leftover, ...pieces.slice(index + 1)]).toString('hex') : '',
    }
  }
  const sentHex = Buffer.concat(sent).toString('hex')
  return { kind: 'more', sent: sentHex, exportName: undefined, terms: undefined, leftover: '' }
}

function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length))
}

const name = fc.oneof(fc.constantFrom('', 'one', 'zwei', 'one\0', 'drei'), fc.string({ maxLength: 40 }))
const infoData = fc
  .tuple(name, fc.array(fc.nat(5), { maxLength: 6 }))
  .map(([n, wanted]) => encodeInfoData(n, wanted))
const query = fc.oneof(
  fc.constantFrom('base:', 'base:allocation', 'qemu:x', ''),
  fc.string({ maxLength: 20 }),
)
const contextData = fc
  .tuple(name, fc.array(query, { maxLength: 5 }))
  .map(([n, queries]) => encodeContextData(n, queries))
const damagedIn = (data: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc.tuple(data, fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
    const copy = Buffer.from(bytes)
    copy[at % copy.length] = value
    return copy
  })
const anyOption = fc.oneof(
  fc
    .tuple(fc.constantFrom(6, 7), fc.oneof(infoData, damagedIn(infoData)))
    .map(([n, data]) => encodeOption(n, data)),
  fc
    .tuple(fc.constantFrom(9, 10), fc.oneof(contextData, damagedIn(contextData)))
    .map(([n, data]) => encodeOption(n, data)),
  fc.tuple(fc.nat(13), fc.uint8Array({ maxLength: 300 })).map(([n, data]) => encodeOption(n, data)),
  fc.constantFrom(3, 8, 5, 11).map((n) => encodeOption(n)),
  name.map((n) => encodeOption(1, n)),
)
const conversation = fc
  .tuple(
    fc.constantFrom(3, 3, 3, 1, 0, 4),
    fc.array(anyOption, { maxLength: 12 }),
    fc.constantFrom('one', 'nope'),
    fc.uint8Array({ maxLength: 60 }),
  )
  .map(([flags, options, last, rest]) => {
    const goodbye = encodeOption(7, encodeInfoData(last, [3]))
    return new Uint8Array(Buffer.concat([encodeClientFlags(flags), ...options, goodbye, rest]))
  })

t.test('how the bytes of a handshake are cut into pieces changes nothing', async (t) => {
  const kinds = new Set<string>()
  const property = fc.property(conversation, fc.array(fc.nat(), { maxLength: 20 }), (bytes, cuts) => {
    const whole = run([bytes])
    kinds.add(whole.kind)
    const oneByOne = Array.from(bytes, (byte) => Uint8Array.of(byte))
    for (const pieces of [split(bytes, cuts), oneByOne]) {
      const cut = run(pieces)
      if (JSON.stringify(cut) !== JSON.stringify(whole)) throw new Error(`${JSON.stringify({ cut, whole })}`)
    }
  })
  fc.assert(property, runs)
  t.same([...kinds].sort(), ['close', 'more', 'transmission'], 'all endings have occurred')
})

t.test('whatever a client sends, the handshake never throws and answers well-formed', async (t) => {
  const anything = fc.uint8Array({ maxLength: 2000 })
  const started = anything.map((bytes) => new Uint8Array(Buffer.concat([encodeClientFlags(), bytes])))
  const inOption = fc
    .tuple(fc.nat(13), fc.nat(0xffff_ffff), anything)
    .map(([n, byteLength, data]) => Buffer.concat([encodeClientFlags(), encodeOption(n, data, byteLength)]))
  const property = fc.property(fc.oneof(anything, started, inOption, conversation), (bytes) => {
    const outcome = run([new Uint8Array(bytes)])
    if (outcome.kind !== 'transmission') decodeOptionReplies(Buffer.from(outcome.sent, 'hex'))
  })
  fc.assert(property, runs)
  t.pass('no counterexample')
})

t.test(
  'whatever a client sends, nothing is told or opened where TLS is required and has not begun',
  async (t) => {
    const { ack, errTlsReqd, errInvalid } = optionReply
    const openly = [option.abort, option.startTls] as readonly number[]
    const kinds = new Set<string>()
    const property = fc.property(conversation, fc.array(fc.nat(), { maxLength: 20 }), (bytes, cuts) => {
      const handshake = new Handshake(catalog, { tls: 'required' })
      for (const piece of split(bytes, cuts)) {
        const step = handshake.feed(piece)
        kinds.add(step.kind)
        for (const answer of decodeOptionReplies(step.send)) {
          const isRefused = answer.kind === errTlsReqd || answer.kind === errInvalid
          if (!isRefused && !(answer.kind === ack && openly.includes(answer.option))) return false
        }
        if (step.kind !== 'more') return step.kind !== 'transmission'
      }
      return true
    })
    fc.assert(property, runs)
    t.same([...kinds].sort(), ['close', 'more', 'tls'], 'all endings have occurred')
  },
)

t.test('a session whose client sends forever keeps a bounded amount of memory', async (t) => {
  const handshake = new Handshake(catalog)
  handshake.feed(Buffer.concat([encodeClientFlags(), encodeOption(99, '', 32 * 1024 * 1024)]))
  const before = process.memoryUsage().arrayBuffers
  const piece = new Uint8Array(65536)
  for (let sent = 0; sent < 32 * 1024 * 1024 - 65536; sent += piece.length) {
    if (handshake.feed(piece).kind !== 'more') throw new Error('the session has ended')
  }
  const grown = process.memoryUsage().arrayBuffers - before
  t.ok(grown < 1024 * 1024, `grew by ${grown} bytes while 32 MiB were skipped`)
})

t.test('a request for contexts is decoded as it was encoded, or has a mistake', async (t) => {
  const isString = (text: string) => !text.includes('\0') && Buffer.from(text).toString() === text
  const property = fc.property(name, fc.array(query, { maxLength: 8 }), (n, queries) => {
    const decoded = decodeContextRequest(new Uint8Array(encodeContextData(n, queries)))
    const isGood = [n, ...queries].every(isString)
    if ('mistake' in decoded) return !isGood
    return isGood && decoded.name === n && JSON.stringify(decoded.queries) === JSON.stringify(queries)
  })
  fc.assert(property, runs)
  const anything = fc.property(fc.oneof(fc.uint8Array(), damagedIn(contextData)), (bytes) => {
    const decoded = decodeContextRequest(new Uint8Array(bytes))
    return 'mistake' in decoded ? decoded.mistake !== '' : decoded.queries.length * 4 < bytes.length
  })
  fc.assert(anything, runs)
  t.pass('no counterexample')
})

t.test('every header is read as it was written', async (t) => {
  const reader = new RequestReader()
  const fields = fc.record({
    command: fc.nat(0xffff),
    flags: fc.nat(0xffff),
    cookie: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    offset: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    length: fc.nat(0xffff_ffff),
  })
  const property = fc.property(fields, fc.nat(64), (request, at) => {
    const buffer = new Uint8Array(at + 28)
    buffer.set(encodeRequest(request), at)
    if (!reader.read(new DataView(buffer.buffer), at)) return false
    const cookie = (BigInt(reader.cookieHigh) << 32n) | BigInt(reader.cookieLow)
    const isExact = request.offset < 2n ** 53n
    if (reader.offsetOutOfRange === isExact) return false
    if (isExact && BigInt(reader.offset) !== request.offset) return false
    return cookie === request.cookie && reader.command === request.command && reader.length === request.length
  })
  fc.assert(property, runs)
  t.pass('no counterexample')
})

t.test('a valid request lies inside the export, by exact arithmetic', async (t) => {
  const near = fc.tuple(
    fc.constantFrom(0n, 2n ** 26n, 2n ** 53n, 2n ** 63n),
    fc.integer({ min: -9000, max: 9000 }),
  )
  const offset = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    near.map(([a, b]) => BigInt.asUintN(64, a + BigInt(b))),
  )
  const length = fc.oneof(fc.nat(9000), fc.nat(0xffff_ffff))
  const size = fc.constantFrom(0, 512, 2 ** 26, 2 ** 40, 2 ** 53 - 512)
  const reader = new RequestReader()
  const verdicts = { valid: 0, refused: 0 }
  const property = fc.property(
    fc.constantFrom(0, 1, 4, 5, 6),
    offset,
    length,
    size,
    (command, at, count, byteLength) => {
      const bytes = new Uint8Array(encodeRequest({ command, cookie: 0n, offset: at, length: count }))
      reader.read(new DataView(bytes.buffer), 0)
      const terms = { structured: false, extended: false, contexts: 0 }
      const error = validate(reader, { byteLength, readOnly: false, ...terms })
      const tooMuch = command <= 1 && count > 32 * 1024 * 1024
      const isValid = at + BigInt(count) <= BigInt(byteLength) && !tooMuch
      verdicts[error === undefined ? 'valid' : 'refused'] += 1
      return (error === undefined) === isValid
    },
  )
  fc.assert(property, { ...runs, numRuns: 10_000 })
  t.ok(verdicts.valid > 500 && verdicts.refused > 500, 'both verdicts have occurred')
})

t.test('replies carry the cookie of the request, whatever it is', async (t) => {
  const word = fc.nat(0xffff_ffff)
  const property = fc.property(
    word,
    word,
    fc.nat(2 ** 53 - 1),
    fc.integer({ min: 1, max: 2 ** 32 - 9 }),
    (high, low, offset, count) => {
      const into = new DataView(new ArrayBuffer(64))
      const to = { cookieHigh: high, cookieLow: low, offsetHigh: 0, offsetLow: 0 }
      const encoders = [
        () => encodeSimpleReply(into, 0, to, 5),
        () => encodeErrorChunk(into, 0, to, false, 5, new Uint8Array(3)),
        () => encodeOffsetData(into, 0, to, false, offset, count, true),
        () => encodeOffsetHole(into, 0, to, false, offset, count, true),
      ]
      for (const [index, encode] of encoders.entries()) {
        encode()
        if (into.getUint32(8) !== high || into.getUint32(12) !== low) return false
        if (index >= 2 && into.getBigUint64(20) !== BigInt(offset)) return false
      }
      return into.getUint32(28) === count
    },
  )
  fc.assert(property, runs)
  t.pass('no counterexample')
})
