import t from 'tap'
import { Parking } from '../../../ts/flow/parking.ts'
import { MemoryTwin } from '../log/memory-twin.ts'

t.test('there are only so many places, and one that was given back is taken again', async (t) => {
  const parking = new Parking(new MemoryTwin(), 2, 8192)
  const places = [parking.take(), parking.take()]
  t.equal(parking.take(), undefined)
  parking.giveBack(places[0]!)
  t.equal(parking.take(), places[0])
})

t.test('what is released serves the next one, also what nobody gave back', async (t) => {
  const memory = new MemoryTwin()
  const places = new Set()
  for (let ownership = 0; ownership < 20; ownership += 1) {
    const parking = new Parking(memory, 3, 8192)
    for (let i = 0; i < 3; i += 1) places.add(parking.take())
    parking.release()
  }
  t.equal(places.size, 3)
})
