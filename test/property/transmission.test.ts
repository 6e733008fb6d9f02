import fc from 'fast-check'
import t from 'tap'
import { command, encodeExtendedRequest, encodeRequest } from '../support/nbd-wire.ts'
import { SessionRig } from '../support/session-rig.ts'
import { MemoryTwin } from '../unit/log/memory-twin.ts'
import { runs } from './runs.ts'

const request = fc.record({
  command: fc.oneof(fc.nat(9), fc.nat(0xffff)),
  flags: fc.oneof(fc.constantFrom(0, 1, 4, 8, 32, 33), fc.nat(0xffff)),
  offset: fc.oneof(fc.nat(1 << 20), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  length: fc.oneof(fc.constant(12), fc.nat(2000)),
})
const terms = fc.record({
  structuredReplies: fc.boolean(),
  extendedHeaders: fc.boolean(),
  contexts: fc.nat(3),
})

t.test(
  'whatever a session asks for, each request is answered once, and the stream stays in step',
  async (t) => {
    const memory = new MemoryTwin()
    const errors = new Set<number>()
    const property = fc.property(
      fc.array(request, { maxLength: 12 }),
      terms,
      fc.integer({ min: 1, max: 70 }),
      (requests, agreed, mouthful) => {
        const rig = new SessionRig(memory, agreed)
        rig.stream.mouthful = mouthful
        const asked = requests.filter((one) => one.command !== command.disconnect)
        const bytes = asked.map((one, index) => {
          const { extendedHeaders } = agreed
          const encode = extendedHeaders ? encodeExtendedRequest : encodeRequest
          const carries = extendedHeaders ? (one.flags & 32) !== 0 : one.command === command.write
          return Buffer.concat([
            encode({ ...one, cookie: BigInt(index) }),
            Buffer.alloc(carries ? one.length : 0, 1),
          ])
        })
        const all = Buffer.concat(bytes)
        rig.stream.deliver(all)
        rig.run((all.length / mouthful) * 2 + 60)
        for (const [, error] of rig.answers) errors.add(error)
        const cookies = rig.answers.map(([cookie]) => cookie)
        rig.end()
        return (
          rig.ended === 'over' && JSON.stringify(cookies) === JSON.stringify(asked.map((_, index) => index))
        )
      },
    )
    fc.assert(property, runs(400))
    t.same(
      [...errors].sort((a, b) => a - b),
      [0, 22, 28],
      'all kinds of answers have occurred',
    )
  },
)

t.test('whatever bytes come, a session takes them for requests or ends', async (t) => {
  const memory = new MemoryTwin()
  const property = fc.property(fc.uint8Array({ maxLength: 400 }), terms, (bytes, agreed) => {
    const rig = new SessionRig(memory, agreed)
    const { extendedHeaders } = agreed
    const first = extendedHeaders
      ? encodeExtendedRequest({ command: command.flush, cookie: 1n })
      : encodeRequest({ command: command.flush, cookie: 1n })
    rig.stream.deliver(Buffer.concat([first, bytes]))
    rig.run(40)
    rig.end()
    return rig.answers[0]?.[1] === 0
  })
  fc.assert(property, runs(400))
  t.pass('no counterexample')
})
