import { assert } from '../base/assert.ts'
import { highWord, lowWord } from '../base/units.ts'
import {
  CHUNK_FLAG_DONE,
  CHUNK_HEADER_BYTE_LENGTH,
  ChunkType,
  SIMPLE_REPLY_BYTE_LENGTH,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
  TEXT_BYTE_LENGTH_MAX,
} from '../format/nbd.ts'

/*
 * Encoders of replies. Each writes at an offset of a view that has room, allocates nothing, and
 * returns the number of bytes written. The data of a READ follows its header, from where it lies.
 */

/** Header of a chunk of data: the chunk's header and the offset of the data. */
export const OFFSET_DATA_HEADER_BYTE_LENGTH = CHUNK_HEADER_BYTE_LENGTH + 8
export const OFFSET_HOLE_BYTE_LENGTH = CHUNK_HEADER_BYTE_LENGTH + 12
/** An error chunk without its message. */
export const ERROR_CHUNK_BYTE_LENGTH = CHUNK_HEADER_BYTE_LENGTH + 6

/** A simple reply; after it, if `error` is 0 and the request was READ, the data. */
export function encodeSimpleReply(
  into: DataView,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  error: number,
): number {
  into.setUint32(at, SIMPLE_REPLY_MAGIC)
  into.setUint32(at + 4, error)
  into.setUint32(at + 8, cookieHigh)
  into.setUint32(at + 12, cookieLow)
  return SIMPLE_REPLY_BYTE_LENGTH
}

/** The end of a reply that has nothing (more) to say. */
export function encodeDone(into: DataView, at: number, cookieHigh: number, cookieLow: number): number {
  return encodeChunkHeader(into, at, CHUNK_FLAG_DONE, ChunkType.NONE, cookieHigh, cookieLow, 0)
}

/** What precedes `byteLength` bytes of data that were read from `offset`. */
export function encodeOffsetData(
  into: DataView,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  offset: number,
  byteLength: number,
  done: boolean,
): number {
  assert(byteLength > 0, 'a chunk of data is not empty')
  const flags = done ? CHUNK_FLAG_DONE : 0
  encodeChunkHeader(into, at, flags, ChunkType.OFFSET_DATA, cookieHigh, cookieLow, 8 + byteLength)
  encodeOffset(into, at + CHUNK_HEADER_BYTE_LENGTH, offset)
  return OFFSET_DATA_HEADER_BYTE_LENGTH
}

/** `byteLength` bytes at `offset` read as zeroes. */
export function encodeOffsetHole(
  into: DataView,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  offset: number,
  byteLength: number,
  done: boolean,
): number {
  assert(byteLength > 0, 'a hole is not empty')
  const flags = done ? CHUNK_FLAG_DONE : 0
  encodeChunkHeader(into, at, flags, ChunkType.OFFSET_HOLE, cookieHigh, cookieLow, 12)
  encodeOffset(into, at + CHUNK_HEADER_BYTE_LENGTH, offset)
  into.setUint32(at + CHUNK_HEADER_BYTE_LENGTH + 8, byteLength)
  return OFFSET_HOLE_BYTE_LENGTH
}

/** The request has failed; always the last chunk of its reply. The message is UTF-8 and may be empty. */
export function encodeErrorChunk(
  into: DataView,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  error: number,
  message: Uint8Array,
): number {
  const messageByteLength = message.length
  assert(error !== 0, 'an error chunk carries an error')
  assert(messageByteLength <= TEXT_BYTE_LENGTH_MAX, 'a message fits the limit of the protocol')
  const payload = 6 + messageByteLength
  encodeChunkHeader(into, at, CHUNK_FLAG_DONE, ChunkType.ERROR, cookieHigh, cookieLow, payload)
  into.setUint32(at + CHUNK_HEADER_BYTE_LENGTH, error)
  into.setUint16(at + CHUNK_HEADER_BYTE_LENGTH + 4, messageByteLength)
  const messageAt = at + ERROR_CHUNK_BYTE_LENGTH
  for (let index = 0; index < messageByteLength; index += 1) into.setUint8(messageAt + index, message[index]!)
  return ERROR_CHUNK_BYTE_LENGTH + messageByteLength
}

function encodeChunkHeader(
  into: DataView,
  at: number,
  flags: number,
  type: number,
  cookieHigh: number,
  cookieLow: number,
  payloadByteLength: number,
): number {
  into.setUint32(at, STRUCTURED_REPLY_MAGIC)
  into.setUint16(at + 4, flags)
  into.setUint16(at + 6, type)
  into.setUint32(at + 8, cookieHigh)
  into.setUint32(at + 12, cookieLow)
  into.setUint32(at + 16, payloadByteLength)
  return CHUNK_HEADER_BYTE_LENGTH
}

function encodeOffset(into: DataView, at: number, offset: number): void {
  into.setUint32(at, highWord(offset))
  into.setUint32(at + 4, lowWord(offset))
}
