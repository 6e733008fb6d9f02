import fc from 'fast-check'
import t from 'tap'
import { crc32c } from '../../ts/base/crc32c.ts'
import { FRAME_SEALED_FROM, FrameKind, LinkFrame } from '../../ts/format/link-frame.ts'
import { SEQUENCE_MAX } from '../../ts/format/log-ring.ts'
import { FRAME_BYTES, FrameReader } from '../../ts/partner/frame.ts'
import { MemoryTwin } from '../unit/log/memory-twin.ts'
import { Pair } from '../unit/partner/pair.ts'
import { runs } from './runs.ts'

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('write' as const), amount: fc.nat(40) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('turn' as const), amount: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), amount: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), amount: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('mouthful' as const), amount: fc.nat(50_000) }) },
)

interface Step {
  kind: 'write' | 'turn' | 'release' | 'cut' | 'mouthful'
  amount: number
}

function act(pair: Pair, { kind, amount }: Step): void {
  const { owner, keeper } = pair
  switch (kind) {
    case 'write':
      owner.writer.write(amount)
      return
    case 'turn':
      for (let i = 0; i < amount; i += 1) pair.turn()
      return
    case 'release': {
      const { ring } = owner.writer
      owner.release(ring.tail - 1 + Math.floor((ring.entryCount * amount) / 100))
      return
    }
    case 'mouthful':
      for (const stream of pair.streams) stream.mouthful = amount + 1
      return
    case 'cut':
      owner.session.close('cut')
      keeper.session.close('cut')
      for (let i = 0; i < 5; i += 1) pair.turn()
      pair.connect()
  }
}

t.test('after any history of writes, releases and cuts both rings hold the same bytes', async (t) => {
  const seen = { entries: 0, wraps: 0 }
  const steps = fc.array(step, { minLength: 20, maxLength: 150, size: 'max' })
  const property = fc.property(steps, fc.nat(2 ** 34), (all, first) => {
    const pair = new Pair(new MemoryTwin(), first + 1)
    for (const one of all) act(pair, one)
    for (const stream of pair.streams) stream.mouthful = Number.POSITIVE_INFINITY
    pair.settle()
    const { owner, keeper } = pair
    const complaints = [...owner.ends, ...keeper.ends].filter((reason) => reason !== 'cut')
    if (complaints.length > 0) throw new Error(complaints[0])
    const differences = pair.differences()
    if (differences.length > 0) throw new Error(differences[0])
    const last = owner.writer.ring.head - 1
    if (owner.mirror.acknowledged !== last)
      throw new Error(`acknowledged ${owner.mirror.acknowledged} of ${last}`)
    if (keeper.copy.marks.acknowledged !== last) throw new Error('the marks lag behind')
    seen.entries += last - first
    if (last - first > 0 && owner.writer.ring.firstPage(last) < 100) seen.wraps += 1
  })
  fc.assert(property, runs(80))
  t.ok(seen.entries > 1000 && seen.wraps > 5, JSON.stringify(seen))
})

const KIND_MAX = Math.max(...Object.values(FrameKind))

t.test('whatever comes in place of a frame header, reading it never throws', async (t) => {
  const reader = new FrameReader()
  const header = fc.uint8Array({ minLength: FRAME_BYTES, maxLength: FRAME_BYTES, size: 'max' })
  const verdicts = { good: 0, bad: 0 }
  const property = fc.property(header, fc.boolean(), fc.nat(KIND_MAX + 1), (random, isSealed, kind) => {
    const bytes = new Uint8Array(random)
    const view = new DataView(bytes.buffer)
    if (isSealed) {
      view.setUint32(LinkFrame.at.magic, 0x4b58_4c50, true)
      view.setUint16(LinkFrame.at.kind, kind, true)
      view.setUint16(LinkFrame.at.version, 1 + (bytes[50]! & 1), true)
      if (bytes[51]! > 60) view.setUint32(LinkFrame.at.payloadByteLength, bytes[52]! * 4096, true)
      // of the numbers that have 64 bits, most are too large
      if (bytes[53]! > 60) view.setUint16(LinkFrame.at.sequence + 6, 0, true)
      view.setUint32(LinkFrame.at.seal, crc32c(bytes, FRAME_SEALED_FROM), true)
    }
    const mistake = reader.read(bytes, view, 0)
    verdicts[mistake === undefined ? 'good' : 'bad'] += 1
    return (
      mistake !== undefined ||
      (reader.payloadByteLength <= 1024 * 1024 &&
        reader.sequence <= SEQUENCE_MAX &&
        reader.kind >= 1 &&
        reader.kind <= KIND_MAX)
    )
  })
  fc.assert(property, runs(5000))
  // of the 5000 of a test, or of as many as a fuzz asks for
  const all = verdicts.good + verdicts.bad
  t.ok(verdicts.good > 0.06 * all && verdicts.bad > 0.2 * all, JSON.stringify(verdicts))
})

t.test(
  'whatever bytes change on the way, the keeper never holds an entry that the owner did not write',
  async (t) => {
    const change = fc.record({ at: fc.nat(200_000), mask: fc.integer({ min: 1, max: 255 }) })
    const seen = { closed: 0 }
    const property = fc.property(
      fc.array(fc.nat(20), { minLength: 3, maxLength: 30 }),
      change,
      (writes, { at, mask }) => {
        const pair = new Pair(new MemoryTwin())
        let passed = 0
        pair.streams[0].tamper = (bytes) => {
          if (at >= passed && at < passed + bytes.length) bytes[at - passed]! ^= mask
          passed += bytes.length
        }
        for (const [index, pages] of writes.entries()) {
          pair.owner.writer.write(pages)
          if (index % 3 === 0) pair.turn()
        }
        pair.settle()
        const [own, kept] = [pair.owner.writer.ring, pair.keeper.copy.ring]
        const differences = pair.differences().filter((text) => Number(text.split(' ').at(-1)) < kept.head)
        if (differences.length > 0) throw new Error(differences[0])
        if (pair.owner.mirror.acknowledged > kept.head - 1)
          throw new Error('an entry was acknowledged that is not there')
        if (at < passed && kept.head === own.head && passed < 200_000 && pair.keeper.ends.length === 0)
          throw new Error(`nobody noticed byte ${at}`)
        seen.closed += pair.keeper.ends.length
      },
    )
    fc.assert(property, runs(150))
    t.ok(seen.closed > 20, `${seen.closed} sessions were closed`)
  },
)
