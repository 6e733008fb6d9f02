import t from 'tap'
import { SUPERBLOCK_SLOTS, superblockSlot } from '../../../ts/format/superblock.ts'

t.test(
  'a new root never takes the place of the newest, nor does a late writer of the epoch before',
  async (t) => {
    const slots = new Set<number>()
    const clashes: string[] = []
    for (let epoch = 1; epoch < 20; epoch += 1) {
      for (let generation = 0; generation < 20; generation += 1) {
        const slot = superblockSlot(epoch, generation)
        slots.add(slot)
        if (superblockSlot(epoch, generation + 1) === slot) clashes.push(`${epoch}.${generation}: next`)
        for (let late = 0; late < 4; late += 1) {
          if (superblockSlot(epoch - 1, generation + late) === slot)
            clashes.push(`${epoch}.${generation}: late`)
        }
      }
    }
    t.same(clashes, [])
    t.same(
      [...slots].sort((a, b) => a - b),
      Array.from({ length: SUPERBLOCK_SLOTS }, (_, slot) => slot),
    )
  },
)
