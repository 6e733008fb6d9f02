import t from 'tap'
import { Handshake, type HandshakeStep } from '../../../ts/nbd/handshake.ts'
import type { TlsStage } from '../../../ts/nbd/handshake-options.ts'
import { PLAIN_TERMS } from '../../../ts/nbd/session-terms.ts'
import { catalogOf, exportOf } from '../../support/nbd-catalog.ts'
import {
  decodeOptionReplies,
  encodeClientFlags,
  encodeContextData,
  encodeInfoData,
  encodeOption,
  option,
  optionReply,
} from '../../support/nbd-wire.ts'

const inTheOpen = catalogOf(exportOf('web'), exportOf('mail'))
const allowed = catalogOf(exportOf('mail'))
const startTls = encodeOption(option.startTls)
const list = encodeOption(option.list)
const go = (name: string) => encodeOption(option.go, encodeInfoData(name))
const { ack, server, errInvalid, errPolicy, errTlsReqd, errUnsup, errUnknown } = optionReply

const handshakeThat = (tls: TlsStage): Handshake => new Handshake(inTheOpen, { tls })

function kindsIn(step: HandshakeStep): number[] {
  return decodeOptionReplies(step.send).map(({ kind }) => kind)
}

/** The kinds of answers to some options, in a session that goes on. */
function kindsOf(handshake: Handshake, ...options: Uint8Array[]): number[] {
  const step = handshake.feed(Buffer.concat(options))
  if (step.kind !== 'more') throw new Error(`the session has gone on to ${step.kind}`)
  return kindsIn(step)
}

/** A session that has begun TLS, and may see what is allowed. */
function securedSession(...before: Uint8Array[]): Handshake {
  const handshake = handshakeThat('required')
  const step = handshake.feed(Buffer.concat([encodeClientFlags(), ...before, startTls]))
  if (step.kind !== 'tls') throw new Error(`STARTTLS led to ${step.kind}`)
  handshake.secured(allowed)
  return handshake
}

t.test('without TLS, STARTTLS is refused with or without data, and the session lives on', async (t) => {
  const handshake = handshakeThat('none')
  const withData = encodeOption(option.startTls, Buffer.alloc(1000))
  t.same(kindsOf(handshake, encodeClientFlags(), startTls, withData, encodeOption(option.structuredReply)), [
    errUnsup,
    errUnsup,
    ack,
  ])
  t.equal(handshake.feed(go('web')).kind, 'transmission')
})

for (const tls of ['offered', 'required'] as const) {
  t.test(`where TLS is ${tls}, STARTTLS is acknowledged and nothing else is said`, async (t) => {
    const handshake = handshakeThat(tls)
    const step = handshake.feed(Buffer.concat([encodeClientFlags(), startTls]))
    t.equal(step.kind, 'tls')
    t.same(kindsIn(step), [ack])
    handshake.secured(allowed)
    t.same(kindsOf(handshake, list), [server, ack])
    t.equal(handshake.feed(go('mail')).kind, 'transmission')
  })

  t.test(`where TLS is ${tls}, STARTTLS takes no data, and may be sent again`, async (t) => {
    const handshake = handshakeThat(tls)
    const withData = encodeOption(option.startTls, 'x')
    const long = encodeOption(option.startTls, Buffer.alloc(100_000))
    t.same(kindsOf(handshake, encodeClientFlags(), withData, long), [errInvalid, errInvalid])
    t.equal(handshake.feed(startTls).kind, 'tls')
  })

  t.test(`where TLS is ${tls}, bytes that come together with STARTTLS end the session`, async (t) => {
    for (const more of [list, go('web'), Buffer.from([0x16]), Buffer.from('16030100c8010000', 'hex')]) {
      const handshake = handshakeThat(tls)
      const step = handshake.feed(Buffer.concat([encodeClientFlags(), startTls, more]))
      t.match(step, { kind: 'close', reason: `${more.length} bytes came together with STARTTLS` })
      t.equal(step.send.length, 0, 'without a word')
      t.equal(handshake.feed(list).kind, 'close', 'for good')
    }
  })

  t.test(`where TLS is ${tls}, STARTTLS may come byte by byte`, async (t) => {
    const handshake = handshakeThat(tls)
    const all = Buffer.concat([encodeClientFlags(), startTls])
    for (const byte of all.subarray(0, -1)) t.equal(handshake.feed(Uint8Array.of(byte)).kind, 'more')
    t.equal(handshake.feed(all.subarray(-1)).kind, 'tls')
  })
}

t.test('where TLS is offered, clients without it are served as ever', async (t) => {
  t.same(kindsOf(handshakeThat('offered'), encodeClientFlags(), list), [server, server, ack])
  const handshake = handshakeThat('offered')
  t.equal(handshake.feed(Buffer.concat([encodeClientFlags(), go('web')])).kind, 'transmission')
})

t.test('where TLS is required, every option but STARTTLS and ABORT is refused, with words', async (t) => {
  const numbers = [0, 3, 4, 6, 7, 8, 9, 10, 11, 12, 4711, 2 ** 32 - 1]
  for (const data of ['', encodeInfoData('web'), Buffer.alloc(70_000)]) {
    const options = numbers.map((number) => encodeOption(number, data))
    const handshake = handshakeThat('required')
    const step = handshake.feed(Buffer.concat([encodeClientFlags(), ...options]))
    const answers = decodeOptionReplies(step.send)
    t.same(
      answers.map(({ kind }) => kind),
      numbers.map(() => errTlsReqd),
    )
    for (const { data: text } of answers) t.match(text.toString(), /over TLS only/)
    t.equal(handshake.feed(startTls).kind, 'tls', 'and TLS may still begin')
  }
  const bye = handshakeThat('required').feed(Buffer.concat([encodeClientFlags(), encodeOption(option.abort)]))
  t.equal(bye.kind, 'close')
  t.same(kindsIn(bye), [ack])
})

t.test('where TLS is required, EXPORT_NAME ends the session without a word', async (t) => {
  for (const name of ['web', '', 'nope']) {
    const bytes = Buffer.concat([encodeClientFlags(), encodeOption(option.exportName, name)])
    const step = handshakeThat('required').feed(bytes)
    t.match(step, { kind: 'close', reason: /without TLS/ })
    t.equal(step.send.length, 0)
  }
})

t.test('TLS begins once: a second STARTTLS is ERR_INVALID, and the session lives on', async (t) => {
  const handshake = securedSession()
  t.same(kindsOf(handshake, startTls, encodeOption(option.startTls, 'x')), [errInvalid, errInvalid])
  t.equal(handshake.feed(go('mail')).kind, 'transmission')
})

t.test('what was agreed on before TLS is forgotten', async (t) => {
  const context = encodeOption(option.setMetaContext, encodeContextData('mail', ['base:allocation']))
  const before = [encodeOption(option.structuredReply), context, encodeOption(option.extendedHeaders)]
  const offered = handshakeThat('offered')
  t.equal(offered.feed(Buffer.concat([encodeClientFlags(), ...before, startTls])).kind, 'tls')
  offered.secured(allowed)
  t.same(kindsOf(offered, context), [errInvalid], 'contexts need structured replies, which are not agreed on')
  const step = offered.feed(go('mail'))
  if (step.kind !== 'transmission') throw new Error(`ended as ${step.kind}`)
  t.same(step.terms, PLAIN_TERMS)
})

t.test("the client's flags still hold in TLS", async (t) => {
  for (const [flags, byteLength] of [
    [3, 10],
    [1, 134],
  ] as const) {
    const handshake = handshakeThat('required')
    handshake.feed(Buffer.concat([encodeClientFlags(flags), startTls]))
    handshake.secured(allowed)
    const step = handshake.feed(encodeOption(option.exportName, 'mail'))
    t.equal(step.kind, 'transmission')
    t.equal(step.send.length, byteLength)
  }
})

t.test('the number of options is limited over all of the session', async (t) => {
  const handshake = securedSession(...Array.from({ length: 40 }, () => encodeOption(99)))
  const rest = Buffer.concat(Array.from({ length: 24 }, () => encodeOption(99)))
  t.match(handshake.feed(rest), { kind: 'close', reason: 'more than 64 options' })
})

t.test('a client sees what it may, and the rest is as if it were not there', async (t) => {
  const handshake = securedSession()
  const step = handshake.feed(
    Buffer.concat([list, go('web'), encodeOption(option.info, encodeInfoData('web'))]),
  )
  const answers = decodeOptionReplies(step.send)
  t.same(
    answers.map(({ kind }) => kind),
    [server, ack, errUnknown, errUnknown],
  )
  t.equal(answers[0]!.data.toString('utf8', 4), 'mail')
  t.notMatch(answers[2]!.data.toString().replace('no export "web"', ''), /web/)
  const old = securedSession().feed(encodeOption(option.exportName, 'web'))
  t.match(old, { kind: 'close', reason: 'no export "web" is served here' })
  t.equal(handshake.feed(go('')).kind, 'transmission', 'the only one that it sees is the default')
})

t.test('a client whose certificate is no good hears why, whatever it asks for', async (t) => {
  const barred = (): Handshake => {
    const handshake = handshakeThat('required')
    handshake.feed(Buffer.concat([encodeClientFlags(), startTls]))
    handshake.secured(allowed, 'the certificate has expired')
    return handshake
  }
  const step = barred().feed(
    Buffer.concat([list, go('mail'), encodeOption(option.structuredReply), startTls]),
  )
  const answers = decodeOptionReplies(step.send)
  t.same(
    answers.map(({ kind }) => kind),
    [errPolicy, errPolicy, errPolicy, errInvalid],
  )
  t.equal(answers[1]!.data.toString(), 'the certificate has expired')
  const old = barred().feed(encodeOption(option.exportName, 'mail'))
  t.match(old, { kind: 'close', reason: 'the certificate has expired' })
  t.equal(barred().feed(encodeOption(option.abort)).kind, 'close')
})

t.test('TLS that nobody has asked for is our own bug', async (t) => {
  t.throws(() => handshakeThat('required').secured(allowed), { name: 'AssertionFailure' })
  const handshake = handshakeThat('required')
  handshake.feed(Buffer.concat([encodeClientFlags(), startTls]))
  t.throws(() => handshake.feed(list), { name: 'AssertionFailure' }, 'and so is feeding it in between')
})
