import t from 'tap'
import { MIB } from '../../../ts/base/units.ts'
import { readSuperblocks, writeSuperblock } from '../../../ts/disk/superblock.ts'
import { PLEX_FILLING, superblockSlot } from '../../../ts/format/superblock.ts'
import { wholeImage } from '../../../ts/volume/whole-image.ts'
import { withAdded } from '../../support/added-disks.ts'
import { settings } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'
import { makePlexes, openDisksOf } from '../../support/mirror-world.ts'

/** Plex 1 on two disks, as `look` sees it; `write` writes a superblock to some of them. */
function mirror() {
  const world = new MemoryWorld()
  const [, disks] = makePlexes(world, [16 * MIB, 16 * MIB])
  const copies = (): MemoryDisk[] => disks.map((disk) => disk.copy())
  const found = world.run(readSuperblocks(openDisksOf(world, 1, copies()), 0, world.memory)).newest!
  const write = (which: readonly MemoryDisk[], change: Partial<typeof found>): void => {
    const values = { ...found, ...change }
    const slot = superblockSlot(values.epoch, values.generation)
    const opened = openDisksOf(world, 1, disks).filter(({ disk }) =>
      which.some(({ path }) => path === disk.path),
    )
    world.run(writeSuperblock(opened, { ...values, slot }, world.memory))
  }
  const look = (list: readonly MemoryDisk[] = disks) => {
    const open = (path: string): MemoryDisk => list.find((each) => each.path === path)!.copy()
    const parts = { memory: world.memory, disks: { open } } as Parameters<typeof wholeImage>[0]
    const paths = list.map(({ path }) => path)
    return world.run(wholeImage(parts, 1, paths, settings))
  }
  return { world, disks, write, look }
}

t.test('the newest image of a plex is found, if each of its disks has it or the one before', async (t) => {
  const { disks, write, look } = mirror()
  write(disks, { epoch: 3, generation: 7 })
  write(disks.slice(0, 1), { epoch: 3, generation: 8 })
  t.match(look(), { epoch: 3, generation: 8 })
  write(disks.slice(0, 1), { epoch: 4, generation: 9 })
  t.throws(() => look(), { code: 'IMAGE_UNREADABLE', message: /mirror1: it lacks generation 9 of its plex/ })
})

t.test('one that a resync was filling is none, however few of its disks say so', async (t) => {
  const { disks, write, look } = mirror()
  write(disks, { epoch: 3, generation: 7 })
  write(disks.slice(1), { epoch: 3, generation: 8, plex1: PLEX_FILLING })
  t.throws(() => look(), { code: 'IMAGE_UNREADABLE', message: /a resync was filling it, and has not ended/ })
})

t.test('nor is one that was formatted, and never in use', async (t) => {
  t.throws(() => mirror().look(), {
    code: 'IMAGE_UNREADABLE',
    message: /its image is empty, and was never in use/,
  })
})

t.test('a disk that was added since lacks nothing', async (t) => {
  const { world, disks, write, look } = mirror()
  write(disks, { epoch: 3, generation: 7 })
  const longer = withAdded(world, 1, disks, 16 * MIB)
  t.match(look(longer), { epoch: 3, generation: 7 })
  write(disks, { epoch: 3, generation: 8, blockCount: 12 })
  t.throws(() => look(longer), { code: 'IMAGE_UNREADABLE', message: /correct the list of disks/ })
})
