import { crc32c } from '../base/crc32c.ts'
import { fromWords } from '../base/units.ts'
import {
  FRAME_PAYLOAD_MAX,
  FRAME_SEALED_FROM,
  FrameKind,
  LINK_MAGIC,
  LINK_VERSION,
  LinkFrame,
} from '../format/link-frame.ts'

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

/** Writes and seals a frame header; `payloadSeal` 0 means that the payload has seals of its own. */
export function encodeFrame(
  into: Uint8Array,
  offset: number,
  values: FrameValues,
  incarnation: Uint8Array,
  payloadByteLength: number,
  payloadSeal: number,
): void {
  LinkFrame.encode(
    {
      magic: LINK_MAGIC,
      seal: 0,
      kind: values.kind,
      version: LINK_VERSION,
      payloadByteLength,
      epoch: values.epoch,
      payloadSeal,
      sequence: values.sequence ?? 0,
      count: values.count ?? 0,
      firstPage: values.firstPage ?? 0,
      pageCount: values.pageCount ?? 0,
      generation: values.generation ?? 0,
      incarnation,
    },
    into,
    offset,
  )
  const sum = crc32c(into, offset + FRAME_SEALED_FROM, offset + FRAME_BYTES)
  new DataView(into.buffer, into.byteOffset).setUint32(offset + at.seal, sum, true)
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
    this.incarnation.set(bytes.subarray(offset + at.incarnation, offset + at.incarnation + 16))
    if (this.kind !== FrameKind.HELLO && this.kind !== FrameKind.GOODBYE && this.version !== LINK_VERSION) {
      return `the partner speaks link version ${this.version}, this node ${LINK_VERSION}; upgrade the older one`
    }
    if (!KINDS.has(this.kind)) return `a frame of unknown kind ${this.kind}`
    if (this.payloadByteLength > FRAME_PAYLOAD_MAX) return 'a frame is longer than frames may be'
    return undefined
  }

  #u64(view: DataView, offset: number): number {
    return fromWords(view.getUint32(offset, true), view.getUint32(offset + 4, true))
  }
}
