import { assert } from '../base/assert.ts'
import { highWord, lowWord } from '../base/units.ts'
import {
  EXPORT_NAME_REPLY_BYTE_LENGTH,
  EXPORT_NAME_ZEROES_BYTE_LENGTH,
  GREETING_BYTE_LENGTH,
  GREETING_MAGIC,
  HandshakeFlag,
  Info,
  OPTION_MAGIC,
  OPTION_REPLY_HEADER_BYTE_LENGTH,
  OPTION_REPLY_MAGIC,
  OptionReply,
  TEXT_BYTE_LENGTH_MAX,
} from '../format/nbd.ts'
import {
  BLOCK_BYTE_LENGTH_MIN,
  BLOCK_BYTE_LENGTH_PREFERRED,
  type ExportInfo,
  PAYLOAD_BYTE_LENGTH_MAX,
} from './export.ts'

const encoder = new TextEncoder()
const NOTHING = new Uint8Array(0)

export function encodeGreeting(): Uint8Array {
  const greeting = new Uint8Array(GREETING_BYTE_LENGTH)
  const view = new DataView(greeting.buffer)
  view.setUint32(0, GREETING_MAGIC.high)
  view.setUint32(4, GREETING_MAGIC.low)
  view.setUint32(8, OPTION_MAGIC.high)
  view.setUint32(12, OPTION_MAGIC.low)
  view.setUint16(16, HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES)
  return greeting
}

/** Gathers what one step of the handshake sends. */
export class OptionReplies {
  #pieces: Uint8Array[] = []
  #byteLength = 0

  acknowledge(option: number): void {
    this.#reply(option, OptionReply.ACK, NOTHING)
  }

  /** An error, with a text for the person at the other end. */
  refuse(option: number, error: number, text: string): void {
    this.#reply(option, error, shortened(text))
  }

  /** One export of the answer to LIST. */
  server(option: number, exportInfo: ExportInfo): void {
    const name = encoder.encode(exportInfo.name)
    const description = shortened(exportInfo.description)
    const data = new Uint8Array(4 + name.length + description.length)
    new DataView(data.buffer).setUint32(0, name.length)
    data.set(name, 4)
    data.set(description, 4 + name.length)
    this.#reply(option, OptionReply.SERVER, data)
  }

  /** One context of the answer to LIST_META_CONTEXT or SET_META_CONTEXT. */
  context(option: number, identity: number, name: string): void {
    const encoded = encoder.encode(name)
    const data = new Uint8Array(4 + encoded.length)
    new DataView(data.buffer).setUint32(0, identity)
    data.set(encoded, 4)
    this.#reply(option, OptionReply.META_CONTEXT, data)
  }

  infoExport(option: number, byteLength: number, flags: number): void {
    const data = new Uint8Array(12)
    const view = new DataView(data.buffer)
    view.setUint16(0, Info.EXPORT)
    view.setUint32(2, highWord(byteLength))
    view.setUint32(6, lowWord(byteLength))
    view.setUint16(10, flags)
    this.#reply(option, OptionReply.INFO, data)
  }

  infoText(option: number, kind: number, text: string): void {
    const encoded = shortened(text)
    const data = new Uint8Array(2 + encoded.length)
    new DataView(data.buffer).setUint16(0, kind)
    data.set(encoded, 2)
    this.#reply(option, OptionReply.INFO, data)
  }

  infoBlockSize(option: number): void {
    const data = new Uint8Array(14)
    const view = new DataView(data.buffer)
    view.setUint16(0, Info.BLOCK_SIZE)
    view.setUint32(2, BLOCK_BYTE_LENGTH_MIN)
    view.setUint32(6, BLOCK_BYTE_LENGTH_PREFERRED)
    view.setUint32(10, PAYLOAD_BYTE_LENGTH_MAX)
    this.#reply(option, OptionReply.INFO, data)
  }

  /** The answer to EXPORT_NAME has no header; old clients also wait for 124 zeroes. */
  exportName(byteLength: number, flags: number, withZeroes: boolean): void {
    const zeroes = withZeroes ? EXPORT_NAME_ZEROES_BYTE_LENGTH : 0
    const data = new Uint8Array(EXPORT_NAME_REPLY_BYTE_LENGTH + zeroes)
    const view = new DataView(data.buffer)
    view.setUint32(0, highWord(byteLength))
    view.setUint32(4, lowWord(byteLength))
    view.setUint16(8, flags)
    this.#add(data)
  }

  /** Everything since the last call, in one piece. */
  take(): Uint8Array {
    const all = new Uint8Array(this.#byteLength)
    let at = 0
    for (const piece of this.#pieces) {
      all.set(piece, at)
      at += piece.length
    }
    assert(at === this.#byteLength, 'the pieces add up')
    this.#pieces = []
    this.#byteLength = 0
    return all
  }

  #reply(option: number, kind: number, data: Uint8Array): void {
    const header = new Uint8Array(OPTION_REPLY_HEADER_BYTE_LENGTH)
    const view = new DataView(header.buffer)
    view.setUint32(0, OPTION_REPLY_MAGIC.high)
    view.setUint32(4, OPTION_REPLY_MAGIC.low)
    view.setUint32(8, option)
    view.setUint32(12, kind)
    view.setUint32(16, data.length)
    this.#add(header)
    this.#add(data)
  }

  #add(piece: Uint8Array): void {
    this.#pieces.push(piece)
    this.#byteLength += piece.length
  }
}

/** Texts have a limit on the wire; a cut never splits a character. */
function shortened(text: string): Uint8Array {
  const encoded = new Uint8Array(Math.min(text.length * 3, TEXT_BYTE_LENGTH_MAX))
  return encoded.subarray(0, encoder.encodeInto(text, encoded).written)
}
