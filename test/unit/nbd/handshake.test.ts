import t from 'tap'
import { Handshake, type HandshakeStep } from '../../../ts/nbd/handshake.ts'
import { PLAIN_TERMS } from '../../../ts/nbd/session-terms.ts'
import { catalogOf, exportOf } from '../../support/nbd-catalog.ts'
import {
  decodeInfoReplies,
  decodeOptionReplies,
  encodeClientFlags,
  encodeInfoData,
  encodeOption,
  option,
  optionReply,
} from '../../support/nbd-wire.ts'

const catalog = catalogOf(
  exportOf('web', { description: 'the web server', byteLength: 5 * 2 ** 40 + 512, volume: 7 }),
  exportOf('archiv-äöü', { readOnly: true, aggregate: 'two' }),
)
const alone = catalogOf(exportOf('only'))

/** Feeds client flags and options in one piece. */
function converse(handshake: Handshake, ...pieces: Uint8Array[]): HandshakeStep {
  return handshake.feed(Buffer.concat([encodeClientFlags(), ...pieces]))
}

/** Kinds of the answers to some options, on one handshake that stays open. */
function kindsOf(...options: Uint8Array[]): number[] {
  const step = converse(new Handshake(catalog), ...options)
  if (step.kind !== 'more') throw new Error(`the session has ended: ${step.kind}`)
  return decodeOptionReplies(step.send).map((answer) => answer.kind)
}

const go = (name: string, wanted: number[] = []) => encodeOption(option.go, encodeInfoData(name, wanted))
const list = encodeOption(option.list)

t.test('the greeting offers fixed newstyle without zeroes, and nothing else', async (t) => {
  const greeting = Buffer.from(new Handshake(catalog).greeting())
  t.equal(greeting.toString('latin1', 0, 16), 'NBDMAGICIHAVEOPT')
  t.equal(greeting.readUInt16BE(16), 3)
  t.equal(greeting.length, 18)
})

t.test('GO leads to transmission with the export, and what came after it is handed on', async (t) => {
  const step = converse(new Handshake(catalog), go('web', [3, 1, 2]), Buffer.from('first request'))
  if (step.kind !== 'transmission') throw new Error(`ended as ${step.kind}`)
  t.equal(step.exportInfo.volume, 7)
  t.same(step.terms, PLAIN_TERMS)
  t.equal(Buffer.from(step.leftover).toString(), 'first request')
  const answers = decodeOptionReplies(step.send)
  t.equal(answers[0]!.data.readUInt16BE(), 0, 'the size comes first')
  t.equal(answers.at(-1)!.kind, optionReply.ack)
  t.same(decodeInfoReplies(answers.slice(0, -1)), {
    byteLength: 5 * 2 ** 40 + 512,
    flags: 0x1 | 0x4 | 0x8 | 0x20 | 0x40 | 0x100 | 0x400 | 0x800,
    name: 'web',
    description: 'the web server',
    blockSizes: { minimum: 1, preferred: 4096, maximum: 33554432 },
  })
})

t.test('only the information that was asked for is sent, and unknown wishes are ignored', async (t) => {
  t.same(kindsOf(encodeOption(option.info, encodeInfoData('web', [77, 65535]))), [3, 1])
  t.same(kindsOf(encodeOption(option.info, encodeInfoData('web', [3, 3, 3]))), [3, 3, 1])
  t.same(
    kindsOf(encodeOption(option.info, encodeInfoData('archiv-äöü', [2]))),
    [3, 1],
    'no empty description',
  )
})

t.test('INFO says the same as the GO that follows', async (t) => {
  const data = encodeInfoData('web', [1, 2, 3])
  const handshake = new Handshake(catalog)
  const told = decodeOptionReplies(converse(handshake, encodeOption(option.info, data)).send)
  const gone = decodeOptionReplies(handshake.feed(encodeOption(option.go, data)).send)
  t.same(
    gone.map(({ data }) => data.toString('hex')),
    told.map(({ data }) => data.toString('hex')),
  )
})

t.test('structured replies are remembered, offer DF, and may be asked for twice', async (t) => {
  const ask = encodeOption(option.structuredReply)
  const step = converse(new Handshake(catalog), ask, ask, go('archiv-äöü'))
  if (step.kind !== 'transmission') throw new Error(`ended as ${step.kind}`)
  t.same(step.terms, { ...PLAIN_TERMS, structuredReplies: true })
  const { flags } = decodeInfoReplies(decodeOptionReplies(step.send).slice(2, -1))
  t.equal(flags, 0x1 | 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x400, 'read-only: no trim, no zeroes')
})

t.test('LIST names every export with its description', async (t) => {
  const step = converse(new Handshake(catalog), list)
  const answers = decodeOptionReplies(step.send)
  t.same(
    answers.map(({ kind }) => kind),
    [optionReply.server, optionReply.server, optionReply.ack],
  )
  t.equal(answers[0]!.data.readUInt32BE(), 3)
  t.equal(answers[0]!.data.toString('utf8', 4), 'webthe web server')
  t.equal(answers[1]!.data.toString('utf8', 4), 'archiv-äöü')
})

t.test('the empty name means the only export, and nothing where there are more', async (t) => {
  const step = converse(new Handshake(alone), go('', [1]))
  t.equal(step.kind, 'transmission')
  t.equal(decodeInfoReplies(decodeOptionReplies(step.send).slice(0, -1)).name, 'only')
  t.same(kindsOf(go('')), [optionReply.errUnknown])
})

t.test(
  'an unknown export is refused with the names of those that exist, and the session lives on',
  async (t) => {
    const handshake = new Handshake(catalog)
    const answers = decodeOptionReplies(converse(handshake, go('wbe\u0007')).send)
    t.equal(answers[0]!.kind, optionReply.errUnknown)
    t.match(answers[0]!.data.toString(), /"wbe\\u0007".*"web", "archiv-äöü"/)
    t.equal(handshake.feed(go('web')).kind, 'transmission')
  },
)

t.test('a node that serves nothing says so', async (t) => {
  const step = converse(new Handshake(catalogOf()), go('web'), list)
  const answers = decodeOptionReplies(step.send)
  t.match(answers[0]!.data.toString(), /serves no export now; try its partner/)
  t.equal(answers[1]!.kind, optionReply.ack)
})

t.test('EXPORT_NAME sends size and flags, and 124 zeroes to who did not decline them', async (t) => {
  const name = encodeOption(option.exportName, 'web')
  const short = converse(new Handshake(catalog), name)
  t.equal(short.kind, 'transmission')
  t.equal(short.send.length, 10)
  for (const flags of [0, 1]) {
    const long = new Handshake(catalog).feed(Buffer.concat([encodeClientFlags(flags), name]))
    t.equal(long.kind, 'transmission')
    t.equal(long.send.length, 134)
    t.equal(Buffer.from(long.send).readBigUInt64BE(), BigInt(5 * 2 ** 40 + 512))
    t.ok(long.send.subarray(10).every((byte) => byte === 0))
  }
})

t.test('EXPORT_NAME of something wrong ends the session without a word', async (t) => {
  const names = ['nope', 'web\0', Buffer.from([0xff, 0xfe]), Buffer.alloc(4097, 'a'), '']
  for (const name of names) {
    const step = converse(new Handshake(catalog), encodeOption(option.exportName, name))
    t.equal(step.kind, 'close')
    t.equal(step.send.length, 0)
  }
})

t.test('ABORT is acknowledged, its data ignored, and it ends the session', async (t) => {
  const step = converse(new Handshake(catalog), encodeOption(option.abort, 'bye'), list)
  t.equal(step.kind, 'close')
  t.same(
    decodeOptionReplies(step.send).map(({ option, kind }) => [option, kind]),
    [[2, 1]],
  )
})

t.test('what we do not speak is skipped, answered ERR_UNSUP, and the next option is read', async (t) => {
  const numbers = [4, 5, 12, 4711, 2 ** 31, 2 ** 32 - 1]
  const options = numbers.flatMap((number) => [encodeOption(number, Buffer.alloc(100_000, 0x49))])
  t.same(kindsOf(...options, list), [...numbers.map(() => optionReply.errUnsup), 2, 2, 1])
})

t.test('data where none belongs is ERR_INVALID, and the session lives on', async (t) => {
  const numbers = [option.list, option.structuredReply, option.extendedHeaders]
  const options = numbers.map((number) => encodeOption(number, 'x'))
  t.same(kindsOf(...options, list), [...numbers.map(() => optionReply.errInvalid), 2, 2, 1])
})

t.test('malformed INFO and GO are ERR_INVALID, and the session lives on', async (t) => {
  const overlong = encodeInfoData('web')
  overlong.writeUInt32BE(0xffff_ffff)
  const miscounted = encodeInfoData('web', [3])
  miscounted.writeUInt16BE(2, 7)
  const malformed = {
    'nothing at all': Buffer.alloc(0),
    'five bytes': Buffer.alloc(5),
    'a name longer than the option': overlong,
    'fewer requests than counted': miscounted,
    'bytes after the last request': Buffer.concat([encodeInfoData('web'), Buffer.alloc(1)]),
    'a NUL in the name': encodeInfoData('web\0'),
    'a name that is not UTF-8': encodeInfoData(Buffer.from([0x77, 0xc0, 0x80])),
    'a surrogate in the name': encodeInfoData(Buffer.from([0xed, 0xa0, 0x80])),
    'a name of 4,097 bytes': encodeInfoData('a'.repeat(4097)),
  }
  for (const [title, data] of Object.entries(malformed)) {
    const options = [encodeOption(option.info, data), encodeOption(option.go, data), list]
    t.same(kindsOf(...options), [optionReply.errInvalid, optionReply.errInvalid, 2, 2, 1], title)
  }
})

t.test('a name of 4,096 bytes is read as a name', async (t) => {
  const longest = 'a'.repeat(4096)
  t.same(kindsOf(go(longest)), [optionReply.errUnknown])
  const longNamed = new Handshake(catalogOf(exportOf(longest)))
  t.equal(converse(longNamed, encodeOption(option.exportName, longest)).kind, 'transmission')
})

t.test('a byte order mark is part of a name', async (t) => {
  t.same(kindsOf(go('\ufeffweb')), [optionReply.errUnknown])
})

t.test('an option larger than the limit is answered ERR_TOO_BIG after it was skipped', async (t) => {
  const wanted = Array.from({ length: 40_000 }, () => 3)
  t.same(kindsOf(go('web', wanted), list), [optionReply.errTooBig, 2, 2, 1])
  const most = Array.from({ length: 32_000 }, () => 3)
  t.equal(converse(new Handshake(catalog), go('web', most)).kind, 'transmission', 'within the limit')
})

t.test('an option too large to skip ends the session before its data comes', async (t) => {
  for (const number of [option.list, option.info, option.abort, 99]) {
    const step = converse(new Handshake(catalog), encodeOption(number, '', 2 ** 32 - 1))
    t.equal(step.kind, 'close')
  }
})

t.test('the 65th option ends the session', async (t) => {
  const handshake = new Handshake(catalog)
  t.equal(converse(handshake, ...Array.from({ length: 64 }, () => encodeOption(99))).kind, 'more')
  t.match(handshake.feed(encodeOption(99)), { kind: 'close', reason: 'more than 64 options' })
})

t.test('client flags that were not offered end the session', async (t) => {
  for (const flags of [4, 7, 0x8000_0003, 0xffff_ffff]) {
    t.equal(new Handshake(catalog).feed(encodeClientFlags(flags)).kind, 'close', `0x${flags.toString(16)}`)
  }
})

t.test('a client that is not fixed newstyle has EXPORT_NAME and nothing else', async (t) => {
  for (const flags of [0, 2]) {
    const step = new Handshake(catalog).feed(Buffer.concat([encodeClientFlags(flags), list]))
    t.equal(step.kind, 'close')
    t.equal(step.send.length, 0)
  }
})

t.test('strangers are shown the door at once', async (t) => {
  const strangers = {
    'a TLS record': Buffer.from('16030100c8010000c40303', 'hex'),
    HTTP: Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    SSH: Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
  }
  for (const [title, bytes] of Object.entries(strangers)) {
    t.equal(new Handshake(catalog).feed(bytes).kind, 'close', title)
  }
})

t.test('an option without its magic, and a request before GO, end the session', async (t) => {
  for (const at of [0, 7]) {
    const damaged = encodeOption(option.list)
    damaged[at]! ^= 1
    t.equal(converse(new Handshake(catalog), damaged).kind, 'close')
  }
  const request = Buffer.alloc(28)
  request.writeUInt32BE(0x25609513)
  t.equal(converse(new Handshake(catalog), request).kind, 'close')
})

t.test('an ended handshake stays ended and says nothing more', async (t) => {
  const handshake = new Handshake(catalog)
  handshake.feed(encodeClientFlags(0xff))
  const step = handshake.feed(Buffer.concat([encodeClientFlags(), list]))
  t.equal(step.kind, 'close')
  t.equal(step.send.length, 0)
})

t.test('feeding it after it has succeeded is our own bug', async (t) => {
  const handshake = new Handshake(catalog)
  t.equal(converse(handshake, go('web')).kind, 'transmission')
  t.throws(() => handshake.feed(new Uint8Array(1)), { name: 'AssertionFailure' })
})

t.test('while the node stops, options are answered ERR_SHUTDOWN and ABORT still works', async (t) => {
  const handshake = new Handshake(catalog)
  handshake.stop()
  const answers = decodeOptionReplies(converse(handshake, list, go('web'), encodeOption(99)).send)
  t.same(
    answers.map(({ kind }) => kind),
    Array(3).fill(optionReply.errShutdown),
  )
  const step = handshake.feed(encodeOption(option.abort))
  t.equal(step.kind, 'close')
  t.equal(decodeOptionReplies(step.send)[0]!.kind, optionReply.ack)
  const old = new Handshake(catalog)
  old.stop()
  t.match(converse(old, encodeOption(option.exportName, 'web')), { kind: 'close', send: new Uint8Array(0) })
})

t.test('texts longer than the protocol allows are cut between characters', async (t) => {
  const description = `x${'ä'.repeat(3000)}`
  const step = converse(new Handshake(catalogOf(exportOf('a', { description }))), list)
  const { data } = decodeOptionReplies(step.send)[0]!
  t.equal(data.length, 4 + 1 + 4095)
  t.equal(data.toString('utf8', 5), `x${'ä'.repeat(2047)}`)
})

t.test('with many exports, a refusal names only some', async (t) => {
  const many = Array.from({ length: 500 }, (_, index) => exportOf(`volume-${index}`))
  const step = converse(new Handshake(catalogOf(...many)), go('nope'.repeat(500)))
  const { data } = decodeOptionReplies(step.send)[0]!
  t.match(data.toString(), /"volume-7" and 492 more$/)
  const eight = decodeOptionReplies(converse(new Handshake(catalogOf(...many.slice(0, 8))), go('x')).send)
  t.match(eight[0]!.data.toString(), /"volume-7"$/)
  t.ok(data.length < 400)
})

t.test('extended headers rule out structured ones and the old way in', async (t) => {
  const [structured, extended] = [option.structuredReply, option.extendedHeaders].map((n) => encodeOption(n))
  const { ack } = optionReply
  const inStep = converse(new Handshake(catalog), extended!, go('web'))
  t.same(inStep.kind === 'transmission' && inStep.terms, { ...PLAIN_TERMS, extendedHeaders: true })
  t.same(kindsOf(structured!, extended!, extended!), [ack, ack, ack])
  t.same(kindsOf(extended!, structured!), [ack, optionReply.errExtHeaderReqd])
  const step = converse(new Handshake(catalog), extended!, encodeOption(option.exportName, 'web'))
  t.equal(step.kind, 'close')
})
