import t from 'tap'
import { crc32c } from '../../../ts/base/crc32c.ts'
import { FrameKind } from '../../../ts/format/link-frame.ts'
import { encodeGoodbye, GREETING_BYTES, readGreeting } from '../../../ts/node/link-greeting.ts'
import { encodeFrame, FRAME_BYTES, FrameReader } from '../../../ts/partner/frame.ts'
import { helloBytes } from '../../support/link-hello.ts'

t.test('a hello is recognised however much of it has come, once it is whole', async (t) => {
  const hello = helloBytes({ nodeName: 'pollux', aggregateName: 'one' })
  for (const length of [0, 1, FRAME_BYTES - 1, FRAME_BYTES, GREETING_BYTES - 1]) {
    t.same(readGreeting(hello.subarray(0, length)), { kind: 'more' }, `${length} bytes`)
  }
  t.match(readGreeting(hello), { kind: 'hello', nodeName: 'pollux', aggregateName: 'one' })
  const more = Buffer.concat([hello, Buffer.from('more frames')])
  t.match(readGreeting(more), { kind: 'hello' }, 'what follows is not looked at')
})

t.test('anything else is nonsense, and says why', async (t) => {
  const reasonOf = (bytes: Uint8Array): string => {
    const greeting = readGreeting(bytes)
    return greeting.kind === 'nonsense' ? greeting.reason : greeting.kind
  }
  t.match(reasonOf(new Uint8Array(GREETING_BYTES)), /no frame of a Pollux link/)
  const torn = helloBytes({})
  torn[20]! ^= 1
  t.match(reasonOf(torn), /header does not check/)
  const wrongPayload = helloBytes({})
  wrongPayload[FRAME_BYTES + 5]! ^= 1
  t.match(reasonOf(wrongPayload), /the hello does not check/)
  t.match(reasonOf(encodeGoodbye('a reason that is long enough to fill the frame')), /not a hello/)
  const short = new Uint8Array(GREETING_BYTES)
  encodeFrame(short, 0, { kind: FrameKind.HELLO, epoch: 0 }, new Uint8Array(16), 8, 0)
  t.match(reasonOf(short), /a hello of 8 bytes/)
})

t.test('a goodbye is a whole frame with the reason', async (t) => {
  const bytes = encodeGoodbye('another pair')
  const frame = new FrameReader()
  t.equal(frame.read(bytes, new DataView(bytes.buffer), 0), undefined)
  t.equal(frame.kind, FrameKind.GOODBYE)
  t.equal(frame.payloadByteLength, bytes.length - FRAME_BYTES)
  t.equal(frame.payloadSeal, crc32c(bytes, FRAME_BYTES))
  t.ok(Buffer.from(bytes).includes('another pair'))
})
