import t from 'tap'
import { logLayout, vaultByteLengthOf } from '../../../ts/format/log-ring.ts'
import { writeHeader } from '../../../ts/log/copy.ts'
import { Marks } from '../../../ts/log/marks.ts'
import {
  findHalves,
  type HalfFound,
  halfToFill,
  newestComplete,
  newestOfAny,
  vaultHalf,
} from '../../../ts/log/vault-halves.ts'
import { identity, whose } from './copies.ts'
import { MemoryTwin } from './memory-twin.ts'
import { ZoneTwin } from './zone-twin.ts'

const layout = logLayout(256)
const marks = (epoch: number, complete: boolean, acknowledged = 0): NonNullable<HalfFound> => ({
  epoch,
  complete,
  isSuspended: false,
  base: 1,
  acknowledged,
})
const suspended = (epoch: number, acknowledged = 0) => ({
  ...marks(epoch, false, acknowledged),
  isSuspended: true,
})

t.test('recovery believes the newest half that has all that was promised', async (t) => {
  t.equal(newestComplete([marks(4, true), marks(5, true)]), 1)
  t.equal(newestComplete([marks(6, true), marks(5, true)]), 0)
  t.equal(newestComplete([marks(4, true), marks(5, false)]), 0, 'the newer one was being filled')
  t.equal(newestComplete([marks(4, false), undefined]), undefined)
})

t.test('where promises went over to two memories, an older half is outlived, too', async (t) => {
  t.equal(newestComplete([marks(4, true), suspended(5)]), undefined)
  t.equal(newestComplete([marks(6, true), suspended(5)]), 0, 'a newer one counts')
  t.equal(newestOfAny([marks(4, true, 10), suspended(5, 90)]), 1, 'an operator gets what has most')
  t.equal(halfToFill([marks(4, true), suspended(5)]), 0, 'and the one that is outlived is filled')
  t.equal(halfToFill([suspended(5), marks(6, false)]), 1)
})

t.test('an operator who accepts a loss gets the half with most in it', async (t) => {
  t.equal(newestOfAny([marks(4, true, 10), marks(5, false, 90)]), 0, 'a complete one all the same')
  t.equal(newestOfAny([marks(4, false, 10), marks(5, false, 90)]), 1)
  t.equal(newestOfAny([undefined, undefined]), undefined)
})

t.test('a new owner fills the half that recovery would not need', async (t) => {
  t.equal(halfToFill([undefined, undefined]), 0)
  t.equal(halfToFill([marks(4, true), undefined]), 1)
  t.equal(halfToFill([marks(4, true), marks(5, false)]), 1, 'also when the owner before began with it')
  t.equal(halfToFill([marks(4, true), marks(5, true)]), 0)
})

t.test('a half is found with its marks if it is of this aggregate', async (t) => {
  const memory = new MemoryTwin()
  const zone = new ZoneTwin(memory, vaultByteLengthOf(layout))
  const scratch = memory.allocate(layout.descriptorsAt)
  t.same(zone.finish(findHalves(zone, layout, scratch, whose.aggregate)), [undefined, undefined])
  const ring = memory.allocate(layout.byteLength)
  writeHeader(ring, layout, whose, identity(9))
  new Marks(ring).begin(7, 1, true, 20)
  zone.bytes.set(ring.bytes, layout.byteLength)
  const found = zone.finish(findHalves(zone, layout, scratch, whose.aggregate))
  t.match(found, [undefined, { epoch: 7, complete: true, acknowledged: 20 }])
  t.same(zone.finish(findHalves(zone, layout, scratch, identity(8))), [undefined, undefined])
})

t.test('halves do not overlap, and a zone that is too small for both says what to do', async (t) => {
  const memory = new MemoryTwin()
  const zone = new ZoneTwin(memory, vaultByteLengthOf(layout))
  t.equal(vaultHalf(zone, layout, 1).byteLength, layout.byteLength)
  const small = new ZoneTwin(memory, vaultByteLengthOf(layout) - 4096)
  t.throws(() => vaultHalf(small, layout, 0), { code: 'DISK_TOO_SMALL', message: /set log_size back/ })
})
