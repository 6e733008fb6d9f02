import { crc32c } from '../../ts/base/crc32c.ts'
import { FrameKind, LinkHello } from '../../ts/format/link-frame.ts'
import { encodeFrame, FRAME_BYTES } from '../../ts/partner/frame.ts'

/** The first frame of a partner, with facts that a test does not care about filled in. */
export function helloBytes(facts: Partial<ReturnType<typeof LinkHello.decode>>): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES + LinkHello.byteLength)
  const zeroes = LinkHello.decode(new Uint8Array(LinkHello.byteLength))
  LinkHello.encode({ ...zeroes, ...facts }, bytes, FRAME_BYTES)
  const seal = crc32c(bytes, FRAME_BYTES)
  encodeFrame(bytes, 0, { kind: FrameKind.HELLO, epoch: 1 }, new Uint8Array(16), LinkHello.byteLength, seal)
  return bytes
}
