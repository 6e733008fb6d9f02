import { fromWords } from '../base/units.ts'
import { REQUEST_MAGIC, RequestAt } from '../format/nbd.ts'

/** A high word from here on is an offset that no number holds exactly, and no volume reaches. */
const OFFSET_HIGH_LIMIT = 0x20_0000

/**
 * Reads request headers from the receive buffer of a session. One reader serves all of them:
 * its fields hold the last header read, so reading allocates nothing.
 */
export class RequestReader {
  flags = 0
  command = 0
  /** the client's cookie, given back as it came */
  cookieHigh = 0
  cookieLow = 0
  offset = 0
  /** the offset is 2^53 or more: past the end of anything, and `offset` is not exact */
  offsetOutOfRange = false
  length = 0

  /** Reads the 28 bytes at `at`. False: not a request, the stream is lost and the session must end. */
  read(view: DataView, at: number): boolean {
    if (view.getUint32(at + RequestAt.magic) !== REQUEST_MAGIC) return false
    this.flags = view.getUint16(at + RequestAt.flags)
    this.command = view.getUint16(at + RequestAt.command)
    this.cookieHigh = view.getUint32(at + RequestAt.cookie)
    this.cookieLow = view.getUint32(at + RequestAt.cookie + 4)
    const offsetHigh = view.getUint32(at + RequestAt.offset)
    this.offset = fromWords(view.getUint32(at + RequestAt.offset + 4), offsetHigh)
    this.offsetOutOfRange = offsetHigh >= OFFSET_HIGH_LIMIT
    this.length = view.getUint32(at + RequestAt.length)
    return true
  }
}
