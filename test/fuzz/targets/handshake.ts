import { Handshake, type HandshakeStep } from '../../../ts/nbd/handshake.ts'
import type { TlsStage } from '../../../ts/nbd/handshake-options.ts'
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
import { byteByByte, chanceOf, inPieces, must, mustEqual, type Target } from '../target.ts'

const catalog = catalogOf(
  exportOf('one', { description: 'the first' }),
  exportOf('zwei', { readOnly: true }),
  exportOf('d', { byteLength: 2 ** 43 }),
)
const inTls = catalogOf(exportOf('one'))
const stages: readonly TlsStage[] = ['none', 'none', 'offered', 'required']
/** 64 options, each answered with at most the longest name or message and the headers around it. */
const ANSWER_BYTES_MAX = 64 * 3 * 4200

/** The first byte says where the session stands with TLS, the rest is what the client sends. */
export const target: Target = {
  name: 'handshake',
  byteLengthMax: 3000,
  seeds: () =>
    conversations().map((bytes, index) => new Uint8Array(Buffer.concat([Buffer.of(index & 3), bytes]))),
  run(input) {
    const stage = stages[(input[0] ?? 0) & 3]!
    const bytes = input.subarray(1)
    if (stage === 'none') return inTheOpen(bytes)
    throughTls(bytes, stage)
  },
}

function conversations(): Buffer[] {
  const flags = encodeClientFlags()
  const go = encodeOption(option.go, encodeInfoData('one', [1, 2, 3]))
  const contexts = encodeContextData('one', ['base:allocation', 'qemu:allocation-depth'])
  const structured = encodeOption(option.structuredReply)
  return [
    [flags, go, Buffer.from('a request')],
    [flags, structured, encodeOption(option.setMetaContext, contexts), go],
    [flags, encodeOption(option.startTls), encodeOption(option.info, encodeInfoData('one')), go],
    [flags, encodeOption(option.startTls), encodeOption(option.list), encodeOption(option.exportName, 'one')],
    [flags, encodeOption(option.list), encodeOption(99, 'unknown'), encodeOption(option.abort)],
    [encodeClientFlags(0), encodeOption(option.exportName, 'zwei')],
    [flags, encodeOption(option.listMetaContext, encodeContextData('d', [])), encodeOption(option.startTls)],
    [flags, encodeOption(option.extendedHeaders), encodeOption(option.setMetaContext, contexts), go],
  ].map((pieces) => Buffer.concat(pieces))
}

function inTheOpen(bytes: Uint8Array): void {
  const whole = outcomeOf([bytes])
  const random = chanceOf(bytes)
  mustEqual('in pieces', outcomeOf(inPieces(bytes, random)), whole)
  if (bytes.length < 300) mustEqual('byte by byte', outcomeOf(byteByByte(bytes)), whole)
  must(whole.sent.length / 2 <= ANSWER_BYTES_MAX, `${whole.sent.length / 2} bytes are answered`)
  if (whole.kind !== 'transmission') decodeOptionReplies(Buffer.from(whole.sent, 'hex'))
  // nothing is kept back, and nothing given twice
  const end = Buffer.from(bytes).toString('hex')
  must(end.endsWith(whole.leftover), 'what is left over is the end of what came')
}

function outcomeOf(pieces: readonly Uint8Array[]) {
  const handshake = new Handshake(catalog)
  const sent: Uint8Array[] = []
  const hex = () => Buffer.concat(sent).toString('hex')
  for (const [index, piece] of pieces.entries()) {
    const step = handshake.feed(piece)
    sent.push(step.send)
    if (step.kind === 'more') continue
    if (step.kind === 'close') return { kind: step.kind, sent: hex(), reason: step.reason, leftover: '' }
    must(step.kind === 'transmission', 'there is no TLS')
    const { exportInfo, terms, leftover } = step as HandshakeStep & { kind: 'transmission' }
    const rest = Buffer.concat([leftover, ...pieces.slice(index + 1)])
    return { kind: step.kind, sent: hex(), exportInfo, terms, leftover: rest.toString('hex') }
  }
  return { kind: 'more', sent: hex(), leftover: '' }
}

/** Byte by byte, as STARTTLS ends where its option ends: before it, where it is required, nothing is told. */
function throughTls(bytes: Uint8Array, stage: TlsStage): void {
  const { ack, errTlsReqd, errInvalid } = optionReply
  const handshake = new Handshake(catalog, { tls: stage })
  let isSecure = false
  for (const piece of byteByByte(bytes)) {
    const step = handshake.feed(piece)
    if (step.kind === 'tls') {
      must(!isSecure, 'TLS begins once')
      isSecure = true
      handshake.secured(inTls)
      continue
    }
    if (step.kind === 'transmission') {
      must(isSecure || stage === 'offered', 'nobody comes in without TLS')
      must(!isSecure || step.exportInfo.name === 'one', 'only what the client may see')
      return
    }
    if (!isSecure && stage === 'required') {
      for (const { kind } of decodeOptionReplies(step.send))
        must(kind === ack || kind === errTlsReqd || kind === errInvalid, 'nothing is told without TLS')
    }
    if (step.kind === 'close') return
  }
}
