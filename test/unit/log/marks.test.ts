import t from 'tap'
import { LOG_MARKS_MAGIC, LOG_RING_VERSION, LogMarks, MARKS_AT } from '../../../ts/format/log-ring.ts'
import { Marks, sealedMarks } from '../../../ts/log/marks.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import { MemoryTwin } from './memory-twin.ts'

const fresh = () => new MemoryTwin().allocate(3 * 4096)
const loaded = (memory: Memory) => new Marks(memory).load()

t.test('marks are found as they were left', async (t) => {
  const memory = fresh()
  t.equal(loaded(memory), undefined, 'blank memory has none')
  const marks = new Marks(memory)
  marks.begin(4, 2 ** 40, false)
  t.same(loaded(memory), { epoch: 4, complete: false, base: 2 ** 40, acknowledged: 2 ** 40 - 1 })
  marks.setComplete(true)
  marks.acknowledge(2 ** 40 + 9)
  t.same(loaded(memory), { epoch: 4, complete: true, base: 2 ** 40, acknowledged: 2 ** 40 + 9 })
  marks.begin(5, 7, true, 90)
  t.same(loaded(memory), { epoch: 5, complete: true, base: 7, acknowledged: 90 })
})

t.test('acknowledgements never go back', async (t) => {
  const memory = fresh()
  const marks = new Marks(memory)
  marks.begin(1, 1, true)
  marks.acknowledge(9)
  const before = memory.bytes.slice()
  marks.acknowledge(9)
  marks.acknowledge(3)
  t.equal(marks.acknowledged, 9)
  t.same(memory.bytes, before, 'and nothing is written for them')
})

t.test('a kill in the middle of any write leaves the marks of before or of after', async (t) => {
  const actions: [string, (marks: Marks) => void][] = [
    ['acknowledge', (marks) => marks.acknowledge(100)],
    ['acknowledge', (marks) => marks.acknowledge(101)],
    ['complete', (marks) => marks.setComplete(false)],
    ['begin', (marks) => marks.begin(2, 50, true, 101)],
    ['acknowledge', (marks) => marks.acknowledge(102)],
    ['begin', (marks) => marks.begin(3, 60, true, 102)],
    ['begin', (marks) => marks.begin(4, 60, false)],
  ]
  const memory = fresh()
  const marks = new Marks(memory)
  marks.begin(1, 1, true)
  for (const [index, [name, act]] of actions.entries()) {
    const before = memory.bytes.slice()
    const foundBefore = loaded(memory)
    act(marks)
    const foundAfter = loaded(memory)
    t.not(JSON.stringify(foundBefore), JSON.stringify(foundAfter), `${name} ${index} changes something`)
    const broken = prefixes(before, memory.bytes).filter((torn) => {
      const found = JSON.stringify(loaded(torn))
      return found !== JSON.stringify(foundBefore) && found !== JSON.stringify(foundAfter)
    })
    t.equal(broken.length, 0, `${name} ${index}`)
  }
})

/** What a kill can leave of the second of two states: one place first, then the other, word by word. */
function prefixes(before: Uint8Array, after: Uint8Array): Memory[] {
  const torn: Memory[] = []
  const changed = MARKS_AT.filter((at) => Buffer.compare(cut(before, at), cut(after, at)) !== 0)
  const sorted = changed.sort((a, b) => counterOf(after, a) - counterOf(after, b))
  for (const [nth, place] of sorted.entries()) {
    for (let length = 0; length <= LogMarks.byteLength; length += 4) {
      const memory = fresh()
      memory.bytes.set(before)
      if (nth > 0) memory.bytes.set(cut(after, sorted[0]!), sorted[0]!)
      memory.bytes.set(cut(after, place).subarray(0, length), place)
      torn.push(memory)
    }
  }
  return torn
}

const cut = (bytes: Uint8Array, at: number) => bytes.subarray(at, at + LogMarks.byteLength)
const counterOf = (bytes: Uint8Array, at: number) => LogMarks.decode(bytes, at).counter

t.test('if one place is damaged the other counts, if both are there are none', async (t) => {
  const memory = fresh()
  const marks = new Marks(memory)
  marks.begin(1, 1, true)
  marks.acknowledge(5)
  marks.acknowledge(6)
  const newest = MARKS_AT.find((at) => LogMarks.decode(memory.bytes, at).acknowledged === 6)!
  memory.bytes[newest + LogMarks.at.acknowledged]! ^= 1
  t.match(loaded(memory), { acknowledged: 5 })
  for (const at of MARKS_AT) memory.bytes[at + 63] = 1
  t.equal(loaded(memory), undefined)
})

t.test('the next write spares the newest, wherever that lies', async (t) => {
  for (const place of MARKS_AT) {
    const memory = fresh()
    memory.bytes.set(markBytes({ counter: 8, acknowledged: 30 }), place)
    const marks = new Marks(memory)
    marks.load()
    marks.acknowledge(31)
    t.equal(LogMarks.decode(memory.bytes, place).acknowledged, 30)
    t.match(loaded(memory), { acknowledged: 31 })
  }
})

t.test('a counter that runs over is newer, and a new epoch counts afresh', async (t) => {
  const memory = fresh()
  memory.bytes.set(markBytes({ counter: 0xffff_ffff, acknowledged: 30 }), MARKS_AT[0])
  memory.bytes.set(markBytes({ counter: 0xffff_fffe, acknowledged: 29 }), MARKS_AT[1])
  const marks = new Marks(memory)
  t.match(marks.load(), { acknowledged: 30 })
  marks.acknowledge(31)
  t.match(loaded(memory), { acknowledged: 31 })
  marks.acknowledge(32)
  t.match(loaded(memory), { acknowledged: 32 })
  memory.bytes.set(markBytes({ counter: 0xffff_fff0, acknowledged: 3, epoch: 2 }), MARKS_AT[0])
  t.match(loaded(memory), { acknowledged: 3, epoch: 2 })
})

function markBytes(values: { counter: number; acknowledged: number; epoch?: number }): Uint8Array {
  return sealedMarks({
    magic: LOG_MARKS_MAGIC,
    version: LOG_RING_VERSION,
    seal: 0,
    epoch: 1,
    complete: 1,
    base: 1,
    rest: new Uint8Array(24),
    ...values,
  })
}
