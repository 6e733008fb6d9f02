import { crc32c } from '../base/crc32c.ts'
import { fromWords, highWord, lowWord } from '../base/units.ts'
import {
  FRAME_PAYLOAD_MAX,
  FRAME_SEALED_FROM,
  FrameKind,
  LINK_MAGIC,
  LINK_VERSION,
  LinkFrame,
} from '../format/link-frame.ts'
import { SEQUENCE_MAX } from '../format/log-ring.ts'

export const FRAME_BYTES = LinkFrame.byteLength
const at = LinkFrame.at
const KINDS = new Set<number>(Object.values(FrameKind))

export interface FrameValues {
  kind: number
  epoch: number
  sequence?: number
  count?: number
  firstPage?: number
  pageCount?: number
  generation?: number
}

/**
 * Writes and seals a frame header, field by field: `LinkFrame.encode` would allocate, and this is on the way
 * of every acknowledgement. `payloadSeal` 0 means that the payload has seals of its own.
 */
export function encodeFrame(
  into: Uint8Array,
  offset: number,
  values: FrameValues,
  incarnation: Uint8Array,
  payloadByteLength: number,
  payloadSeal: number,
): void {
  const sequence = values.sequence ?? 0
  put32(into, offset + at.magic, LINK_MAGIC)
  put32(into, offset + at.kind, values.kind + LINK_VERSION * 0x1_0000) // two fields of 16 bits
  put32(into, offset + at.payloadByteLength, payloadByteLength)
  put32(into, offset + at.epoch, values.epoch)
  put32(into, offset + at.payloadSeal, payloadSeal)
  put32(into, offset + at.sequence, lowWord(sequence))
  put32(into, offset + at.sequence + 4, highWord(sequence))
  put32(into, offset + at.count, values.count ?? 0)
  put32(into, offset + at.firstPage, values.firstPage ?? 0)
  put32(into, offset + at.pageCount, values.pageCount ?? 0)
  put32(into, offset + at.generation, values.generation ?? 0)
  for (let i = 0; i < 16; i += 1) into[offset + at.incarnation + i] = incarnation[i]!
  put32(into, offset + at.seal, crc32c(into, offset + FRAME_SEALED_FROM, offset + FRAME_BYTES))
}

function put32(into: Uint8Array, at: number, value: number): void {
  into[at] = value
  into[at + 1] = value >>> 8
  into[at + 2] = value >>> 16
  into[at + 3] = value >>> 24
}

/** The header of the frame that is being looked at; reused, so that reading allocates nothing. */
export class FrameReader {
  kind = 0
  version = 0
  payloadByteLength = 0
  epoch = 0
  payloadSeal = 0
  sequence = 0
  count = 0
  firstPage = 0
  pageCount = 0
  generation = 0
  incarnation = new Uint8Array(16)

  /** Reads the header at `offset`. Returns what is wrong with it, or undefined. */
  read(bytes: Uint8Array, view: DataView, offset: number): string | undefined {
    if (view.getUint32(offset + at.magic, true) !== LINK_MAGIC)
      return 'what came is no frame of a Pollux link'
    const sum = crc32c(bytes, offset + FRAME_SEALED_FROM, offset + FRAME_BYTES)
    if (view.getUint32(offset + at.seal, true) !== sum) return 'a frame header does not check'
    this.kind = view.getUint16(offset + at.kind, true)
    this.version = view.getUint16(offset + at.version, true)
    this.payloadByteLength = view.getUint32(offset + at.payloadByteLength, true)
    this.epoch = view.getUint32(offset + at.epoch, true)
    this.payloadSeal = view.getUint32(offset + at.payloadSeal, true)
    this.sequence = this.#u64(view, offset + at.sequence)
    this.count = view.getUint32(offset + at.count, true)
    this.firstPage = view.getUint32(offset + at.firstPage, true)
    this.pageCount = view.getUint32(offset + at.pageCount, true)
    this.generation = view.getUint32(offset + at.generation, true)
    for (let i = 0; i < 16; i += 1) this.incarnation[i] = bytes[offset + at.incarnation + i]!
    if (this.kind !== FrameKind.HELLO && this.kind !== FrameKind.GOODBYE && this.version !== LINK_VERSION) {
      return `the partner speaks link version ${this.version}, this node ${LINK_VERSION}; upgrade the older one`
    }
    if (!KINDS.has(this.kind)) return `a frame of unknown kind ${this.kind}`
    if (this.payloadByteLength > FRAME_PAYLOAD_MAX) return 'a frame is longer than frames may be'
    if (this.sequence > SEQUENCE_MAX) return 'a frame has a number that no frame has'
    // what comes behind it is read as words
    if (this.payloadByteLength % 8 !== 0) return 'a frame has a length that no frame has'
    return undefined
  }

  #u64(view: DataView, offset: number): number {
    return fromWords(view.getUint32(offset, true), view.getUint32(offset + 4, true))
  }
}
