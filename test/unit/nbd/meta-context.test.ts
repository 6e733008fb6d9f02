import t from 'tap'
import { Handshake } from '../../../ts/nbd/handshake.ts'
import { Context, contexts, extentFlags, NO_CONTEXTS } from '../../../ts/nbd/meta-context.ts'
import type { SessionTerms } from '../../../ts/nbd/session-terms.ts'
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

const catalog = catalogOf(exportOf('web'), exportOf('archiv-äöü'))
const converse = (handshake: Handshake, ...pieces: Uint8Array[]) =>
  handshake.feed(Buffer.concat([encodeClientFlags(), ...pieces]))
const go = (name: string) => encodeOption(option.go, encodeInfoData(name))
const list = encodeOption(option.list)

function kindsOf(...options: Uint8Array[]): number[] {
  return decodeOptionReplies(converse(new Handshake(catalog), ...options).send).map(({ kind }) => kind)
}

const structured = encodeOption(option.structuredReply)
const extended = encodeOption(option.extendedHeaders)
const select = (name: string, ...queries: string[]) =>
  encodeOption(option.setMetaContext, encodeContextData(name, queries))
const listContexts = (name: string, ...queries: string[]) =>
  encodeOption(option.listMetaContext, encodeContextData(name, queries))
const { metaContext, ack, errInvalid } = optionReply

/** What is agreed on when a conversation ends with GO. */
function termsAfter(...pieces: Uint8Array[]): SessionTerms {
  const step = converse(new Handshake(catalog), ...pieces)
  if (step.kind !== 'transmission') throw new Error(`ended as ${step.kind}`)
  return step.terms
}

t.test('contexts are listed by name, by namespace or all, and what is unknown is ignored', async (t) => {
  const listed: [string[], number[]][] = [
    [[], [metaContext, metaContext, ack]],
    [['base:'], [metaContext, ack]],
    [['base:allocation'], [metaContext, ack]],
    [['qemu:'], [metaContext, ack]],
    [['qemu:allocation-depth'], [metaContext, ack]],
    [
      ['base:', 'base:allocation', 'x:'],
      [metaContext, ack],
    ],
    [
      ['qemu:', 'base:allocation'],
      [metaContext, metaContext, ack],
    ],
    [['base:other'], [ack]],
    [['qemu:dirty-bitmap:x', 'nonsense', ''], [ack]],
  ]
  for (const [queries, kinds] of listed) t.same(kindsOf(listContexts('web', ...queries)), kinds, `${queries}`)
  t.same(kindsOf(listContexts('helena')), [optionReply.errUnknown])
  const named = decodeOptionReplies(converse(new Handshake(catalog), listContexts('web')).send)
  const texts = named.slice(0, 2).map(({ data }) => data.toString('latin1'))
  t.same(texts, ['\0\0\0\0base:allocation', '\0\0\0\0qemu:allocation-depth'])
})

t.test('contexts are selected by their name alone, each once', async (t) => {
  const selected: [string[], number[]][] = [
    [['base:allocation'], [metaContext, ack]],
    [
      ['base:allocation', 'base:allocation'],
      [metaContext, ack],
    ],
    [[], [ack]],
    [['base:', 'qemu:', ''], [ack]],
    [['base:allocatio', 'x-y:z'], [ack]],
    [['qemu:allocation-depth'], [metaContext, ack]],
    [
      ['qemu:allocation-depth', 'base:allocation', 'qemu:allocation-depth'],
      [metaContext, metaContext, ack],
    ],
  ]
  for (const [queries, kinds] of selected) {
    t.same(kindsOf(structured, select('web', ...queries)), [ack, ...kinds], `${queries}`)
  }
  t.same(kindsOf(select('web', 'base:allocation')), [errInvalid], 'not without structured replies')
  t.same(kindsOf(extended, select('web', 'base:allocation')), [ack, metaContext, ack])
  t.same(kindsOf(structured, select('helena', 'base:allocation')), [ack, optionReply.errUnknown])
})

t.test('a selection holds for one export, until the next one, even if that is refused', async (t) => {
  const selection = select('web', 'base:allocation')
  t.equal(termsAfter(structured, selection, go('web')).contexts, Context.ALLOCATION)
  t.equal(
    termsAfter(structured, selection, encodeOption(option.exportName, 'web')).contexts,
    Context.ALLOCATION,
  )
  t.equal(termsAfter(structured, selection, go('archiv-äöü')).contexts, NO_CONTEXTS)
  t.equal(termsAfter(structured, selection, select('web'), go('web')).contexts, NO_CONTEXTS)
  t.equal(termsAfter(structured, selection, select('helena'), go('web')).contexts, NO_CONTEXTS)
  const broken = encodeOption(option.setMetaContext, 'x')
  t.equal(termsAfter(structured, selection, broken, go('web')).contexts, NO_CONTEXTS)
  const huge = encodeOption(option.setMetaContext, Buffer.alloc(70_000))
  t.equal(termsAfter(structured, selection, huge, go('web')).contexts, NO_CONTEXTS)
  t.equal(
    termsAfter(structured, selection, listContexts('web', 'x:'), go('web')).contexts,
    Context.ALLOCATION,
  )
})

t.test('each selected context has an identity of its own, and all of them are selected', async (t) => {
  const both = select('web', 'qemu:allocation-depth', 'base:allocation')
  const answers = decodeOptionReplies(converse(new Handshake(catalog), structured, both).send)
  const identities = answers.slice(1, 3).map(({ data }) => [data.readUInt32BE(), data.toString('utf8', 4)])
  t.same(identities, [
    [Context.ALLOCATION, 'base:allocation'],
    [Context.DEPTH, 'qemu:allocation-depth'],
  ])
  t.equal(termsAfter(structured, both, go('web')).contexts, Context.ALLOCATION | Context.DEPTH)
  const second = select('web', 'qemu:allocation-depth')
  t.equal(termsAfter(structured, both, second, go('web')).contexts, Context.DEPTH, 'the last one counts')
})

t.test('a context tells of data and of holes in its own words', async (t) => {
  const told = contexts.map((context) => [extentFlags(context, true), extentFlags(context, false)])
  t.same(told, [
    [0, 3],
    [1, 0],
  ])
})

t.test('malformed options about contexts are ERR_INVALID, and the session lives on', async (t) => {
  const good = encodeContextData('web', ['base:allocation'])
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(good)
    bytes.writeUInt32BE(value, at)
    return bytes
  }
  const malformed = {
    'nothing at all': Buffer.alloc(0),
    'seven bytes': Buffer.alloc(7),
    'a name longer than the option': changed(0, 2 ** 32 - 1),
    'a name that leaves no room for the number of queries': changed(0, good.length - 5),
    'more queries than there are': changed(7, 2),
    'four thousand million queries': changed(7, 2 ** 32 - 1),
    'fewer queries than there are': changed(7, 0),
    'a query longer than the option': changed(11, 16),
    'a query of 4 GiB': changed(11, 2 ** 32 - 1),
    'bytes after the last query': changed(11, 14),
    'half a length of a query': good.subarray(0, 13),
    'a NUL in the name': encodeContextData('we\0', []),
    'a name of 4,097 bytes': encodeContextData('a'.repeat(4097), []),
    'a NUL in a query': encodeContextData('web', ['base:\0']),
    'a query that is not UTF-8': encodeContextData('web', [Buffer.from([0xff, 0xfe])]),
    'a query of 4,097 bytes': encodeContextData('web', [`base:${'a'.repeat(4092)}`]),
  }
  for (const number of [option.listMetaContext, option.setMetaContext]) {
    for (const [what, data] of Object.entries(malformed)) {
      t.same(kindsOf(structured, encodeOption(number, data), list), [ack, errInvalid, 2, 2, 1], what)
    }
    const tooBig = encodeOption(number, Buffer.alloc(65_537))
    t.same(kindsOf(structured, tooBig, list), [ack, optionReply.errTooBig, 2, 2, 1])
  }
})
