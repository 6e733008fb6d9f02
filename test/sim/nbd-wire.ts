import {
  ChunkType,
  Command,
  CommandFlag,
  EXTENDED_REPLY_MAGIC,
  EXTENDED_REQUEST_MAGIC,
  ExtentFlag,
  REQUEST_MAGIC,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from '../../ts/format/nbd.ts'
import { Context } from '../../ts/nbd/meta-context.ts'
import { PLAIN_TERMS, type SessionTerms } from '../../ts/nbd/session-terms.ts'

export interface Request {
  readonly cookie: number
  readonly command: number
  readonly flags: number
  readonly offset: number
  readonly length: number
  readonly data: Uint8Array | undefined
}

export function encodeRequest(request: Request, { extendedHeaders }: SessionTerms = PLAIN_TERMS): Uint8Array {
  const headerLength = extendedHeaders ? 32 : 28
  const bytes = new Uint8Array(headerLength + (request.data?.length ?? 0))
  const view = new DataView(bytes.buffer)
  const carries = extendedHeaders && request.command === Command.WRITE ? CommandFlag.PAYLOAD_LEN : 0
  view.setUint32(0, extendedHeaders ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC)
  view.setUint16(4, request.flags | carries)
  view.setUint16(6, request.command)
  view.setUint32(12, request.cookie)
  putWords(view, 16, request.offset)
  if (extendedHeaders) putWords(view, 24, request.length)
  else view.setUint32(24, request.length)
  if (request.data !== undefined) bytes.set(request.data, headerLength)
  return bytes
}

/** Part of the answer to a BLOCK_STATUS. */
export interface Extent {
  readonly byteLength: number
  readonly isZero: boolean
}

/** Whom a parser tells what it has found. */
export interface ReplyReader {
  /** how many bytes of data a successful simple reply to this request brings; undefined: no such request */
  dataLength(cookie: number): number | undefined
  data(cookie: number, offset: number | undefined, bytes: Uint8Array): void
  answered(cookie: number, error: number): void
  /** for those who ask for it */
  extents?(cookie: number, extents: readonly Extent[], context: number): void
}

/**
 * Takes replies out of a stream of bytes: simple, structured and extended ones, in pieces as they come.
 * What it is given must not change afterwards.
 */
export class ReplyParser {
  #bytes: Uint8Array = new Uint8Array(0)
  readonly #reader: ReplyReader
  readonly #terms: SessionTerms

  constructor(reader: ReplyReader, terms: SessionTerms) {
    this.#reader = reader
    this.#terms = terms
  }

  take(bytes: Uint8Array): void {
    const joined = this.#bytes.length === 0 ? bytes : join(this.#bytes, bytes)
    let from = 0
    for (;;) {
      const used = this.#one(joined.subarray(from))
      if (used === 0) break
      from += used
    }
    this.#bytes = joined.subarray(from)
  }

  #one(bytes: Uint8Array): number {
    if (bytes.length < 16) return 0
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const magic = view.getUint32(0)
    const { structuredReplies, extendedHeaders } = this.#terms
    if (extendedHeaders && magic === EXTENDED_REPLY_MAGIC) return this.#chunk(bytes, view, 32)
    if (!extendedHeaders && structuredReplies && magic === STRUCTURED_REPLY_MAGIC)
      return this.#chunk(bytes, view, 20)
    if (extendedHeaders || magic !== SIMPLE_REPLY_MAGIC)
      throw new Error(`a reply begins with ${magic.toString(16)}`)
    const [cookie, error] = [view.getUint32(12), view.getUint32(4)]
    const length = this.#reader.dataLength(cookie)
    if (length === undefined) throw new Error(`a reply came to no request (cookie ${cookie})`)
    const data = error === 0 ? length : 0
    if (bytes.length < 16 + data) return 0
    if (data > 0) this.#reader.data(cookie, undefined, bytes.subarray(16, 16 + data))
    this.#reader.answered(cookie, error)
    return 16 + data
  }

  #chunk(bytes: Uint8Array, view: DataView, header: number): number {
    if (bytes.length < header) return 0
    const length = view.getUint32(header - 4)
    const end = header + length
    if (bytes.length < end) return 0
    const cookie = view.getUint32(12)
    if (this.#reader.dataLength(cookie) === undefined)
      throw new Error(`a chunk came to no request (cookie ${cookie})`)
    const type = view.getUint16(6)
    if (type === ChunkType.OFFSET_DATA)
      this.#reader.data(cookie, wordsAt(view, header), bytes.subarray(header + 8, end))
    if (type === ChunkType.OFFSET_HOLE)
      this.#reader.data(cookie, wordsAt(view, header), new Uint8Array(view.getUint32(header + 8)))
    if (type === ChunkType.BLOCK_STATUS || type === ChunkType.BLOCK_STATUS_EXT) {
      const fieldLength = type === ChunkType.BLOCK_STATUS ? 4 : 8
      const context = view.getUint32(header)
      this.#reader.extents?.(
        cookie,
        extentsOf(view, header + fieldLength, end, fieldLength, context),
        context,
      )
    }
    const error = type === ChunkType.ERROR ? view.getUint32(header) : 0
    if ((view.getUint16(4) & 1) !== 0) this.#reader.answered(cookie, error)
    return end
  }
}

/** Extents of which both fields have so many bytes, as one of the contexts tells them. */
function extentsOf(
  view: DataView,
  from: number,
  end: number,
  fieldLength: number,
  context: number,
): Extent[] {
  const [zero, data] = context === Context.DEPTH ? [0, 1] : [ExtentFlag.HOLE | ExtentFlag.ZERO, 0]
  const extents: Extent[] = []
  for (let at = from; at < end; at += 2 * fieldLength) {
    const flags = view.getUint32(at + 2 * fieldLength - 4)
    if (flags !== zero && flags !== data) throw new Error(`extent flags ${flags} in context ${context}`)
    const byteLength = fieldLength === 8 ? wordsAt(view, at) : view.getUint32(at)
    extents.push({ byteLength, isZero: flags === zero })
  }
  return extents
}

function putWords(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32))
  view.setUint32(at + 4, value % 2 ** 32)
}

function wordsAt(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4)
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return joined
}
