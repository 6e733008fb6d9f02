import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { Handshake } from '../../../ts/nbd/handshake.ts'
import { Opener, type OpenerStep } from '../../../ts/nbd/opener.ts'
import { catalogOf, exportOf } from '../../support/nbd-catalog.ts'

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const greeting = '4e42444d41474943 49484156454f5054 0003'
const head = '0003e889045565a9 00000007'
const size = `${head} 00000003 0000000c 0000 0000000000100000 0565`
const blocks = `${head} 00000003 0000000e 0003 00000200 00001000 02000000`
const ack = `${head} 00000001 00000000`

t.test('it opens an export of our own server, fed in pieces of any size', async (t) => {
  for (const pieceByteLength of [1, 7, 4096]) {
    const server = new Handshake(catalogOf(exportOf('völ', { byteLength: 2 ** 40 + 512 })))
    const opener = new Opener('völ')
    let step: OpenerStep = { kind: 'more', send: new Uint8Array(0) }
    for (let unread = server.greeting(); unread.length > 0; ) {
      const answers: Uint8Array[] = []
      for (let at = 0; at < unread.length; at += pieceByteLength) {
        step = opener.feed(unread.subarray(at, at + pieceByteLength))
        if (step.kind === 'more' && step.send.length > 0) answers.push(server.feed(step.send).send)
      }
      unread = Uint8Array.from(Buffer.concat(answers))
    }
    t.match(step, { kind: 'open', opened: { byteLength: 2 ** 40 + 512, blockByteLength: 1 } })
  }
})

t.test('it says what a client has always said', async (t) => {
  const opener = new Opener('vol0')
  const { send } = opener.feed(bytesOf(greeting)) as { send: Uint8Array }
  const go = '49484156454f5054 00000007 0000000c 00000004 766f6c30 0001 0003'
  t.equal(hexOf(send), `00000003 ${go}`.replaceAll(' ', ''))
  t.match(opener.feed(bytesOf(size + blocks + ack)), {
    kind: 'open',
    opened: { byteLength: 2 ** 20, flags: 0x565, blockByteLength: 512 },
  })
})

t.test('flags that the server does not have are not given back', async (t) => {
  const { send } = new Opener('').feed(bytesOf(greeting.replace('0003', '0001'))) as { send: Uint8Array }
  t.equal(hexOf(send.subarray(0, 4)), '00000001')
})

t.test('a server that refuses, or is none, is told by what it does', async (t) => {
  const said = (text: string) => Buffer.from(text).toString('hex')
  const longText = `${head} 80000006 00000010 ${said('there is only x\n')}`
  const cases: [string, string, RegExp][] = [
    ['485454502f312e312034303020426164 2052', '', /not an NBD server of today/],
    ['4e42444d41474943 00420281861253 000000', '', /not an NBD server of today/],
    [greeting.replace('0003', '0000'), '', /too old: it knows no options/],
    [greeting, longText, /has no volume "vol0": there is only x $/],
    [greeting, `${head} 80000005 00000000`, /wants TLS.*use an nbds:\/\/ URI/],
    [greeting, `${head} 80000001 00000000`, /does not know GO/],
    [greeting, `${head} 80000007 00000000`, /does not open "vol0": error 80000007/],
    [greeting, ack, /does not say how large/],
    [greeting, `${size}${ack}00`, /talks after the handshake/],
    [greeting, size.replace('00000007', '00000006'), /something else than it was asked/],
    [greeting, size.replace('0003e889', '0003e888'), /something else than it was asked/],
    [greeting, `${head} 00000003 00004001`, /an answer of 16385 bytes/],
    [greeting, `${head} 00000003 00000001 00`, /information of no kind/],
    [greeting, `${head} 00000003 00000004 0000 0000`, /4 bytes about the export/],
    [greeting, size.replace('0000000000100000', '8000000000000000'), /larger than any disk/],
    [greeting, `${head} 00000003 00000004 0003 0000`, /4 bytes about block sizes/],
    [greeting, blocks.replace('00000200', '00000201'), /blocks of 513 bytes/],
    [greeting, blocks.replace('00000200', '00000000'), /blocks of 0 bytes/],
    [greeting, blocks.replace('00000200', '00020000'), /blocks of 131072 bytes/],
    [greeting, blocks.repeat(65), /does not come to an end/],
  ]
  for (const [hello, answers, message] of cases) {
    try {
      const opener = new Opener('vol0')
      opener.feed(bytesOf(hello))
      opener.feed(bytesOf(answers))
      t.fail(`${message} was taken`)
    } catch (error) {
      t.ok(isStoreError(error, 'ATTACH_FAILED'), String(error))
      t.match((error as Error).message, message)
    }
  }
})

const structured = '49484156454f5054 00000008 00000000'
const metaContext = '49484156454f5054 0000000a 0000001f 00000004 766f6c30 00000001 0000000f'
const yes = '0003e889045565a9 00000008 00000001 00000000'
const contextReply = '0003e889045565a9 0000000a 00000004 00000013 00000007'
const allocation = Buffer.from('base:allocation').toString('hex')

t.test('what is allocated is asked for before the export is opened', async (t) => {
  const opener = new Opener('vol0', true)
  const sent = (hex: string) => hexOf((opener.feed(bytesOf(hex)) as { send: Uint8Array }).send)
  t.equal(sent(greeting), `00000003 ${structured}`.replaceAll(' ', ''))
  t.equal(sent(yes), `${metaContext}${allocation}`.replaceAll(' ', ''))
  t.equal(sent(`${contextReply}${allocation}`), '')
  t.match(sent('0003e889045565a9 0000000a 00000001 00000000'), /^49484156454f505400000007/)
  t.match(opener.feed(bytesOf(size + blocks + ack)), { kind: 'open', opened: { allocation: 7 } })
})

t.test('a server that does not know what is allocated is opened without', async (t) => {
  for (const answers of [
    ['0003e889045565a9 00000008 80000001 00000000'],
    [yes, '0003e889045565a9 0000000a 80000001 00000000'],
    [yes, '0003e889045565a9 0000000a 00000001 00000000'],
    [
      yes,
      `${contextReply}${Buffer.from('qemu:something!').toString('hex')}`,
      '0003e889045565a9 0000000a 00000001 00000000',
    ],
  ]) {
    const opener = new Opener('vol0', true)
    for (const answer of [greeting, ...answers]) opener.feed(bytesOf(answer))
    const step = opener.feed(bytesOf(size + blocks + ack))
    t.match(step, { kind: 'open' })
    t.notMatch(step, { opened: { allocation: Number } })
  }
})
