import { assert } from '../../ts/base/assert.ts'
import { FrameKind } from '../../ts/format/link-frame.ts'
import { encodeFrame, FRAME_BYTES, FrameReader } from '../../ts/partner/frame.ts'
import type { Micro, Scale } from './harness.ts'

const framesOf = (scale: Scale): number => (scale === 'small' ? 64 : 64 * 1024)
const incarnation = Uint8Array.from({ length: 16 }, (_, byte) => byte)

/** As the owner announces entries to its partner. */
function put(bytes: Uint8Array, sequence: number): void {
  const values = {
    kind: FrameKind.ENTRIES,
    epoch: 1,
    sequence,
    count: 1,
    firstPage: sequence & 1023,
    pageCount: 1,
    generation: 1,
  }
  encodeFrame(bytes, 0, values, incarnation, 4096, 0)
}

const encode: Micro = {
  name: 'link: encode a frame',
  per: 'header',
  prepare: (scale) => {
    const frames = framesOf(scale)
    const bytes = new Uint8Array(FRAME_BYTES)
    const run = () => {
      for (let sequence = 1; sequence <= frames; sequence += 1) put(bytes, sequence)
      return frames
    }
    return { run, hash: () => new DataView(bytes.buffer).getUint32(8, true) }
  },
}

const read: Micro = {
  name: 'link: read a frame',
  per: 'header',
  prepare: (scale) => {
    const frames = framesOf(scale)
    const bytes = new Uint8Array(FRAME_BYTES)
    const view = new DataView(bytes.buffer)
    put(bytes, 77)
    const reader = new FrameReader()
    let mixed = 0
    const run = () => {
      mixed = 0
      for (let frame = 0; frame < frames; frame += 1) {
        assert(reader.read(bytes, view, 0) === undefined, 'the frame of a benchmark is a good one')
        mixed = (mixed + reader.sequence) | 0
      }
      return frames
    }
    return { run, hash: () => mixed }
  },
}

export const linkMicros: readonly Micro[] = [encode, read]
