import type { SessionTerms } from '../../../ts/nbd/session-terms.ts'
import { command, commandFlag, encodeExtendedRequest, encodeRequest } from '../../support/nbd-wire.ts'
import { SessionRig } from '../../support/session-rig.ts'
import { MemoryTwin } from '../../unit/log/memory-twin.ts'
import { byteByByte, chanceOf, inPieces, must, mustEqual, type Target } from '../target.ts'

const MIB = 2 ** 20
const SIMPLE_MAGIC = 0x2560_9513
const EXTENDED_MAGIC = 0x21e4_1c71
const memory = new MemoryTwin()

/** The first byte says what was agreed on, the rest is what the client sends. */
export const target: Target = {
  name: 'transmission',
  byteLengthMax: 2000,
  seeds: () => [0, 1, 2, 3, 5, 13, 14, 15].map((terms) => conversation(terms)),
  run(input) {
    const terms = termsOf(input[0] ?? 0)
    const bytes = input.subarray(1)
    const whole = outcomeOf(terms, [bytes])
    mustBeRight(bytes, terms, whole)
    const ways = [inPieces(bytes, chanceOf(input))]
    if (bytes.length < 200) ways.push(byteByByte(bytes))
    for (const pieces of ways) {
      const cut = outcomeOf(terms, pieces)
      mustBeRight(bytes, terms, cut)
      // of what was answered before the stream was lost, some may not have left yet
      const answers = isLost(whole) ? cut.answers.slice(0, whole.answers.length) : cut.answers
      mustEqual('in pieces', { ...cut, answers }, whole)
    }
  },
}

const isLost = ({ ended }: Outcome): boolean => ended.startsWith('it ')

function termsOf(byte: number): SessionTerms {
  return { structuredReplies: (byte & 1) !== 0, extendedHeaders: (byte & 2) !== 0, contexts: (byte >> 2) & 3 }
}

function conversation(terms: number): Uint8Array {
  const { extendedHeaders } = termsOf(terms)
  const encode = extendedHeaders ? encodeExtendedRequest : encodeRequest
  const flags = extendedHeaders ? commandFlag.payloadLength : 0
  const named = Buffer.from('000000000000100000000001', 'hex')
  const requests = [
    encode({ command: command.read, cookie: 1n, length: 512 }),
    encode({ command: command.write, cookie: 2n, offset: 4096, length: 20, flags }),
    Buffer.alloc(20, 7),
    encode({ command: command.blockStatus, cookie: 3n, length: 8192 }),
    encode({ command: command.blockStatus, cookie: 4n, length: named.length, flags }),
    ...(extendedHeaders ? [named] : []),
    encode({ command: command.writeZeroes, cookie: 5n, length: 65536, flags: 18 }),
    encode({ command: command.disconnect, cookie: 6n }),
  ]
  return new Uint8Array(Buffer.concat([Buffer.of(terms), ...requests]))
}

interface Outcome {
  /** cookies, and errors */
  readonly answers: readonly [number, number][]
  readonly ended: string
}

function outcomeOf(terms: SessionTerms, pieces: readonly Uint8Array[]): Outcome {
  const rig = new SessionRig(memory, terms)
  for (const piece of pieces) {
    rig.stream.deliver(piece)
    rig.run(piece.length < 100 ? 3 : 6)
  }
  rig.run(6)
  const { ended } = rig
  rig.end()
  return { answers: rig.answers, ended }
}

/** A reading of its own says where each request ends, and so which ones have an answer. */
function mustBeRight(bytes: Uint8Array, terms: SessionTerms, { answers, ended }: Outcome): void {
  const { complete, pending, end } = readAlong(Buffer.from(bytes), terms.extendedHeaders)
  const cookies = answers.map(([cookie]) => cookie)
  const allowed = [complete, ...(pending === undefined ? [] : [[...complete, pending]])]
  if (end === 'lost') allowed.push(complete.slice(0, cookies.length))
  must(
    allowed.some((list) => JSON.stringify(list) === JSON.stringify(cookies)),
    `requests ${cookies} are answered, and ${complete} are complete`,
  )
  const errors = new Set([0, 1, 22, 28])
  must(
    answers.every(([, error]) => errors.has(error)),
    'every error is one of the protocol',
  )
  const expected = { open: '', disc: 'the client disconnected', lost: 'it ' }[end]
  must(expected === '' ? ended === '' : ended.startsWith(expected), `the session is ${end}, but '${ended}'`)
}

function readAlong(bytes: Buffer, isExtended: boolean) {
  const header = isExtended ? 32 : 28
  const complete: number[] = []
  for (let at = 0; ; ) {
    if (at + header > bytes.length) return { complete, pending: undefined, end: 'open' as const }
    const magic = bytes.readUInt32BE(at)
    if (magic !== (isExtended ? EXTENDED_MAGIC : SIMPLE_MAGIC))
      return { complete, pending: undefined, end: 'lost' as const }
    const [flags, number] = [bytes.readUInt16BE(at + 4), bytes.readUInt16BE(at + 6)]
    const cookie = bytes.readUInt32BE(at + 12)
    if (number === command.disconnect) return { complete, pending: undefined, end: 'disc' as const }
    const payload = payloadOf(bytes, at, isExtended, flags, number)
    // of a status, the payload is looked at before anything is said
    const isTooMuch = payload > (isExtended ? 32 : 64) * MIB
    if (isTooMuch) return { complete, pending: undefined, end: 'lost' as const }
    at += header + payload
    if (at > bytes.length) return { complete, pending: cookie, end: 'open' as const }
    complete.push(cookie)
  }
}

function payloadOf(bytes: Buffer, at: number, isExtended: boolean, flags: number, number: number): number {
  if (!isExtended) return number === command.write ? bytes.readUInt32BE(at + 24) : 0
  if ((flags & commandFlag.payloadLength) === 0) return 0
  return Number(bytes.readBigUInt64BE(at + 24))
}
