import t from 'tap'
import { crc32c } from '../../../ts/base/crc32c.ts'
import { FRAME_SEALED_FROM, LINK_MAGIC, LinkFrame } from '../../../ts/format/link-frame.ts'
import { LogEntry } from '../../../ts/format/log-ring.ts'
import { Marks } from '../../../ts/log/marks.ts'
import { LogRing } from '../../../ts/log/ring.ts'
import { finish } from '../../support/finish.ts'
import { recover } from '../../support/recover.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { EPOCH, Pair } from './pair.ts'

function pair(first = 1): Pair {
  const made = new Pair(new MemoryTwin(), first)
  made.settle()
  return made
}

function write(to: Pair, ...pages: number[]): void {
  for (const count of pages) if (to.owner.writer.write(count) === undefined) throw new Error('no room')
}

const takenOver = (of: Pair, contained: number) => {
  const { memory, layout } = of.keeper.copy.ring
  const ring = new LogRing(memory, layout)
  const marks = new Marks(memory).load()
  finish(recover(ring, of.memory, { contained, imageEpoch: EPOCH, allowedEpoch: EPOCH, marks }))
  return [ring.tail, ring.head]
}

t.test('the keeper holds what the owner wrote, says so, and could take over with it', async (t) => {
  const both = pair()
  write(both, 3, 0, 64, 1)
  both.settle()
  t.same(both.differences(), [])
  t.equal(both.owner.mirror.acknowledged, 4)
  t.match(new Marks(both.keeper.copy.memory).load(), {
    epoch: EPOCH,
    complete: true,
    base: 1,
    acknowledged: 4,
  })
  t.same(takenOver(both, 0), [1, 5])
})

t.test('a copy begins at the base that the owner names, whatever it held before', async (t) => {
  const both = pair(1000)
  t.match(both.keeper.copy.marks, { base: 1000, acknowledged: 999, epoch: EPOCH })
  write(both, 1, 1)
  both.settle()
  both.owner.session.close('cut')
  both.settle()
  write(both, 5)
  both.connect()
  both.settle()
  t.same([both.owner.mirror.acknowledged, both.differences()], [1002, []])
  t.same(takenOver(both, 999), [1000, 1003])
})

t.test('released places are used again, round and round', async (t) => {
  const both = pair()
  for (let i = 0; i < 500; i += 1) {
    write(both, i % 23, 0)
    both.turn()
    if (i % 5 === 4) {
      both.settle()
      both.owner.release(both.owner.writer.ring.head - 3)
    }
  }
  both.settle()
  const { ring } = both.keeper.copy
  t.same([both.owner.ends, both.keeper.ends, both.differences()], [[], [], []])
  t.equal(ring.head, 1001)
  t.same([ring.tail, ring.pagesUsed], [both.owner.writer.ring.tail, both.owner.writer.ring.pagesUsed])
})

t.test('a release that is ahead of its entries frees them when they come', async (t) => {
  const both = pair()
  both.owner.release(3)
  write(both, 1, 1, 1, 1)
  both.settle()
  t.same([both.keeper.copy.ring.tail, both.keeper.copy.ring.head], [4, 5])
  t.match(both.keeper.keeper, { contained: 3, generation: 2 })
})

t.test('a byte that changed on its way closes the session, and nothing of the batch counts', async (t) => {
  const places = {
    descriptor: 64 + 30,
    'second descriptor': 64 + 64 + 9,
    data: 64 + 128 + 5000,
    seal: 64 + 5,
  }
  for (const [what, at] of Object.entries(places)) {
    const both = pair()
    write(both, 1)
    both.settle()
    both.streams[0].tamper = (bytes) => {
      if (bytes.length > 4096) bytes[at]! ^= 1
    }
    write(both, 1, 2)
    both.settle()
    t.equal(both.keeper.ends.length, 1, `${what}: ${both.keeper.ends[0]}`)
    t.equal(both.keeper.copy.ring.head, 2, `${what} is not taken up`)
    t.match(new Marks(both.keeper.copy.memory).load(), { acknowledged: 1 })
    t.equal(both.owner.mirror.acknowledged, 1)
    both.keeper.turn()
    t.equal(both.keeper.copy.ring.head, 2, 'nor later')
    t.ok(takenOver(both, 0)[1]! <= 3, 'a takeover finds at most the entry that came whole')
    both.connect()
    both.settle()
    t.same([both.owner.mirror.acknowledged, both.differences()], [3, []], 'the next session makes it good')
  }
})

t.test('a header that changed on its way closes the session', async (t) => {
  for (const at of [0, 5, 8, 24, 63]) {
    const both = pair()
    both.streams[0].tamper = (bytes) => bytes[at]!++
    write(both, 1)
    both.settle()
    t.match(both.keeper.ends, [/header does not check|no frame/])
    t.equal(both.keeper.copy.ring.head, 1)
  }
})

/** Frames of an owner that does not keep to the protocol, sealed as they should be. */
const mistakes: [string, RegExp, (frame: View) => void][] = [
  ['another epoch', /entries of epoch 4 came in epoch 5/, (frame) => frame.header('epoch', 4)],
  ['a gap', /entry 9 came, 1 was expected/, (frame) => frame.header('sequence', 9)],
  ['no entry', /wrong length/, (frame) => frame.header('count', 0)],
  ['more pages than came', /wrong length/, (frame) => frame.header('pageCount', 9)],
  ['pages beyond the ring', /outside of the ring/, (frame) => frame.header('firstPage', 254)],
  ['pages in another order', /pages are out of order/, (frame) => frame.header('firstPage', 20)],
  ['no magic', /no magic/, (frame) => frame.entry(0, 'magic', LINK_MAGIC)],
  ['a descriptor of another entry', /descriptor is out of order/, (frame) => frame.entry(1, 'sequence', 7)],
  ['one that is 2^32 further on', /descriptor is out of order/, (frame) => frame.entry(0, 'sequence', 1, 1)],
  ['an epoch of the future', /of a later epoch/, (frame) => frame.entry(0, 'epoch', 6)],
  ['fewer pages than it says', /do not add up/, (frame) => frame.entry(1, 'pageCount', 1)],
]

class View {
  readonly #bytes: Uint8Array
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  header(field: keyof typeof LinkFrame.at, value: number): void {
    this.#view.setUint32(LinkFrame.at[field], value, true)
    this.#seal()
  }

  entry(index: number, field: keyof typeof LogEntry.at, value: number, word = 0): void {
    this.#view.setUint32(64 + index * 64 + LogEntry.at[field] + word * 4, value, true)
  }

  #seal(): void {
    this.#view.setUint32(LinkFrame.at.seal, crc32c(this.#bytes, FRAME_SEALED_FROM, 64), true)
  }
}

for (const [what, complaint, change] of mistakes) {
  t.test(`entries with ${what} end the session`, async (t) => {
    const both = pair()
    both.streams[0].tamper = (bytes) => change(new View(bytes))
    write(both, 1, 2)
    both.settle()
    t.match(both.keeper.ends, [complaint])
    t.equal(both.keeper.copy.ring.head, 1)
    t.equal(both.owner.mirror.acknowledged, 0)
  })
}

t.test('entries before a base end the session', async (t) => {
  const both = pair()
  both.keeper.keeper.discard()
  write(both, 1)
  both.settle()
  t.match(both.keeper.ends, [/no copy was begun/])
  t.equal(both.keeper.copy.ring.head, 1)
})
