import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { LogEntry } from '../../../ts/format/log-ring.ts'
import type { MarksFound } from '../../../ts/log/marks.ts'
import { decide, type ReplayLimits, replayCases } from '../../../ts/log/replay.ts'
import { LogRing } from '../../../ts/log/ring.ts'
import { finish } from '../../support/finish.ts'
import { recover } from '../../support/recover.ts'
import { MemoryTwin } from './memory-twin.ts'
import { pageOf, ringOf, Writer } from './rings.ts'

const both = [true, false]

t.test('every combination matches exactly one row of the table', async (t) => {
  const used = new Set<string>()
  for (const whole of both)
    for (const epochFits of both)
      for (const dataGood of both)
        for (const mayBeAcknowledged of both) {
          const is = { whole, epochFits, dataGood, mayBeAcknowledged }
          const rows = replayCases.filter((row) =>
            Object.entries(is).every(([key, value]) => {
              const wanted = row[key as keyof typeof is]
              return wanted === 'any' || wanted === value
            }),
          )
          t.equal(rows.length, 1, JSON.stringify(is))
          used.add(rows[0]!.name)
          t.equal(decide(whole, epochFits, dataGood, mayBeAcknowledged), rows[0]!.decision)
        }
  t.same(
    replayCases.map(({ name }) => name).filter((name) => !used.has(name)),
    [],
    'every row is needed',
  )
})

t.test(
  'only a whole entry with good data is applied; what may be acknowledged is never the end',
  async (t) => {
    for (const { whole, epochFits, dataGood, mayBeAcknowledged, decision } of replayCases) {
      if (decision === 'apply') t.same([whole, epochFits, dataGood], [true, true, true])
      if (decision === 'end') t.equal(mayBeAcknowledged, false)
    }
  },
)

/** Ten entries, acknowledged through the seventh; the disks contain the second. */
class Image {
  readonly memory = new MemoryTwin()
  readonly writer = new Writer(ringOf(this.memory), this.memory, 5)
  marks: MarksFound | undefined = { epoch: 5, complete: true, base: 1, acknowledged: 7 }

  constructor(pages: readonly number[] = [3, 1, 2, 0, 5, 1, 2, 4, 0, 1]) {
    for (const count of pages) this.writer.write(count)
  }

  recover(limits: Partial<ReplayLimits> = {}): LogRing {
    const ring = new LogRing(this.writer.ring.memory, this.writer.ring.layout)
    finish(
      recover(ring, this.memory, {
        contained: 2,
        imageEpoch: 5,
        allowedEpoch: 6,
        marks: this.marks,
        ...limits,
      }),
    )
    return ring
  }

  damaged(limits: Partial<ReplayLimits> = {}): string {
    try {
      this.recover(limits)
    } catch (error) {
      if (isStoreError(error, 'LOG_DAMAGED')) return error.message
      throw error
    }
    return 'nothing was found'
  }
}

const kept = ({ tail, head }: LogRing) => [tail, head]

t.test('a clean log is taken as it is, and can be written on', async (t) => {
  const image = new Image()
  const ring = image.recover()
  t.same(kept(ring), [3, 11])
  t.equal(ring.pagesUsed, 15)
  t.equal(ring.place(3), image.writer.ring.place(3))
  const next = new Writer(ring, image.memory, 6).write(3)!
  t.equal(next.sequence, 11)
  t.same(kept(image.recover()), [3, 12], 'entries of the next epoch follow those of this one')
})

t.test('what the disks contain is not applied again, and nothing is left if they contain all', async (t) => {
  for (const contained of [0, 1, 9, 10])
    t.same(kept(new Image().recover({ contained })), [contained + 1, 11], `contained ${contained}`)
})

t.test('recovering twice finds the same', async (t) => {
  const image = new Image()
  t.same(kept(image.recover()), [3, 11])
  t.same(kept(image.recover()), [3, 11])
})

t.test('the end of the log is where an entry beyond the acknowledged ones is torn', async (t) => {
  const image = new Image()
  image.writer.ring.descriptorBytes(9)[40]! ^= 1
  const ring = image.recover()
  t.same(kept(ring), [3, 9])
  t.equal(ring.magic(9), 0, 'nothing behind the end can be taken for an entry later')
  t.equal(ring.magic(10), 0)
})

t.test('a torn entry whose data never came ends the log, too', async (t) => {
  const image = new Image()
  image.writer.ring.pageBytes(image.writer.ring.firstPage(8) + 3).fill(0)
  t.same(kept(image.recover()), [3, 8])
})

t.test('an acknowledged entry that does not check is damage, by its number', async (t) => {
  const ways: [string, (image: Image) => void][] = [
    ['descriptor', ({ writer }) => writer.ring.descriptorBytes(5).fill(0)],
    ['data', ({ writer }) => writer.ring.pageBytes(writer.ring.firstPage(5) + 4).fill(1, 4095)],
    [
      'checksum',
      ({ writer, memory }) => memory.at(writer.ring.checksumAddress(writer.ring.firstPage(5)), 1)[0]!++,
    ],
  ]
  for (const [name, damage] of ways) {
    const image = new Image()
    damage(image)
    t.match(image.damaged(), /^log entry 5 does not check.*acknowledged through 7/, name)
  }
})

t.test('entries of a dead branch are not applied', async (t) => {
  const image = new Image()
  t.same(kept(image.recover({ imageEpoch: 6, marks: undefined })), [3, 3], 'older than the image')
  t.same(kept(image.recover({ allowedEpoch: 4, imageEpoch: 4, marks: undefined })), [3, 3], 'too new')
  t.match(image.damaged({ imageEpoch: 6 }), /log entry 3/, 'unless they may have been acknowledged')
})

t.test('an epoch never goes back within a log', async (t) => {
  const image = new Image([1, 1, 1])
  image.writer.epoch = 6
  image.writer.write(1)
  image.writer.epoch = 5
  image.writer.write(1)
  image.marks = { epoch: 6, complete: true, base: 1, acknowledged: 4 }
  t.same(kept(image.recover()), [3, 5])
})

t.test('what an earlier round of the ring left behind is no entry', async (t) => {
  const image = new Image()
  const { writer } = image
  const total = 256 * 3 + 20
  for (let sequence = 11; sequence <= total; sequence += 1) {
    writer.write(1)
    writer.ring.release(sequence - 5)
  }
  image.marks = { epoch: 5, complete: true, base: 1, acknowledged: total }
  t.same(kept(image.recover({ contained: total - 5 })), [total - 4, total + 1])
})

t.test('a full ring is recovered whole', async (t) => {
  const image = new Image([])
  let written = 0
  while (image.writer.write(0) !== undefined) written += 1
  image.marks = { epoch: 5, complete: true, base: 1, acknowledged: written }
  t.same(kept(image.recover({ contained: 0 })), [1, written + 1])
})

t.test('a copy that begins after what the disks contain has a gap', async (t) => {
  const image = new Image()
  image.marks = { epoch: 5, complete: true, base: 4, acknowledged: 7 }
  t.match(image.damaged(), /begins at entry 4, but the disks only contain entries up to 2/)
  t.same(kept(image.recover({ contained: 3 })), [4, 11])
  image.marks = { epoch: 5, complete: true, base: 4, acknowledged: 3 }
  t.match(image.damaged(), /log entry 3/, 'an entry that this copy never had is not skipped')
})

t.test('with both marks damaged, a later whole entry shows that an earlier one had been there', async (t) => {
  const image = new Image()
  image.marks = undefined
  t.same(kept(image.recover()), [3, 11])
  image.writer.ring.pageBytes(image.writer.ring.firstPage(5)).fill(9)
  t.match(image.damaged(), /log entry 5 does not check.*later entries are whole/)
  const torn = new Image()
  torn.marks = undefined
  torn.writer.ring.descriptorBytes(10)[30]! ^= 4
  t.same(kept(torn.recover()), [3, 10])
})

/** What the ring holds after recovery, if recovery let it through. */
function wrongEntries(ring: LogRing, pages: readonly number[]): number[] {
  const wrong: number[] = []
  for (let sequence = ring.tail; sequence < ring.head; sequence += 1) {
    const count = ring.pageCount(sequence)
    const good = Array.from({ length: count }, (_, i) => i).every(
      (i) => Buffer.compare(ring.pageBytes(ring.firstPage(sequence) + i), pageOf(sequence, i)) === 0,
    )
    const decoded = LogEntry.decode(ring.descriptorBytes(sequence))
    const isRight = decoded.volume === 7 && decoded.epoch === 5 && decoded.length === count * 4096
    if (!good || !isRight || count !== pages[sequence - 1]) wrong.push(sequence)
  }
  return wrong
}

t.test(
  'a flip of any byte of a descriptor or checksum is damage or a torn end, never wrong data',
  async (t) => {
    const pages = [1, 1, 2, 0, 3, 1]
    const marks = { epoch: 5, complete: true, base: 1, acknowledged: 4 }
    const outcomes = { damage: 0, end: 0 }
    const places: [number, number, number][] = []
    const { ring } = new Image(pages).writer
    for (const sequence of [3, 4, 5, 6]) {
      const from = ring.layout.descriptorsAt + sequence * 64
      const checksums = ring.layout.checksumsAt + ring.firstPage(sequence) * 4
      for (let at = 0; at < 64; at += 1) places.push([sequence, from + at, 0])
      for (let at = 0; at < pages[sequence - 1]! * 4; at += 1) places.push([sequence, checksums + at, 0])
    }
    const problems: string[] = []
    for (const [sequence, at] of places) {
      for (const mask of [1, 0x80, 0xff]) {
        const image = new Image(pages)
        image.marks = marks
        image.writer.ring.memory.bytes[at]! ^= mask
        const where = `entry ${sequence}, byte ${at}, mask ${mask}`
        const message = image.damaged()
        if (sequence <= 4) {
          outcomes.damage += 1
          if (!message.startsWith(`log entry ${sequence} `)) problems.push(`${where}: ${message}`)
        } else {
          outcomes.end += 1
          const found = message === 'nothing was found' ? image.recover() : undefined
          if (found?.head !== sequence) problems.push(`${where}: ${message}, head ${found?.head}`)
          else if (wrongEntries(found, pages).length > 0) problems.push(`${where}: wrong data`)
        }
      }
    }
    t.same(problems.slice(0, 5), [])
    t.ok(outcomes.damage > 300 && outcomes.end > 300, 'both sides of the marks were tried')
  },
)

t.test('a flip anywhere in the data is noticed', async (t) => {
  const pages = [1, 1, 2, 1]
  const missed: number[] = []
  const base = new Image(pages)
  base.marks = { epoch: 5, complete: true, base: 1, acknowledged: 4 }
  const { ring } = base.writer
  const from = ring.layout.pagesAt + ring.firstPage(3) * 4096
  for (let at = from; at < from + 3 * 4096; at += 61) {
    ring.memory.bytes[at]! ^= 16
    const entry = at < from + 2 * 4096 ? 3 : 4
    if (!base.damaged().startsWith(`log entry ${entry} `)) missed.push(at - from)
    ring.memory.bytes[at]! ^= 16
  }
  t.same(missed, [])
  t.same(kept(base.recover()), [3, 5])
})

t.test('the first entry that does not check is found wherever it lies in a long log', async (t) => {
  const pages = Array.from({ length: 240 }, (_, index) => [0, 1, 0, 2, 0, 0][index % 6]!)
  for (const bad of [2, 63, 64, 65, 66, 100, 129, 131, 200, 239]) {
    const image = new Image(pages)
    image.marks = { epoch: 5, complete: true, base: 1, acknowledged: 1 }
    const { ring } = image.writer
    const page = ring.firstPage(bad)
    if (ring.pageCount(bad) > 0) ring.pageBytes(page)[77]! ^= 1
    else ring.descriptorBytes(bad)[40]! ^= 1
    t.same(kept(image.recover({ contained: 0 })), [1, bad], `entry ${bad} is where the log ends`)
  }
  for (const bad of [64, 131]) {
    const image = new Image(pages)
    image.marks = { epoch: 5, complete: true, base: 1, acknowledged: 200 }
    image.writer.ring.descriptorBytes(bad)[40]! ^= 1
    t.match(image.damaged({ contained: 0 }), new RegExp(`log entry ${bad} `))
  }
})

t.test('others have their turns while a long log is recovered, and see the ring as it was', async (t) => {
  const memory = new MemoryTwin()
  const writer = new Writer(ringOf(memory, 8192), memory, 5)
  for (let i = 0; i < 8000; i += 1) writer.write(i % 100 === 0 ? 20 : 0)
  const ring = new LogRing(writer.ring.memory, writer.ring.layout)
  const limits = { contained: 0, imageEpoch: 5, allowedEpoch: 5, marks: undefined }
  const procedure = recover(ring, memory, limits)
  let turns = 0
  for (let step = procedure.next(); !step.done; step = procedure.next()) {
    turns += 1
    if (step.value !== 'again') t.fail('it waits for nothing')
    t.same([...kept(ring), ring.pagesUsed], [1, 1, 0])
  }
  t.ok(turns >= 4, `${turns} turns`)
  t.same([...kept(ring), ring.pagesUsed], [1, 8001, 1600])
})

t.test('a ring that held something else is empty when nothing is found', async (t) => {
  const image = new Image()
  const { ring } = image.writer
  finish(recover(ring, image.memory, { contained: 500, imageEpoch: 6, allowedEpoch: 6, marks: undefined }))
  t.same([...kept(ring), ring.pagesUsed], [501, 501, 0])
})
