import fc from 'fast-check'
import t from 'tap'
import { MemoryTwin } from '../unit/log/memory-twin.ts'
import { pageOf, ringOf, Writer, type Written } from '../unit/log/rings.ts'
import { runs } from './runs.ts'

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ write: fc.oneof(fc.nat(64), fc.nat(3)) }) },
  { weight: 1, arbitrary: fc.record({ release: fc.double({ min: 0, max: 1, noNaN: true }) }) },
)

function problem(kept: readonly Written[], ring: Writer['ring']): string | undefined {
  const used = new Map<number, number>()
  for (const { sequence, firstPage, pageCount } of kept) {
    if (firstPage + pageCount > 256) return `entry ${sequence} runs over the end`
    if (ring.claimedSequence(sequence) !== sequence) return `the descriptor of ${sequence} was overwritten`
    for (let page = firstPage; page < firstPage + pageCount; page += 1) {
      const other = used.get(page)
      if (other !== undefined) return `page ${page} belongs to ${other} and to ${sequence}`
      used.set(page, sequence)
    }
    const last = pageCount - 1
    if (last >= 0 && Buffer.compare(ring.pageBytes(firstPage + last), pageOf(sequence, last)) !== 0)
      return `the data of ${sequence} was overwritten`
  }
  if (ring.entryCount !== kept.length) return `${ring.entryCount} entries are kept, not ${kept.length}`
  if (ring.pagesUsed < used.size || ring.pagesUsed > 255) return `${ring.pagesUsed} pages are in use`
  return ring.fill < 0 || ring.fill > 1 ? `the fill is ${ring.fill}` : undefined
}

t.test('the retained entries of a ring never share a page, however it is filled and released', async (t) => {
  let refused = 0
  let wraps = 0
  const property = fc.property(
    fc.array(step, { minLength: 40, maxLength: 150, size: 'max' }),
    fc.nat(2 ** 33),
    (steps, first) => {
      const memory = new MemoryTwin()
      const writer = new Writer(ringOf(memory), memory)
      writer.ring.reset(first + 1)
      let kept: Written[] = []
      for (const action of steps) {
        if ('write' in action) {
          const written = writer.write(action.write)
          if (written === undefined) refused += 1
          else if (written.firstPage < (kept.at(-1)?.firstPage ?? 0)) wraps += 1
          if (written !== undefined) kept.push(written)
          else if (kept.length === 0) throw new Error(`${action.write} pages do not fit into an empty ring`)
        } else if (kept.length > 0) {
          const count = Math.ceil(action.release * kept.length)
          if (count > 0) writer.ring.release(kept[count - 1]!.sequence)
          kept = kept.slice(count)
        }
        const mistake = problem(kept, writer.ring)
        if (mistake !== undefined) throw new Error(mistake)
      }
    },
  )
  fc.assert(property, runs(60))
  t.ok(refused > 10 && wraps > 10, `full rings (${refused}) and wraps (${wraps}) have occurred`)
})
