import { fromWords } from '../base/units.ts'
import {
  CONTEXT_BYTE_LENGTH,
  Command,
  CommandFlag,
  EXTENDED_REQUEST_MAGIC,
  REQUEST_MAGIC,
  RequestAt,
  STATUS_PAYLOAD_BYTE_LENGTH,
} from '../format/nbd.ts'
import { contexts, NO_CONTEXTS } from './meta-context.ts'
import type { ReplyTo } from './reply.ts'

/** A high word from here on makes a number that is not exact any more, and that no volume reaches. */
const HIGH_LIMIT = 0x20_0000

/**
 * Reads request headers from the receive buffer of a session. One reader serves all of them:
 * its fields hold the last header read, so reading allocates nothing.
 */
export class RequestReader implements ReplyTo {
  flags = 0
  command = 0
  /** the client's cookie, given back as it came */
  cookieHigh = 0
  cookieLow = 0
  /** the offset as it came; extended replies repeat it, whatever it is */
  offsetHigh = 0
  offsetLow = 0
  offset = 0
  /** the offset is 2^53 or more: past the end of anything, and `offset` is not exact */
  offsetOutOfRange = false
  /** how much of the export the request is about */
  length = 0
  /** the same for the length */
  lengthOutOfRange = false
  /** bytes that follow the header; not exact if the length is out of range */
  payloadLength = 0
  /** the set of those that the payload of a BLOCK_STATUS names; without one, none */
  contexts = NO_CONTEXTS
  /** the payload of a BLOCK_STATUS does not name contexts that there are, each once */
  hasWrongPayload = false

  /** Reads the 28 bytes at `at`. False: not a request, the stream is lost and the session must end. */
  read(view: DataView, at: number): boolean {
    if (view.getUint32(at + RequestAt.magic) !== REQUEST_MAGIC) return false
    this.#readCommon(view, at)
    this.length = view.getUint32(at + RequestAt.length)
    this.lengthOutOfRange = false
    this.payloadLength = this.command === Command.WRITE ? this.length : 0
    return true
  }

  /** The same for the 32 bytes of an extended header. A flag says whether the length is that of a payload. */
  readExtended(view: DataView, at: number): boolean {
    if (view.getUint32(at + RequestAt.magic) !== EXTENDED_REQUEST_MAGIC) return false
    this.#readCommon(view, at)
    this.#readLength(view, at + RequestAt.length)
    this.payloadLength = (this.flags & CommandFlag.PAYLOAD_LEN) !== 0 ? this.length : 0
    this.hasWrongPayload = this.carriesStatusPayload && !isStatusPayload(this.length)
    return true
  }

  /** What follows the header says what the request is about. */
  get carriesStatusPayload(): boolean {
    return this.command === Command.BLOCK_STATUS && (this.flags & CommandFlag.PAYLOAD_LEN) !== 0
  }

  /** Reads the payload of a BLOCK_STATUS, which is to be here as a whole: effect length and contexts. */
  readStatusPayload(view: DataView, at: number): void {
    const end = at + this.payloadLength
    this.#readLength(view, at)
    this.payloadLength = 0
    for (let next = at + STATUS_PAYLOAD_BYTE_LENGTH; next < end; next += CONTEXT_BYTE_LENGTH) {
      const context = view.getUint32(next)
      const isNew = contexts.includes(context) && (this.contexts & context) === 0
      if (isNew) this.contexts |= context
      else this.hasWrongPayload = true
    }
  }

  #readCommon(view: DataView, at: number): void {
    this.flags = view.getUint16(at + RequestAt.flags)
    this.command = view.getUint16(at + RequestAt.command)
    this.cookieHigh = view.getUint32(at + RequestAt.cookie)
    this.cookieLow = view.getUint32(at + RequestAt.cookie + 4)
    this.offsetHigh = view.getUint32(at + RequestAt.offset)
    this.offsetLow = view.getUint32(at + RequestAt.offset + 4)
    this.offset = fromWords(this.offsetLow, this.offsetHigh)
    this.offsetOutOfRange = this.offsetHigh >= HIGH_LIMIT
    this.contexts = NO_CONTEXTS
    this.hasWrongPayload = false
  }

  #readLength(view: DataView, at: number): void {
    const high = view.getUint32(at)
    this.length = fromWords(view.getUint32(at + 4), high)
    this.lengthOutOfRange = high >= HIGH_LIMIT
  }
}

/** Whether a payload is as long as one that names at least one context, and none twice. */
function isStatusPayload(byteLength: number): boolean {
  const named = (byteLength - STATUS_PAYLOAD_BYTE_LENGTH) / CONTEXT_BYTE_LENGTH
  return Number.isInteger(named) && named >= 1 && named <= contexts.length
}
