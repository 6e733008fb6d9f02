import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import type { Copy } from '../../../ts/plex/copies.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { type Damage, TreeWalk, type WalkedBlock, type WalkedPlexes } from '../../../ts/volume/walk.ts'
import { ChangeLog, stamp } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'
import { makePlexes, openMirror, placeOf, reachedBlocks } from '../../support/mirror-world.ts'

const COUNT = 600

interface Setting {
  readonly world: MemoryWorld
  readonly plexes: [MemoryDisk[], MemoryDisk[]]
  readonly image: Image
  readonly volume: number
  /** what the volume's tree has */
  readonly reached: readonly WalkedBlock[]
}

/** A volume of three leaves on two plexes. */
function setting(): Setting {
  const world = new MemoryWorld()
  const plexes = makePlexes(world)
  const image = openMirror(world, plexes)
  const log = new ChangeLog(world, image)
  const volume = log.create('vol0', 4 * MIB)
  log.writeRun(volume, 0, COUNT, 1)
  log.commit()
  return { world, plexes, image, volume, reached: reachedBlocks(world, image, image.directory.list()) }
}

/** What a walk over the volume says, and the blocks of data that it gives out as good. */
function walk({ world, image, volume }: Setting, plexes: Omit<WalkedPlexes, 'copies'> = {}) {
  const told: string[] = []
  const data: number[] = []
  let entered = 0
  const expected = new Uint8Array(BLOCK_SIZE)
  const visitor = {
    enter: () => {
      entered += 1
      return true
    },
    damaged: ({ level, firstBlock }: WalkedBlock, why: Damage) =>
      told.push(`${firstBlock} (level ${level}) damaged: ${why}`),
    copyDamaged: ({ level, firstBlock }: WalkedBlock, { plex }: Copy, why: Damage) =>
      told.push(`${firstBlock} (level ${level}) on plex ${plex}: ${why}`),
    data: ({ firstBlock }: WalkedBlock, { bytes }: { bytes: Uint8Array }, from: number) => {
      stamp(expected, volume, firstBlock, 1)
      if (Buffer.compare(bytes.subarray(from, from + BLOCK_SIZE), expected) === 0) data.push(firstBlock)
    },
  }
  const pass = new TreeWalk(image.plex, world.memory, visitor, { copies: image.copies, ...plexes })
  const { root, height } = image.directory.get(volume)!
  world.run(pass.run(root, height))
  pass.close()
  return { told, data: data.length, entered }
}

/** Where a plex has a block of the volume, or the pointers of a level above it. */
function places({ image, plexes, reached }: Setting, plex: number, block: number, level = 0) {
  const { physical } = reached.find((each) => each.level === level && each.firstBlock === block)!
  const { index, at } = placeOf(image, physical)
  return { disk: plexes[plex]![index]!, at }
}

function spoil(here: Setting, plex: number, block: number, level = 0): void {
  const { disk, at } = places(here, plex, block, level)
  disk.bytes[at + 77]! ^= 1
}

function refuse(here: Setting, plex: number, block: number, level = 0): void {
  const { disk, at } = places(here, plex, block, level)
  disk.badBlocks.add(at / BLOCK_SIZE)
}

t.test('a walk over two whole plexes has nothing to tell, and gives each block once', async (t) => {
  for (const isEach of [false, true]) {
    const here = setting()
    const { told, data, entered } = walk(here, { isEach })
    t.same([told, data, entered], [[], COUNT, COUNT + 4])
  }
})

t.test('what one plex lacks is told of that plex, whichever it is, and given from the other', async (t) => {
  const here = setting()
  spoil(here, 0, 10)
  spoil(here, 1, 11)
  refuse(here, 1, 300)
  spoil(here, 1, 256, 1)
  const { told, data } = walk(here, { isEach: true })
  t.same(told.sort(), [
    '10 (level 0) on plex 0: checksum',
    '11 (level 0) on plex 1: checksum',
    '256 (level 1) on plex 1: checksum',
    '300 (level 0) on plex 1: unreadable',
  ])
  t.equal(data, COUNT, 'the content is good all the same')
})

t.test('what no plex has is damaged once, and nothing below it is looked at', async (t) => {
  const here = setting()
  for (const plex of [0, 1]) {
    const [data, node] = [places(here, plex, 10), places(here, plex, 256, 1)]
    refuse(here, plex, 20)
    data.disk.bytes[data.at + plex]! ^= 1
    node.disk.bytes[node.at + plex]! ^= 1
  }
  const { told, data } = walk(here, { isEach: true })
  t.same(told.sort(), [
    '10 (level 0) damaged: checksum',
    '20 (level 0) damaged: unreadable',
    '256 (level 1) damaged: checksum',
  ])
  t.equal(data, COUNT - 256 - 2)
})

t.test('a walk that is content with one plex asks the other only for what that lacks', async (t) => {
  const here = setting()
  const [[disk], [mirror]] = here.plexes
  const [before, mirrorBefore] = [disk!.reads, mirror!.reads]
  t.same(walk(here).told, [])
  t.equal(mirror!.reads, mirrorBefore)
  t.ok(disk!.reads > before)
  spoil(here, 0, 10)
  spoil(here, 1, 200)
  const { told, data } = walk(here)
  t.same(told, ['10 (level 0) on plex 0: checksum'])
  t.equal(data, COUNT)
})

t.test('a plex that is not in sync is not looked at', async (t) => {
  const here = setting()
  spoil(here, 1, 10)
  here.image.copies.failed(here.image.copies.all[1]!, 'it is gone')
  const { told, data } = walk(here, { isEach: true })
  t.same([told, data], [[], COUNT])
})
