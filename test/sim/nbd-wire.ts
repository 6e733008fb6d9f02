import { ChunkType, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC } from '../../ts/format/nbd.ts'

export interface Request {
  readonly cookie: number
  readonly command: number
  readonly flags: number
  readonly offset: number
  readonly length: number
  readonly data: Uint8Array | undefined
}

export function encodeRequest(request: Request): Uint8Array {
  const bytes = new Uint8Array(28 + (request.data?.length ?? 0))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, REQUEST_MAGIC)
  view.setUint16(4, request.flags)
  view.setUint16(6, request.command)
  view.setUint32(12, request.cookie)
  view.setUint32(20, request.offset)
  view.setUint32(24, request.length)
  if (request.data !== undefined) bytes.set(request.data, 28)
  return bytes
}

/** Whom a parser tells what it has found. */
export interface ReplyReader {
  /** how many bytes of data a successful simple reply to this request brings; undefined: no such request */
  dataLength(cookie: number): number | undefined
  data(cookie: number, offset: number | undefined, bytes: Uint8Array): void
  answered(cookie: number, error: number): void
}

/**
 * Takes replies out of a stream of bytes: simple and structured ones, in pieces as they come. What it
 * is given must not change afterwards.
 */
export class ReplyParser {
  #bytes: Uint8Array = new Uint8Array(0)
  readonly #reader: ReplyReader
  readonly #structured: boolean

  /** `structured`: whether the session has agreed to structured replies. */
  constructor(reader: ReplyReader, structured: boolean) {
    this.#reader = reader
    this.#structured = structured
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
    if (this.#structured && magic === STRUCTURED_REPLY_MAGIC) return this.#chunk(bytes, view)
    if (magic !== SIMPLE_REPLY_MAGIC) throw new Error(`a reply begins with ${magic.toString(16)}`)
    const [cookie, error] = [view.getUint32(12), view.getUint32(4)]
    const length = this.#reader.dataLength(cookie)
    if (length === undefined) throw new Error(`a reply came to no request (cookie ${cookie})`)
    const data = error === 0 ? length : 0
    if (bytes.length < 16 + data) return 0
    if (data > 0) this.#reader.data(cookie, undefined, bytes.subarray(16, 16 + data))
    this.#reader.answered(cookie, error)
    return 16 + data
  }

  #chunk(bytes: Uint8Array, view: DataView): number {
    if (bytes.length < 20) return 0
    const length = view.getUint32(16)
    if (bytes.length < 20 + length) return 0
    const cookie = view.getUint32(12)
    if (this.#reader.dataLength(cookie) === undefined)
      throw new Error(`a chunk came to no request (cookie ${cookie})`)
    const type = view.getUint16(6)
    if (type === ChunkType.OFFSET_DATA)
      this.#reader.data(cookie, view.getUint32(24), bytes.subarray(28, 20 + length))
    const error = type === ChunkType.ERROR ? view.getUint32(20) : 0
    if ((view.getUint16(4) & 1) !== 0) this.#reader.answered(cookie, error)
    return 20 + length
  }
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return joined
}
