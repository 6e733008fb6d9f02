import t from 'tap'
import { Parking } from '../../../ts/flow/parking.ts'
import { MemoryTwin } from '../log/memory-twin.ts'

t.test('places are made when first needed, used again, and bounded', async (t) => {
  const parking = new Parking(new MemoryTwin(), 2, 8192)
  const [first, second] = [parking.take()!, parking.take()!]
  t.equal(first.byteLength, 8192)
  t.not(first.address, second.address)
  t.equal(parking.take(), undefined)
  parking.giveBack(first)
  t.equal(parking.take(), first)
  t.equal(parking.take(), undefined)
})
