import t from 'tap'
import {
  ENTRY_SEALED_BYTES,
  ENTRY_SEALED_FROM,
  EntryKind,
  entryKindNames,
  LogEntry,
  LogMarks,
  LogRingHeader,
  logLayout,
  MARKS_AT,
} from '../../../ts/format/log-ring.ts'

t.test('the parts of a ring do not overlap and begin on pages', async (t) => {
  for (const pageCount of [256, 1024, 65_536, 2 ** 19]) {
    const layout = logLayout(pageCount)
    const parts = [
      [0, LogRingHeader.byteLength],
      ...MARKS_AT.map((at) => [at, at + LogMarks.byteLength]),
      [layout.descriptorsAt, layout.descriptorsAt + layout.descriptorCount * LogEntry.byteLength],
      [layout.checksumsAt, layout.checksumsAt + pageCount * 4],
      [layout.pagesAt, layout.pagesAt + pageCount * 4096],
    ] as const
    for (const [index, [from, to]] of parts.entries()) {
      t.equal(from! % 4096, 0, `part ${index} of ${pageCount} begins on a page`)
      t.ok(to! <= (parts[index + 1]?.[0] ?? layout.byteLength), `part ${index} of ${pageCount} ends in time`)
    }
    t.equal(layout.descriptorCount, pageCount)
    t.equal(layout.byteLength, parts.at(-1)![1])
  }
})

t.test('a ring whose size is no power of two, or too small, is our bug', async (t) => {
  for (const pageCount of [0, 128, 255, 300, 1000]) t.throws(() => logLayout(pageCount), /2\^n pages/)
})

t.test('the largest ring fits into one mapping', async (t) => {
  t.ok(logLayout(2 ** 19).byteLength < 2 ** 32)
})

t.test('the seal covers everything behind it', async (t) => {
  t.equal(ENTRY_SEALED_FROM, LogEntry.at.seal + 4)
  t.equal(ENTRY_SEALED_FROM + ENTRY_SEALED_BYTES, LogEntry.byteLength)
})

t.test('every kind of entry has a name', async (t) => {
  t.same(
    Object.values(EntryKind).filter((kind) => entryKindNames[kind] === undefined),
    [],
  )
  t.equal(Object.keys(entryKindNames).length, Object.keys(EntryKind).length)
})
