import t from 'tap'
import { crc32c } from '../../../ts/base/crc32c.ts'
import { FRAME_PAYLOAD_MAX, FrameKind, LinkFrame } from '../../../ts/format/link-frame.ts'
import { encodeFrame, FRAME_BYTES, FrameReader } from '../../../ts/partner/frame.ts'

const incarnation = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
const values = {
  kind: FrameKind.ENTRIES,
  epoch: 7,
  sequence: 2 ** 40 + 3,
  count: 5,
  firstPage: 6,
  pageCount: 8,
  generation: 9,
}

function frame(change: Partial<typeof values> = {}, payloadByteLength = 4096, payloadSeal = 77): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES + 40)
  encodeFrame(bytes, 24, { ...values, ...change }, incarnation, payloadByteLength, payloadSeal)
  return bytes
}

function read(bytes: Uint8Array, reader = new FrameReader()): string | undefined {
  return reader.read(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 24)
}

/** Changes a field and seals again: what a partner that means it would send. */
function changed(change: (view: DataView) => void): Uint8Array {
  const bytes = frame()
  change(new DataView(bytes.buffer, 24, FRAME_BYTES))
  const sum = crc32c(bytes, 24 + LinkFrame.at.kind, 24 + FRAME_BYTES)
  new DataView(bytes.buffer, 24).setUint32(LinkFrame.at.seal, sum, true)
  return bytes
}

t.test('a frame is read as it was written', async (t) => {
  const reader = new FrameReader()
  t.equal(read(frame(), reader), undefined)
  t.match(reader, { ...values, version: 1, payloadByteLength: 4096, payloadSeal: 77, incarnation })
  encodeFrame(new Uint8Array(64), 0, { kind: FrameKind.HEARTBEAT, epoch: 1 }, incarnation, 0, 0)
})

t.test('a flip of any bit of a header is noticed', async (t) => {
  const missed: number[] = []
  for (let bit = 0; bit < FRAME_BYTES * 8; bit += 1) {
    const bytes = frame()
    bytes[24 + (bit >> 3)]! ^= 1 << (bit & 7)
    if (read(bytes) === undefined) missed.push(bit)
  }
  t.same(missed, [])
})

t.test('what is wrong with a frame is said', async (t) => {
  t.match(read(new Uint8Array(FRAME_BYTES + 40)), /no frame of a Pollux link/)
  const { at } = LinkFrame
  t.match(read(changed((view) => view.setUint16(at.version, 2, true))), /link version 2, this node 1/)
  t.match(read(changed((view) => view.setUint16(at.kind, 99, true))), /unknown kind 99/)
  t.match(read(changed((view) => view.setUint16(at.kind, 0, true))), /unknown kind 0/)
  t.equal(read(frame({}, FRAME_PAYLOAD_MAX)), undefined)
  t.match(read(frame({}, FRAME_PAYLOAD_MAX + 1)), /longer than frames may be/)
  t.equal(read(frame({ sequence: 2 ** 52 })), undefined)
  t.match(read(frame({ sequence: 2 ** 52 + 1 })), /a number that no frame has/)
  t.match(read(frame({ sequence: 2 ** 63 })), /a number that no frame has/, 'nor one that is not exact')
})

t.test('a hello and a goodbye of any version can be read', async (t) => {
  for (const kind of [FrameKind.HELLO, FrameKind.GOODBYE]) {
    const bytes = changed((view) => {
      view.setUint16(LinkFrame.at.version, 9, true)
      view.setUint16(LinkFrame.at.kind, kind, true)
    })
    const reader = new FrameReader()
    t.equal(read(bytes, reader), undefined)
    t.equal(reader.version, 9)
  }
})
