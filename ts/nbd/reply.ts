import { assert } from '../base/assert.ts'
import { highWord, lowWord } from '../base/units.ts'
import {
  CHUNK_FLAG_DONE,
  CHUNK_HEADER_BYTE_LENGTH,
  ChunkType,
  EXTENDED_CHUNK_HEADER_BYTE_LENGTH,
  EXTENDED_EXTENT_BYTE_LENGTH,
  EXTENDED_REPLY_MAGIC,
  EXTENT_BYTE_LENGTH,
  SIMPLE_REPLY_BYTE_LENGTH,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
  TEXT_BYTE_LENGTH_MAX,
} from '../format/nbd.ts'

/*
 * Encoders of replies. Each writes at an offset of a view that has room, allocates nothing, and
 * returns the number of bytes written. The data of a READ follows its header, from where it lies.
 * Chunks have a structured header, or with `extended` an extended one.
 */

/** The request that a reply belongs to: its cookie, and the offset that an extended reply repeats. */
export interface ReplyTo {
  cookieHigh: number
  cookieLow: number
  offsetHigh: number
  offsetLow: number
}

export const emptyReplyTo = (): ReplyTo => ({ cookieHigh: 0, cookieLow: 0, offsetHigh: 0, offsetLow: 0 })

/** Keeps where a reply goes, when the reader has gone on to the next request. */
export function keepReplyTo(kept: ReplyTo, to: ReplyTo): void {
  kept.cookieHigh = to.cookieHigh
  kept.cookieLow = to.cookieLow
  kept.offsetHigh = to.offsetHigh
  kept.offsetLow = to.offsetLow
}

/** What a chunk has at most before its data, extents or message. */
export const CHUNK_START_BYTE_LENGTH_MAX = EXTENDED_CHUNK_HEADER_BYTE_LENGTH + 8
/** An error chunk without its message. */
export const ERROR_CHUNK_BYTE_LENGTH_MAX = EXTENDED_CHUNK_HEADER_BYTE_LENGTH + 6
export const OFFSET_HOLE_BYTE_LENGTH_MAX = EXTENDED_CHUNK_HEADER_BYTE_LENGTH + 12

/** A simple reply; after it, if `error` is 0 and the request was READ, the data. */
export function encodeSimpleReply(into: DataView, at: number, to: ReplyTo, error: number): number {
  into.setUint32(at, SIMPLE_REPLY_MAGIC)
  into.setUint32(at + 4, error)
  into.setUint32(at + 8, to.cookieHigh)
  into.setUint32(at + 12, to.cookieLow)
  return SIMPLE_REPLY_BYTE_LENGTH
}

/** The end of a reply that has nothing (more) to say. */
export function encodeDone(into: DataView, at: number, to: ReplyTo, extended: boolean): number {
  return encodeChunkHeader(into, at, to, extended, CHUNK_FLAG_DONE, ChunkType.NONE, 0)
}

/** What precedes `byteLength` bytes of data that were read from `offset`. */
export function encodeOffsetData(
  into: DataView,
  at: number,
  to: ReplyTo,
  extended: boolean,
  offset: number,
  byteLength: number,
  done: boolean,
): number {
  assert(byteLength > 0, 'a chunk of data is not empty')
  const flags = done ? CHUNK_FLAG_DONE : 0
  const header = encodeChunkHeader(into, at, to, extended, flags, ChunkType.OFFSET_DATA, 8 + byteLength)
  encodeWords(into, at + header, offset)
  return header + 8
}

/** `byteLength` bytes at `offset` read as zeroes. */
export function encodeOffsetHole(
  into: DataView,
  at: number,
  to: ReplyTo,
  extended: boolean,
  offset: number,
  byteLength: number,
  done: boolean,
): number {
  assert(byteLength > 0, 'a hole is not empty')
  const flags = done ? CHUNK_FLAG_DONE : 0
  const header = encodeChunkHeader(into, at, to, extended, flags, ChunkType.OFFSET_HOLE, 12)
  encodeWords(into, at + header, offset)
  into.setUint32(at + header + 8, byteLength)
  return header + 12
}

/** What precedes `count` extents of one context; there is a chunk for each, and the last one is `done`. */
export function encodeBlockStatus(
  into: DataView,
  at: number,
  to: ReplyTo,
  extended: boolean,
  context: number,
  count: number,
  done: boolean,
): number {
  assert(count > 0, 'a status has extents')
  const type = extended ? ChunkType.BLOCK_STATUS_EXT : ChunkType.BLOCK_STATUS
  const payload = extended ? 8 + count * EXTENDED_EXTENT_BYTE_LENGTH : 4 + count * EXTENT_BYTE_LENGTH
  const header = encodeChunkHeader(into, at, to, extended, done ? CHUNK_FLAG_DONE : 0, type, payload)
  into.setUint32(at + header, context)
  if (!extended) return header + 4
  into.setUint32(at + header + 4, count)
  return header + 8
}

/** One extent of a status. */
export function encodeExtent(
  into: DataView,
  at: number,
  extended: boolean,
  byteLength: number,
  flags: number,
): number {
  assert(byteLength > 0, 'an extent is not empty')
  if (extended) {
    encodeWords(into, at, byteLength)
    encodeWords(into, at + 8, flags)
    return EXTENDED_EXTENT_BYTE_LENGTH
  }
  into.setUint32(at, byteLength)
  into.setUint32(at + 4, flags)
  return EXTENT_BYTE_LENGTH
}

/** The request has failed; always the last chunk of its reply. The message is UTF-8 and may be empty. */
export function encodeErrorChunk(
  into: DataView,
  at: number,
  to: ReplyTo,
  extended: boolean,
  error: number,
  message: Uint8Array,
): number {
  const messageByteLength = message.length
  assert(error !== 0, 'an error chunk carries an error')
  assert(messageByteLength <= TEXT_BYTE_LENGTH_MAX, 'a message fits the limit of the protocol')
  const payload = 6 + messageByteLength
  const header = encodeChunkHeader(into, at, to, extended, CHUNK_FLAG_DONE, ChunkType.ERROR, payload)
  into.setUint32(at + header, error)
  into.setUint16(at + header + 4, messageByteLength)
  const messageAt = at + header + 6
  for (let index = 0; index < messageByteLength; index += 1) into.setUint8(messageAt + index, message[index]!)
  return header + payload
}

function encodeChunkHeader(
  into: DataView,
  at: number,
  to: ReplyTo,
  extended: boolean,
  flags: number,
  type: number,
  payloadByteLength: number,
): number {
  into.setUint32(at, extended ? EXTENDED_REPLY_MAGIC : STRUCTURED_REPLY_MAGIC)
  into.setUint16(at + 4, flags)
  into.setUint16(at + 6, type)
  into.setUint32(at + 8, to.cookieHigh)
  into.setUint32(at + 12, to.cookieLow)
  if (!extended) {
    into.setUint32(at + 16, payloadByteLength)
    return CHUNK_HEADER_BYTE_LENGTH
  }
  into.setUint32(at + 16, to.offsetHigh)
  into.setUint32(at + 20, to.offsetLow)
  into.setUint32(at + 24, 0)
  into.setUint32(at + 28, payloadByteLength)
  return EXTENDED_CHUNK_HEADER_BYTE_LENGTH
}

function encodeWords(into: DataView, at: number, value: number): void {
  into.setUint32(at, highWord(value))
  into.setUint32(at + 4, lowWord(value))
}
