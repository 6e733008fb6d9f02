import { assert, unreachable } from '../base/assert.ts'
import {
  CLIENT_FLAGS_BYTE_LENGTH,
  HandshakeFlag,
  Info,
  OPTION_HEADER_BYTE_LENGTH,
  OPTION_MAGIC,
  Option,
  OptionReply,
  TEXT_BYTE_LENGTH_MAX,
} from '../format/nbd.ts'
import { type ExportCatalog, type ExportInfo, findExport, transmissionFlags } from './export.ts'
import {
  defaultHandshakeLimits,
  type HandshakeLimits,
  type HandshakeOptions,
  type TlsStage,
} from './handshake-options.ts'
import {
  contextName,
  contexts,
  LISTED_CONTEXT_ID,
  listedContexts,
  NO_CONTEXTS,
  selectedContexts,
} from './meta-context.ts'
import { encodeGreeting, OptionReplies } from './option-reply.ts'
import { decodeContextRequest, decodeInfoRequest, decodeName } from './option-request.ts'
import type { SessionTerms } from './session-terms.ts'

/** Exports that are named to a client that asked for one that is not there. */
const NAMES_SHOWN = 8

/** What follows from the bytes that came in. `send` goes out first, whatever the kind. */
export type HandshakeStep =
  | { readonly kind: 'more'; readonly send: Uint8Array }
  | { readonly kind: 'close'; readonly send: Uint8Array; readonly reason: string }
  /** TLS begins with the client's next byte; once it stands, `secured` is called and the rest is fed */
  | { readonly kind: 'tls'; readonly send: Uint8Array }
  | {
      readonly kind: 'transmission'
      readonly send: Uint8Array
      readonly exportInfo: ExportInfo
      readonly terms: SessionTerms
      /** a view of the bytes that came after the handshake: the first requests */
      readonly leftover: Uint8Array
    }

type Phase = 'flags' | 'header' | 'data' | 'skip'
type Outcome = { exportInfo: ExportInfo; terms: SessionTerms } | { reason: string } | { startsTls: true }

/**
 * The server's side of the fixed newstyle handshake of one session, without a socket: bytes in,
 * bytes and a verdict out. The cost of a session is bounded by the limits; time is the caller's.
 */
export class Handshake {
  #catalog: ExportCatalog
  #tls: TlsStage
  /** why this client gets nothing: its certificate is no good */
  #barred: string | undefined
  readonly #limits: HandshakeLimits
  readonly #replies = new OptionReplies()
  #phase: Phase = 'flags'
  /** what has come of the present phase; grows up to `optionByteLength` */
  #buffer = new Uint8Array(64)
  #filled = 0
  #missing = CLIENT_FLAGS_BYTE_LENGTH
  #clientFlags = 0
  #option = 0
  #optionByteLength = 0
  #optionCount = 0
  #structuredReplies = false
  #extendedHeaders = false
  /** those that were selected last, and the name of the export for which they were */
  #selected = NO_CONTEXTS
  #selectedFor = ''
  #stopping = false
  #outcome: Outcome | undefined

  constructor(catalog: ExportCatalog, options: HandshakeOptions = {}) {
    const { tls = 'none', limits = defaultHandshakeLimits } = options
    assert(limits.optionByteLength >= 4 + TEXT_BYTE_LENGTH_MAX + 2, 'an option has room for a name')
    this.#catalog = catalog
    this.#tls = tls
    this.#limits = limits
  }

  /** What the server says before the client says anything. */
  greeting(): Uint8Array {
    return encodeGreeting()
  }

  /** The node is shutting down: from now on options are answered ERR_SHUTDOWN. */
  stop(): void {
    this.#stopping = true
  }

  /**
   * TLS stands: the session goes on inside of it, with what this client may see, and with nothing that was
   * agreed on in the open but the client's flags. `barred` is why every option is refused.
   */
  secured(catalog: ExportCatalog, barred?: string): void {
    assert(this.#outcome && 'startsTls' in this.#outcome, 'TLS begins where the client has asked for it')
    this.#outcome = undefined
    this.#tls = 'begun'
    this.#catalog = catalog
    this.#barred = barred
    this.#structuredReplies = false
    this.#extendedHeaders = false
    this.#selected = NO_CONTEXTS
    this.#want('header', OPTION_HEADER_BYTE_LENGTH)
  }

  /** Takes the next bytes of the client. `close` is final and repeated; after `transmission` it is over. */
  feed(bytes: Uint8Array): HandshakeStep {
    assert(!this.#outcome || 'reason' in this.#outcome, 'a handshake is not fed once it has succeeded')
    let at = 0
    while (!this.#outcome) {
      at += this.#take(bytes, at)
      if (this.#missing > 0) break
      this.#advance()
    }
    return this.#step(bytes, at)
  }

  #step(bytes: Uint8Array, at: number): HandshakeStep {
    const send = this.#replies.take()
    const outcome = this.#outcome
    if (!outcome) return { kind: 'more', send }
    if ('startsTls' in outcome) return this.#tlsStep(send, bytes.length - at)
    if ('reason' in outcome) return { kind: 'close', send, reason: outcome.reason }
    return { kind: 'transmission', send, ...outcome, leftover: bytes.subarray(at) }
  }

  /** Whatever came along with STARTTLS came in the open, from anybody: it must not count as said in TLS. */
  #tlsStep(send: Uint8Array, byteLengthAfter: number): HandshakeStep {
    if (byteLengthAfter === 0) return { kind: 'tls', send }
    this.#close(`${byteLengthAfter} bytes came together with STARTTLS`)
    return this.#step(new Uint8Array(0), 0)
  }

  /** Moves what the present phase still misses from `bytes`; returns how much that was. */
  #take(bytes: Uint8Array, at: number): number {
    const count = Math.min(this.#missing, bytes.length - at)
    if (this.#phase !== 'skip') this.#keep(bytes.subarray(at, at + count))
    this.#missing -= count
    return count
  }

  #keep(piece: Uint8Array): void {
    const needed = this.#filled + piece.length
    if (needed > this.#buffer.length) {
      // grows with what has come, not with what is announced: an announcement costs nothing
      const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2))
      larger.set(this.#buffer.subarray(0, this.#filled))
      this.#buffer = larger
    }
    this.#buffer.set(piece, this.#filled)
    this.#filled = needed
  }

  #want(phase: Phase, byteLength: number): void {
    this.#phase = phase
    this.#missing = byteLength
    this.#filled = 0
  }

  #close(reason: string): void {
    this.#outcome = { reason }
  }

  #advance(): void {
    switch (this.#phase) {
      case 'flags':
        return this.#readClientFlags()
      case 'header':
        return this.#readOptionHeader()
      case 'data':
        return this.#endOption(this.#buffer.subarray(0, this.#filled))
      case 'skip':
        return this.#endOption(undefined)
      default:
        return unreachable(this.#phase)
    }
  }

  #view(): DataView {
    return new DataView(this.#buffer.buffer, 0, this.#filled)
  }

  #readClientFlags(): void {
    const flags = this.#view().getUint32(0)
    const known = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
    if ((flags & ~known) !== 0) return this.#close(`unknown client flags 0x${flags.toString(16)}`)
    this.#clientFlags = flags
    this.#want('header', OPTION_HEADER_BYTE_LENGTH)
  }

  #readOptionHeader(): void {
    const view = this.#view()
    const ofOption = view.getUint32(0) === OPTION_MAGIC.high && view.getUint32(4) === OPTION_MAGIC.low
    if (!ofOption) return this.#close('an option does not start with its magic')
    this.#option = view.getUint32(8)
    this.#optionByteLength = view.getUint32(12)
    this.#optionCount += 1
    const refused = this.#refusal()
    if (refused !== undefined) return this.#close(refused)
    const looksAtData = usesData(this.#option) && this.#optionByteLength <= this.#limits.optionByteLength
    this.#want(looksAtData ? 'data' : 'skip', this.#optionByteLength)
  }

  /** Why an option ends the session before its data is read. */
  #refusal(): string | undefined {
    if (this.#optionCount > this.#limits.optionCount) return `more than ${this.#limits.optionCount} options`
    if (this.#option === Option.EXPORT_NAME) {
      if (this.#tls === 'required') return 'EXPORT_NAME without TLS, which is required here'
      if (this.#barred !== undefined) return this.#barred
      if (this.#optionByteLength > TEXT_BYTE_LENGTH_MAX) return 'the name of the export is too long'
      return undefined
    }
    if (!(this.#clientFlags & HandshakeFlag.FIXED_NEWSTYLE)) {
      return `option ${this.#option} of a client that announced nothing but EXPORT_NAME`
    }
    const tooLong = this.#optionByteLength > this.#limits.skippedByteLength
    return tooLong ? `option ${this.#option} with ${this.#optionByteLength} bytes` : undefined
  }

  /** An option is complete. `data` is undefined if nobody looks at it. */
  #endOption(data: Uint8Array | undefined): void {
    const option = this.#option
    if (option === Option.EXPORT_NAME) this.#exportName(data)
    else if (option === Option.ABORT) this.#abort()
    else if (this.#stopping) this.#refuse(OptionReply.ERR_SHUTDOWN, 'the node is shutting down')
    else if (option === Option.STARTTLS && this.#tls !== 'none') this.#startTls()
    else if (this.#tls === 'required') this.#refuse(OptionReply.ERR_TLS_REQD, TLS_REQUIRED_TEXT)
    else if (this.#barred !== undefined) this.#refuse(OptionReply.ERR_POLICY, this.#barred)
    else if (option === Option.LIST) this.#list()
    else if (option === Option.STRUCTURED_REPLY) this.#structuredReply()
    else if (option === Option.EXTENDED_HEADERS) this.#extendHeaders()
    else if (option === Option.INFO || option === Option.GO) this.#info(data)
    else if (option === Option.LIST_META_CONTEXT || option === Option.SET_META_CONTEXT) this.#contexts(data)
    else this.#refuse(OptionReply.ERR_UNSUP, `option ${option} is not supported`)
    if (!this.#outcome) this.#want('header', OPTION_HEADER_BYTE_LENGTH)
  }

  #refuse(error: number, text: string): void {
    this.#replies.refuse(this.#option, error, text)
  }

  /** The old way in: there is no way to answer an error, so it ends the session. */
  #exportName(data: Uint8Array | undefined): void {
    assert(data, 'the name of an export was kept')
    if (this.#stopping) return this.#close('the node is shutting down')
    if (this.#extendedHeaders) return this.#close('EXPORT_NAME after EXTENDED_HEADERS')
    const decoded = decodeName(data)
    if ('mistake' in decoded) return this.#close(decoded.mistake)
    const exportInfo = findExport(this.#catalog, decoded.name)
    if (!exportInfo) return this.#close(`no export ${quoted(decoded.name)} is served here`)
    const terms = this.#terms(decoded.name)
    const flags = transmissionFlags(exportInfo, terms)
    const withZeroes = !(this.#clientFlags & HandshakeFlag.NO_ZEROES)
    this.#replies.exportName(exportInfo.byteLength, flags, withZeroes)
    this.#outcome = { exportInfo, terms }
  }

  /** What is agreed on for an export of this name: contexts were selected for one name. */
  #terms(name: string): SessionTerms {
    return {
      structuredReplies: this.#structuredReplies,
      extendedHeaders: this.#extendedHeaders,
      contexts: this.#selectedFor === name ? this.#selected : NO_CONTEXTS,
    }
  }

  #abort(): void {
    this.#replies.acknowledge(this.#option)
    this.#close('the client ended the handshake')
  }

  #startTls(): void {
    if (this.#tls === 'begun') return this.#refuse(OptionReply.ERR_INVALID, 'TLS has begun already')
    if (this.#optionByteLength > 0) return this.#refuse(OptionReply.ERR_INVALID, 'STARTTLS takes no data')
    this.#replies.acknowledge(this.#option)
    this.#outcome = { startsTls: true }
  }

  #list(): void {
    if (this.#optionByteLength > 0) return this.#refuse(OptionReply.ERR_INVALID, 'LIST takes no data')
    for (const exportInfo of this.#catalog.list()) this.#replies.server(this.#option, exportInfo)
    this.#replies.acknowledge(this.#option)
  }

  #structuredReply(): void {
    if (this.#optionByteLength > 0) {
      return this.#refuse(OptionReply.ERR_INVALID, 'STRUCTURED_REPLY takes no data')
    }
    if (this.#extendedHeaders) {
      return this.#refuse(OptionReply.ERR_EXT_HEADER_REQD, 'extended headers were agreed on')
    }
    this.#structuredReplies = true
    this.#replies.acknowledge(this.#option)
  }

  #extendHeaders(): void {
    if (this.#optionByteLength > 0) {
      return this.#refuse(OptionReply.ERR_INVALID, 'EXTENDED_HEADERS takes no data')
    }
    this.#extendedHeaders = true
    this.#replies.acknowledge(this.#option)
  }

  /** Lists contexts, or selects some; a selection replaces the one before it, also when it is refused. */
  #contexts(data: Uint8Array | undefined): void {
    const option = this.#option
    const selects = option === Option.SET_META_CONTEXT
    if (selects) this.#selected = NO_CONTEXTS
    if (!data) return this.#refuse(OptionReply.ERR_TOO_BIG, `${this.#optionByteLength} bytes of data`)
    const request = decodeContextRequest(data)
    if ('mistake' in request) return this.#refuse(OptionReply.ERR_INVALID, request.mistake)
    const { name, queries } = request
    if (selects && !this.#structuredReplies && !this.#extendedHeaders) {
      return this.#refuse(OptionReply.ERR_INVALID, 'contexts need structured replies')
    }
    if (!findExport(this.#catalog, name)) return this.#refuse(OptionReply.ERR_UNKNOWN, this.#unknown(name))
    const found = selects ? selectedContexts(queries) : listedContexts(queries)
    if (selects) {
      this.#selected = found
      this.#selectedFor = name
    }
    for (const context of contexts) {
      const identity = selects ? context : LISTED_CONTEXT_ID
      if ((found & context) !== 0) this.#replies.context(option, identity, contextName(context))
    }
    this.#replies.acknowledge(option)
  }

  #info(data: Uint8Array | undefined): void {
    if (!data) return this.#refuse(OptionReply.ERR_TOO_BIG, `${this.#optionByteLength} bytes of data`)
    const request = decodeInfoRequest(data)
    if ('mistake' in request) return this.#refuse(OptionReply.ERR_INVALID, request.mistake)
    const exportInfo = findExport(this.#catalog, request.name)
    if (!exportInfo) return this.#refuse(OptionReply.ERR_UNKNOWN, this.#unknown(request.name))
    const terms = this.#terms(request.name)
    this.#describe(exportInfo, terms, request.wanted)
    this.#replies.acknowledge(this.#option)
    if (this.#option === Option.GO) this.#outcome = { exportInfo, terms }
  }

  #describe(exportInfo: ExportInfo, terms: SessionTerms, wanted: ReadonlySet<number>): void {
    const option = this.#option
    const flags = transmissionFlags(exportInfo, terms)
    this.#replies.infoExport(option, exportInfo.byteLength, flags)
    if (wanted.has(Info.NAME)) this.#replies.infoText(option, Info.NAME, exportInfo.name)
    if (wanted.has(Info.DESCRIPTION) && exportInfo.description !== '') {
      this.#replies.infoText(option, Info.DESCRIPTION, exportInfo.description)
    }
    if (wanted.has(Info.BLOCK_SIZE)) this.#replies.infoBlockSize(option)
  }

  #unknown(name: string): string {
    const names = this.#catalog.list().map((exportInfo) => quoted(exportInfo.name))
    if (names.length === 0) return this.#tls === 'begun' ? NOTHING_FOR_CLIENT_TEXT : NOTHING_TEXT
    const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : ''
    const shown = `${names.slice(0, NAMES_SHOWN).join(', ')}${more}`
    const asked = name === '' ? 'there is no default export' : `no export ${quoted(name)} is served here`
    return `${asked}; this node serves ${shown}`
  }
}

const NOTHING_TEXT = 'this node serves no export now; try its partner'
const NOTHING_FOR_CLIENT_TEXT = 'this node serves no export now that this client may see'
const TLS_REQUIRED_TEXT = 'clients are taken over TLS only here, with a certificate of their own'

/** Options whose data decides the answer; that of all others is skipped without being kept. */
function usesData(option: number): boolean {
  return OPTIONS_WITH_DATA.includes(option)
}

const OPTIONS_WITH_DATA: readonly number[] = [
  Option.EXPORT_NAME,
  Option.INFO,
  Option.GO,
  Option.LIST_META_CONTEXT,
  Option.SET_META_CONTEXT,
]

/** A name for a message: control characters escaped, not too long. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}...` : name)
}
