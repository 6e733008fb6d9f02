import { crc32c } from '../base/crc32c.ts'
import { roundUp } from '../base/units.ts'
import { FrameKind, LinkHello } from '../format/link-frame.ts'
import { encodeFrame, FRAME_BYTES, FrameReader } from '../partner/frame.ts'

/** The first thing that a partner sends: which aggregate of which pair the connection is for. */
export const GREETING_BYTES = FRAME_BYTES + LinkHello.byteLength

export type Greeting =
  | { kind: 'more' }
  | { kind: 'nonsense'; reason: string }
  | { kind: 'hello'; pair: Uint8Array; aggregate: Uint8Array; nodeName: string; aggregateName: string }

/** Looks at the first bytes of a link connection; everything else about them is the engine's to judge. */
export function readGreeting(bytes: Uint8Array): Greeting {
  if (bytes.length < FRAME_BYTES) return { kind: 'more' }
  const frame = new FrameReader()
  const mistake = frame.read(bytes, new DataView(bytes.buffer, bytes.byteOffset), 0)
  if (mistake !== undefined) return { kind: 'nonsense', reason: mistake }
  if (frame.kind !== FrameKind.HELLO) return { kind: 'nonsense', reason: 'the first frame is not a hello' }
  if (frame.payloadByteLength !== LinkHello.byteLength) {
    return { kind: 'nonsense', reason: `a hello of ${frame.payloadByteLength} bytes` }
  }
  if (bytes.length < GREETING_BYTES) return { kind: 'more' }
  if (crc32c(bytes, FRAME_BYTES, GREETING_BYTES) !== frame.payloadSeal) {
    return { kind: 'nonsense', reason: 'the hello does not check' }
  }
  const { pair, aggregate, nodeName, aggregateName } = LinkHello.decode(bytes, FRAME_BYTES)
  return { kind: 'hello', pair, aggregate, nodeName, aggregateName }
}

/** The frame that refuses a connection, with the reason in words. */
export function encodeGoodbye(reason: string): Uint8Array {
  const text = new TextEncoder().encode(reason)
  const payload = new Uint8Array(roundUp(text.length, 8))
  payload.set(text)
  const bytes = new Uint8Array(FRAME_BYTES + payload.length)
  const values = { kind: FrameKind.GOODBYE, epoch: 0 }
  encodeFrame(bytes, 0, values, new Uint8Array(16), payload.length, crc32c(payload))
  bytes.set(payload, FRAME_BYTES)
  return bytes
}
