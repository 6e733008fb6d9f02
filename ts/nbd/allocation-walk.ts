import { StoreError } from '../base/errors.ts'
import { fromWords } from '../base/units.ts'
import {
  CHUNK_FLAG_DONE,
  CHUNK_HEADER_BYTE_LENGTH,
  ChunkType,
  CONTEXT_BYTE_LENGTH,
  Command,
  EXTENT_BYTE_LENGTH,
  ExtentFlag,
  REQUEST_BYTE_LENGTH,
  REQUEST_MAGIC,
  RequestAt,
  STRUCTURED_REPLY_MAGIC,
} from '../format/nbd.ts'

/** A server may tell of less than it was asked for; this is a multiple of all block sizes. */
const ASKED_BYTE_LENGTH_MAX = 2 ** 31
/** Servers bound their answers far below. */
const CHUNK_BYTE_LENGTH_MAX = 16 * 1024 * 1024

const NOTHING = new Uint8Array(0)

export type WalkStep =
  | { readonly kind: 'more'; readonly send: Uint8Array }
  /** `dataAt`: where the first bytes are that may be no zeroes; undefined if there are none */
  | { readonly kind: 'done'; readonly dataAt: number | undefined }

/**
 * Asks a server for the extents of its whole export, one request at a time, until it tells of data. Without
 * a socket. Throws ATTACH_FAILED when the server refuses, or says what it may not say.
 */
export class AllocationWalk {
  readonly #context: number
  readonly #byteLength: number
  #unread: Uint8Array = NOTHING
  #offset = 0
  /** how far the answer to the request has come */
  #toldTo = 0
  #cookie = 0

  /** `context` is the number that the server has given to base:allocation. */
  constructor(context: number, byteLength: number) {
    this.#context = context
    this.#byteLength = byteLength
  }

  start(): WalkStep {
    return this.#next()
  }

  feed(bytes: Uint8Array): WalkStep {
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes])
    for (let chunk = this.#nextChunk(); chunk !== undefined; chunk = this.#nextChunk()) {
      const dataAt = this.#hear(chunk.type, chunk.data)
      if (dataAt !== undefined) return { kind: 'done', dataAt }
      if (!chunk.isLast) continue
      if (this.#toldTo === this.#offset) throw failure('the server does not tell what is allocated')
      this.#offset = this.#toldTo
      return this.#next()
    }
    return { kind: 'more', send: NOTHING }
  }

  #next(): WalkStep {
    if (this.#offset >= this.#byteLength) return { kind: 'done', dataAt: undefined }
    this.#cookie += 1
    this.#toldTo = this.#offset
    const request = new Uint8Array(REQUEST_BYTE_LENGTH)
    const view = viewOf(request)
    view.setUint32(RequestAt.magic, REQUEST_MAGIC)
    view.setUint16(RequestAt.command, Command.BLOCK_STATUS)
    view.setUint32(RequestAt.cookie + 4, this.#cookie)
    view.setUint32(RequestAt.offset, Math.floor(this.#offset / 2 ** 32))
    view.setUint32(RequestAt.offset + 4, this.#offset % 2 ** 32)
    view.setUint32(RequestAt.length, Math.min(this.#byteLength - this.#offset, ASKED_BYTE_LENGTH_MAX))
    return { kind: 'more', send: request }
  }

  #nextChunk(): { type: number; isLast: boolean; data: DataView } | undefined {
    if (this.#unread.length < CHUNK_HEADER_BYTE_LENGTH) return undefined
    const header = viewOf(this.#unread)
    const cookie = fromWords(header.getUint32(12), header.getUint32(8))
    if (header.getUint32(0) !== STRUCTURED_REPLY_MAGIC || cookie !== this.#cookie) {
      throw failure('the server answers something else than it was asked')
    }
    const end = CHUNK_HEADER_BYTE_LENGTH + header.getUint32(16)
    if (end > CHUNK_BYTE_LENGTH_MAX) throw failure(`an answer of ${end} bytes`)
    if (this.#unread.length < end) return undefined
    const data = viewOf(this.#unread.subarray(CHUNK_HEADER_BYTE_LENGTH, end))
    this.#unread = this.#unread.subarray(end)
    return { type: header.getUint16(6), isLast: (header.getUint16(4) & CHUNK_FLAG_DONE) !== 0, data }
  }

  /** Returns where data begins, if the chunk tells of some. */
  #hear(type: number, data: DataView): number | undefined {
    if (type === ChunkType.NONE) return undefined
    if (type !== ChunkType.BLOCK_STATUS) throw failure('the server does not tell what is allocated')
    const isWhole = data.byteLength >= CONTEXT_BYTE_LENGTH + EXTENT_BYTE_LENGTH
    const isOurs = isWhole && data.getUint32(0) === this.#context && this.#toldTo === this.#offset
    if (!isOurs || (data.byteLength - CONTEXT_BYTE_LENGTH) % EXTENT_BYTE_LENGTH !== 0) {
      throw failure('the server tells of extents that make no sense')
    }
    for (let at = CONTEXT_BYTE_LENGTH; at < data.byteLength; at += EXTENT_BYTE_LENGTH) {
      if ((data.getUint32(at + 4) & ExtentFlag.ZERO) === 0) return this.#toldTo
      this.#toldTo += data.getUint32(at)
    }
    return undefined
  }
}

const failure = (what: string): StoreError => new StoreError('ATTACH_FAILED', what)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
