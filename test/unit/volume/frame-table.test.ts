import t from 'tap'
import { FrameTable, NO_FRAME } from '../../../ts/volume/frame-table.ts'
import { SeededRandom } from '../../support/memory-world.ts'

t.test('the table of frames agrees with a map after any insertions and removals', async (t) => {
  const random = new SeededRandom(8)
  const table = new FrameTable(64)
  const model = new Map<number, number>()
  const free = Array.from({ length: 64 }, (_, frame) => frame)
  let wrong = 0
  for (let step = 0; step < 20_000; step += 1) {
    const physical = random.below(4) * 0x4000_0000 + random.below(80)
    const there = model.get(physical)
    if (table.find(physical) !== (there ?? NO_FRAME)) wrong += 1
    if (there !== undefined) {
      table.remove(there)
      model.delete(physical)
      free.push(there)
    } else if (free.length > 0) {
      const frame = free.pop()!
      table.insert(physical, frame)
      model.set(physical, frame)
    }
  }
  t.equal(wrong, 0)
})
