import { StoreError } from '../base/errors.ts'
import { fromWords } from '../base/units.ts'
import {
  CLIENT_FLAGS_BYTE_LENGTH,
  GREETING_BYTE_LENGTH,
  GREETING_MAGIC,
  HandshakeFlag,
  Info,
  OPTION_HEADER_BYTE_LENGTH,
  OPTION_MAGIC,
  OPTION_REPLY_HEADER_BYTE_LENGTH,
  OPTION_REPLY_MAGIC,
  Option,
  OptionReply,
} from '../format/nbd.ts'
import { Context, contextName } from './meta-context.ts'

/** What a server tells of the export that it has opened. */
export interface OpenedExport {
  readonly byteLength: number
  readonly flags: number
  /** what requests must be aligned to, in bytes; 1 if the server does not say */
  readonly blockByteLength: number
  /**
   * what the server calls base:allocation in its answers; undefined if it was not asked, or does not know
   * it
   */
  readonly allocation?: number | undefined
}

/** Where data is, as the server tells; the contexts that it may tell of are negotiated. */
const ALLOCATION = contextName(Context.ALLOCATION)

export type OpenerStep =
  | { readonly kind: 'more'; readonly send: Uint8Array }
  | { readonly kind: 'open'; readonly opened: OpenedExport }

/** Longer than any answer to GO: a message of 4096 bytes and what is around it. */
const REPLY_BYTE_LENGTH_MAX = 16 * 1024
const REPLY_COUNT_MAX = 64
/** Numbers stay exact up to 2^53. */
const HIGH_WORD_END = 2 ** 21

const NOTHING = new Uint8Array(0)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * The client's side of the handshake of one session, without a socket: it opens one export with GO and leaves
 * everything else out, because the kernel understands simple replies only. To ask what is allocated is for a
 * connection of its own: `asksAllocation`. Throws ATTACH_FAILED as soon as
 * the server refuses, or says what no NBD server says.
 */
export class Opener {
  readonly #name: string
  #unread: Uint8Array = NOTHING
  #isGreeted = false
  #replyCount = 0
  #export: { byteLength: number; flags: number } | undefined
  #blockByteLength = 1
  /** what has been asked for, and has no end of its answer yet */
  #option: number
  #allocation: number | undefined

  constructor(exportName: string, asksAllocation = false) {
    this.#name = exportName
    this.#option = asksAllocation ? Option.STRUCTURED_REPLY : Option.GO
  }

  feed(bytes: Uint8Array): OpenerStep {
    this.#unread = joined(this.#unread, bytes)
    if (!this.#isGreeted) {
      if (this.#unread.length < GREETING_BYTE_LENGTH) return { kind: 'more', send: NOTHING }
      return { kind: 'more', send: this.#greet(this.#take(GREETING_BYTE_LENGTH)) }
    }
    for (let reply = this.#nextReply(); reply !== undefined; reply = this.#nextReply()) {
      if (this.#option !== Option.GO) {
        const next = this.#hearBefore(reply.kind, reply.data)
        if (next !== undefined) return { kind: 'more', send: this.#ask(next) }
        continue
      }
      if (!this.#hear(reply.kind, reply.data)) continue
      if (this.#unread.length > 0) throw failure('the server talks after the handshake')
      return { kind: 'open', opened: this.#opened() }
    }
    return { kind: 'more', send: NOTHING }
  }

  #greet(greeting: DataView): Uint8Array {
    const isNbd = magicAt(greeting, 0, GREETING_MAGIC) && magicAt(greeting, 8, OPTION_MAGIC)
    if (!isNbd) throw failure('what answers there is not an NBD server of today')
    const flags = greeting.getUint16(16)
    if ((flags & HandshakeFlag.FIXED_NEWSTYLE) === 0)
      throw failure('the server is too old: it knows no options')
    this.#isGreeted = true
    const both = flags & (HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES)
    return joined(clientFlags(both), this.#ask(this.#option))
  }

  #nextReply(): { kind: number; data: DataView } | undefined {
    if (this.#unread.length < OPTION_REPLY_HEADER_BYTE_LENGTH) return undefined
    const header = viewOf(this.#unread)
    const isReply = magicAt(header, 0, OPTION_REPLY_MAGIC) && header.getUint32(8) === this.#option
    if (!isReply) throw failure('the server answers something else than it was asked')
    const byteLength = header.getUint32(16)
    if (byteLength > REPLY_BYTE_LENGTH_MAX) throw failure(`an answer of ${byteLength} bytes`)
    if (this.#unread.length < OPTION_REPLY_HEADER_BYTE_LENGTH + byteLength) return undefined
    const kind = this.#take(OPTION_REPLY_HEADER_BYTE_LENGTH).getUint32(12)
    this.#replyCount += 1
    if (this.#replyCount > REPLY_COUNT_MAX) throw failure('the server does not come to an end')
    return { kind, data: this.#take(byteLength) }
  }

  /** Returns whether that was the end of the handshake. */
  #hear(kind: number, data: DataView): boolean {
    if (kind === OptionReply.ACK) return true
    if (kind !== OptionReply.INFO) throw refusal(kind, data, this.#name)
    if (data.byteLength < 2) throw failure('information of no kind')
    const what = data.getUint16(0)
    if (what === Info.EXPORT) this.#hearExport(data)
    if (what === Info.BLOCK_SIZE) this.#hearBlockSize(data)
    return false
  }

  #ask(option: number): Uint8Array {
    this.#option = option
    if (option === Option.GO) return encodeGo(this.#name)
    if (option === Option.STRUCTURED_REPLY) return encodeOption(option, NOTHING)
    return encodeOption(option, contextWish(this.#name))
  }

  /**
   * Answers about the allocation. Returns what to ask next, if it is time: a server that knows nothing of
   * it is opened.
   */
  #hearBefore(kind: number, data: DataView): number | undefined {
    if (this.#option === Option.STRUCTURED_REPLY) {
      return kind === OptionReply.ACK ? Option.SET_META_CONTEXT : Option.GO
    }
    if (kind !== OptionReply.META_CONTEXT) return Option.GO
    if (data.byteLength < 4) throw failure('a context of no number')
    const name = new Uint8Array(data.buffer, data.byteOffset + 4, data.byteLength - 4)
    if (decoder.decode(name) === ALLOCATION) this.#allocation = data.getUint32(0)
    return undefined
  }

  #hearExport(data: DataView): void {
    if (data.byteLength !== 12) throw failure(`${data.byteLength} bytes about the export`)
    if (data.getUint32(2) >= HIGH_WORD_END) throw failure('the export is larger than any disk')
    this.#export = {
      byteLength: fromWords(data.getUint32(6), data.getUint32(2)),
      flags: data.getUint16(10),
    }
  }

  #hearBlockSize(data: DataView): void {
    if (data.byteLength !== 14) throw failure(`${data.byteLength} bytes about block sizes`)
    const smallest = data.getUint32(2)
    const isPowerOfTwo = smallest > 0 && smallest <= 65_536 && (smallest & (smallest - 1)) === 0
    if (!isPowerOfTwo) throw failure(`blocks of ${smallest} bytes`)
    this.#blockByteLength = smallest
  }

  #opened(): OpenedExport {
    if (!this.#export) throw failure('the server does not say how large the export is')
    const opened = { ...this.#export, blockByteLength: this.#blockByteLength }
    return this.#allocation === undefined ? opened : { ...opened, allocation: this.#allocation }
  }

  #take(byteLength: number): DataView {
    const taken = this.#unread.subarray(0, byteLength)
    this.#unread = this.#unread.subarray(byteLength)
    return viewOf(taken)
  }
}

function clientFlags(flags: number): Uint8Array {
  const bytes = new Uint8Array(CLIENT_FLAGS_BYTE_LENGTH)
  viewOf(bytes).setUint32(0, flags)
  return bytes
}

/** GO with one wish: the block sizes. */
function encodeGo(exportName: string): Uint8Array {
  const name = textWithLength(exportName)
  const wish = new Uint8Array(4)
  viewOf(wish).setUint16(0, 1)
  viewOf(wish).setUint16(2, Info.BLOCK_SIZE)
  return encodeOption(Option.GO, joined(name, wish))
}

/** One context of the export. */
function contextWish(exportName: string): Uint8Array {
  const count = new Uint8Array(4)
  viewOf(count).setUint32(0, 1)
  return joined(joined(textWithLength(exportName), count), textWithLength(ALLOCATION))
}

function textWithLength(text: string): Uint8Array {
  const length = new Uint8Array(4)
  const bytes = encoder.encode(text)
  viewOf(length).setUint32(0, bytes.length)
  return joined(length, bytes)
}

function encodeOption(option: number, data: Uint8Array): Uint8Array {
  const header = new Uint8Array(OPTION_HEADER_BYTE_LENGTH)
  const view = viewOf(header)
  view.setUint32(0, OPTION_MAGIC.high)
  view.setUint32(4, OPTION_MAGIC.low)
  view.setUint32(8, option)
  view.setUint32(12, data.length)
  return joined(header, data)
}

function refusal(kind: number, data: DataView, name: string): StoreError {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const said = decoder.decode(bytes).replaceAll(/\p{Cc}/gu, ' ')
  const because = said === '' ? `error ${kind.toString(16)}` : said
  if (kind === OptionReply.ERR_UNKNOWN) return failure(`the server has no volume "${name}": ${because}`)
  if (kind === OptionReply.ERR_TLS_REQD)
    return failure(`the server wants TLS: ${because}; use an nbds:// URI`)
  if (kind === OptionReply.ERR_UNSUP) return failure('the server is too old: it does not know GO')
  return failure(`the server does not open "${name}": ${because}`)
}

const failure = (what: string): StoreError => new StoreError('ATTACH_FAILED', what)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function magicAt(view: DataView, at: number, magic: { high: number; low: number }): boolean {
  return view.getUint32(at) === magic.high && view.getUint32(at + 4) === magic.low
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length)
  all.set(first)
  all.set(second, first.length)
  return all
}
