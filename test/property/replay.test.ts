import fc from 'fast-check'
import t from 'tap'
import { isStoreError } from '../../ts/base/errors.ts'
import { Marks } from '../../ts/log/marks.ts'
import { LogRing } from '../../ts/log/ring.ts'
import { finish } from '../support/finish.ts'
import { recover } from '../support/recover.ts'
import { MemoryTwin } from '../unit/log/memory-twin.ts'
import { pageOf, ringOf, Writer } from '../unit/log/rings.ts'
import { runs } from './runs.ts'

/** A log that went on for a while: entries that the disks contain are released, epochs rise. */
function history(first: number, pages: readonly number[]) {
  const memory = new MemoryTwin()
  const writer = new Writer(ringOf(memory), memory, 3)
  const marks = new Marks(writer.ring.memory)
  writer.ring.reset(first)
  marks.begin(3, first, true)
  const counts = new Map<number, number>()
  for (const [index, count] of pages.entries()) {
    if (index % 40 === 39) writer.epoch += 1
    while (writer.ring.place(count) < 0) writer.ring.release(writer.ring.tail + 2)
    counts.set(writer.write(count)!.sequence, count)
  }
  const contained = writer.ring.tail - 1
  // All but the last few may have been acknowledged.
  marks.acknowledge(Math.max(contained, writer.ring.head - 4))
  return {
    memory,
    ring: writer.ring,
    contained,
    counts,
    epoch: writer.epoch,
    acknowledged: marks.acknowledged,
  }
}

function problemOf(found: LogRing, counts: ReadonlyMap<number, number>): string | undefined {
  for (let sequence = found.tail; sequence < found.head; sequence += 1) {
    const count = found.pageCount(sequence)
    if (count !== counts.get(sequence)) return `entry ${sequence} was never written like this`
    for (let i = 0; i < count; i += 1)
      if (Buffer.compare(found.pageBytes(found.firstPage(sequence) + i), pageOf(sequence, i)) !== 0)
        return `page ${i} of entry ${sequence} is wrong`
  }
  return undefined
}

const fraction = fc.double({ min: 0, max: 0.999, noNaN: true })
const damage = fc.record({
  entry: fraction,
  at: fraction,
  mask: fc.integer({ min: 1, max: 255 }),
  part: fc.constantFrom('descriptor' as const, 'checksum' as const, 'page' as const),
})

/** Changes a byte of a retained entry, or of what lies in its place when it has no such part. */
function rot(
  ring: LogRing,
  { entry, at, mask, part }: typeof damage extends fc.Arbitrary<infer D> ? D : never,
): void {
  const sequence = ring.tail + Math.floor(entry * ring.entryCount)
  const pages = Math.min(64, Math.max(1, ring.pageCount(sequence)))
  const { checksumsAt, pagesAt } = ring.layout
  const page = Math.min(ring.firstPage(sequence), 256 - pages)
  const byte = (length: number) => Math.floor(at * length)
  if (part === 'descriptor') ring.descriptorBytes(sequence)[byte(64)]! ^= mask
  else if (part === 'checksum') ring.memory.bytes[checksumsAt + page * 4 + byte(pages * 4)]! ^= mask
  else ring.memory.bytes[pagesAt + page * 4096 + byte(pages * 4096)]! ^= mask
}

t.test(
  'whatever rots in a ring, recovery finds exactly what was written, or says what is damaged',
  async (t) => {
    const seen = { whole: 0, shorter: 0, damaged: 0 }
    const property = fc.property(
      fc.array(fc.oneof(fc.nat(3), fc.nat(64)), { minLength: 1, maxLength: 120, size: 'max' }),
      fc.nat(2 ** 34),
      fc.array(damage, { maxLength: 3 }),
      (pages, first, damages) => {
        const log = history(first + 1, pages)
        const { layout, memory: piece } = log.ring
        for (const one of damages) rot(log.ring, one)
        const found = new LogRing(piece, layout)
        try {
          const limits = { contained: log.contained, imageEpoch: 3, allowedEpoch: log.epoch }
          finish(recover(found, log.memory, { ...limits, marks: new Marks(piece).load() }))
        } catch (error) {
          if (!isStoreError(error, 'LOG_DAMAGED') || damages.length === 0) throw error
          seen.damaged += 1
          return
        }
        if (found.tail !== log.contained + 1) throw new Error(`it begins at ${found.tail}`)
        if (found.head <= log.acknowledged)
          throw new Error(`it ends at ${found.head}, before ${log.acknowledged}`)
        const problem = problemOf(found, log.counts)
        if (problem !== undefined) throw new Error(problem)
        if (damages.length === 0 && found.head !== log.ring.head) throw new Error('an entry is missing')
        seen[found.head === log.ring.head ? 'whole' : 'shorter'] += 1
      },
    )
    fc.assert(property, runs(250))
    t.ok(seen.whole > 20 && seen.shorter > 5 && seen.damaged > 50, JSON.stringify(seen))
  },
)
