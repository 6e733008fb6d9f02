import { StoreError } from '../base/errors.ts'

/*
 * Netlink messages as the kernel's headers linux/netlink.h and linux/genetlink.h have them. They are in the
 * byte order of the machine, which is little-endian wherever Pollux runs.
 *
 *   message    u32 length, u16 type, u16 flags, u32 sequence, u32 port; then, of a generic family,
 *              u8 command, u8 version, u16 zero, and attributes
 *   attribute  u16 length, header included, u16 kind, value, padding to 4 bytes
 */

export const GENERIC_PROTOCOL = 16

export const MessageType = { NOOP: 1, ERROR: 2, DONE: 3, CONTROL: 16 } as const
export const MessageFlag = { REQUEST: 1, ACK: 4 } as const

/** The family that knows all others. */
export const ControlCommand = { GET_FAMILY: 3 } as const
export const ControlAttribute = { FAMILY_ID: 1, FAMILY_NAME: 2, GROUPS: 7 } as const
export const GroupAttribute = { NAME: 1, ID: 2 } as const

export const MESSAGE_HEADER_BYTE_LENGTH = 16
export const GENERIC_HEADER_BYTE_LENGTH = 4
export const ATTRIBUTE_HEADER_BYTE_LENGTH = 4

/** The two highest bits of a kind are flags: nested, and in the order of the network. */
const KIND_MASK = 0x3fff

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const aligned = (byteLength: number): number => (byteLength + 3) & ~3

/** A request to a generic family. */
export interface GenericRequest {
  /** number of the family */
  readonly type: number
  readonly sequence: number
  readonly command: number
  readonly attributes: readonly Uint8Array[]
}

export interface NetlinkMessage {
  readonly type: number
  readonly sequence: number
  readonly payload: Uint8Array
}

export interface Attribute {
  readonly kind: number
  readonly value: Uint8Array
}

// --- encode ----------------------------------------------------------------------------------------

export function attribute(kind: number, value: Uint8Array): Uint8Array {
  const byteLength = ATTRIBUTE_HEADER_BYTE_LENGTH + value.length
  const encoded = new Uint8Array(aligned(byteLength))
  const view = new DataView(encoded.buffer)
  view.setUint16(0, byteLength, true)
  view.setUint16(2, kind, true)
  encoded.set(value, ATTRIBUTE_HEADER_BYTE_LENGTH)
  return encoded
}

export function attributeU32(kind: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return attribute(kind, bytes)
}

export function attributeU64(kind: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return attribute(kind, bytes)
}

/** Ends with a zero, as the kernel's strings do. */
export const attributeText = (kind: number, text: string): Uint8Array =>
  attribute(kind, encoder.encode(`${text}\0`))

export const nested = (kind: number, attributes: readonly Uint8Array[]): Uint8Array =>
  attribute(kind, joined(attributes))

/** Asks for an acknowledgement, so that every request has an end. */
export function encodeRequest({ type, sequence, command, attributes }: GenericRequest): Uint8Array {
  const body = joined(attributes)
  const encoded = new Uint8Array(MESSAGE_HEADER_BYTE_LENGTH + GENERIC_HEADER_BYTE_LENGTH + body.length)
  const view = new DataView(encoded.buffer)
  view.setUint32(0, encoded.length, true)
  view.setUint16(4, type, true)
  view.setUint16(6, MessageFlag.REQUEST | MessageFlag.ACK, true)
  view.setUint32(8, sequence, true)
  view.setUint8(MESSAGE_HEADER_BYTE_LENGTH, command)
  view.setUint8(MESSAGE_HEADER_BYTE_LENGTH + 1, 1)
  encoded.set(body, MESSAGE_HEADER_BYTE_LENGTH + GENERIC_HEADER_BYTE_LENGTH)
  return encoded
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

// --- decode ----------------------------------------------------------------------------------------

const malformed = (what: string): StoreError =>
  new StoreError('ATTACH_FAILED', `the kernel's answer over netlink makes no sense: ${what}`)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** All messages of one datagram. Throws ATTACH_FAILED if a length does not fit. */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = []
  const view = viewOf(datagram)
  for (let at = 0; at < datagram.length; ) {
    const left = datagram.length - at
    if (left < MESSAGE_HEADER_BYTE_LENGTH) throw malformed(`${left} bytes are no message`)
    const byteLength = view.getUint32(at, true)
    if (byteLength < MESSAGE_HEADER_BYTE_LENGTH || byteLength > left) {
      throw malformed(`a message of ${byteLength} bytes in ${left}`)
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      sequence: view.getUint32(at + 8, true),
      payload: datagram.subarray(at + MESSAGE_HEADER_BYTE_LENGTH, at + byteLength),
    })
    at += aligned(byteLength)
  }
  return messages
}

/** The errno of a message of type ERROR; 0 acknowledges. */
export function decodeErrno({ payload }: NetlinkMessage): number {
  if (payload.length < 4) throw malformed(`an error of ${payload.length} bytes`)
  const errno = viewOf(payload).getInt32(0, true)
  if (errno > 0) throw malformed(`an error that is none: ${errno}`)
  return -errno
}

/** A message of a generic family. */
export function decodeGeneric({ payload }: NetlinkMessage): { command: number; attributes: Attribute[] } {
  if (payload.length < GENERIC_HEADER_BYTE_LENGTH) throw malformed(`a header of ${payload.length} bytes`)
  const attributes = decodeAttributes(payload.subarray(GENERIC_HEADER_BYTE_LENGTH))
  return { command: payload[0]!, attributes }
}

/** Also what is nested in the value of an attribute. Throws ATTACH_FAILED if a length does not fit. */
export function decodeAttributes(bytes: Uint8Array): Attribute[] {
  const attributes: Attribute[] = []
  const view = viewOf(bytes)
  for (let at = 0; at < bytes.length; ) {
    const left = bytes.length - at
    if (left < ATTRIBUTE_HEADER_BYTE_LENGTH) throw malformed(`${left} bytes are no attribute`)
    const byteLength = view.getUint16(at, true)
    if (byteLength < ATTRIBUTE_HEADER_BYTE_LENGTH || byteLength > left) {
      throw malformed(`an attribute of ${byteLength} bytes in ${left}`)
    }
    const kind = view.getUint16(at + 2, true) & KIND_MASK
    attributes.push({ kind, value: bytes.subarray(at + ATTRIBUTE_HEADER_BYTE_LENGTH, at + byteLength) })
    at += aligned(byteLength)
  }
  return attributes
}

/** The first attribute of a kind. Throws ATTACH_FAILED if there is none. */
export function valueIn(attributes: readonly Attribute[], kind: number): Uint8Array {
  const found = attributes.find((one) => one.kind === kind)
  if (!found) throw malformed(`attribute ${kind} is missing`)
  return found.value
}

/** An unsigned number of the length that it has: 1, 2 or 4 bytes. */
export function numberIn(value: Uint8Array): number {
  const view = viewOf(value)
  if (value.length === 1) return view.getUint8(0)
  if (value.length === 2) return view.getUint16(0, true)
  if (value.length === 4) return view.getUint32(0, true)
  throw malformed(`a number of ${value.length} bytes`)
}

export function textIn(value: Uint8Array): string {
  const end = value.indexOf(0)
  return decoder.decode(end < 0 ? value : value.subarray(0, end))
}
