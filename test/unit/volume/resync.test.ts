import t from 'tap'
import { StoreError } from '../../../ts/base/errors.ts'
import type { Procedure } from '../../../ts/base/procedure.ts'
import { BLOCK_SIZE, GIB, MIB } from '../../../ts/base/units.ts'
import { NO_BASE } from '../../../ts/plex/copies.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { type ResyncOutcome, resync } from '../../../ts/volume/resync.ts'
import { ImageModel } from '../../support/image-model.ts'
import { ChangeLog } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom, WriteLog } from '../../support/memory-world.ts'
import {
  differingBlocks,
  labelPlexOf,
  makePlexes,
  openDisksOf,
  openMirror,
  placeOf,
  reachedBlocks,
} from '../../support/mirror-world.ts'

const SIZE = 32 * MIB

interface Seen extends ResyncOutcome {
  readonly byteLength: number
  readonly damaged: readonly number[]
}

interface Habits {
  /** called after every part */
  readonly between?: () => void
  readonly isOver?: () => boolean
}

/** A pair of plexes with some volumes; plex 1 misses what is done while it is not there. */
class Mirrored {
  readonly world = new MemoryWorld()
  readonly plexes: [MemoryDisk[], MemoryDisk[]]
  readonly image: Image
  readonly log: ChangeLog
  readonly model = new ImageModel()
  readonly random = new SeededRandom(5)
  readonly writes = new WriteLog()

  constructor() {
    this.plexes = makePlexes(this.world, [SIZE])
    this.image = openMirror(this.world, this.plexes)
    this.image.copies.isRecordedStale = () => true
    this.log = new ChangeLog(this.world, this.image)
    this.change(400)
  }

  get mirror(): MemoryDisk {
    return this.plexes[1][0]!
  }

  /** One more generation. */
  change(steps: number): void {
    for (let step = 0; step < steps; step += 1) this.model.step(this.random, this.log, 1500)
    this.log.commit()
  }

  lose(): void {
    this.image.copies.failed(this.image.copies.all[1]!, 'its cable is gone')
  }

  /** A blank disk in the place of the one of plex 1. */
  replace(): void {
    const blank = this.world.disk('/dev/mirror0', SIZE)
    labelPlexOf(this.world, 1, [blank])
    this.plexes[1][0] = blank
    const copy = this.image.copies.all[1]!
    copy.disks = openDisksOf(this.world, 1, [blank])
    copy.base = NO_BASE
  }

  /** What the newest generation reaches and plex 1 has not, in bytes. */
  get lacking(): number {
    const { generation } = this.image.copies.all[1]!.base
    const blocks = reachedBlocks(this.world, this.image).filter(({ birth }) => birth > generation)
    return blocks.length * BLOCK_SIZE
  }

  resync({ between = () => {}, isOver = () => false }: Habits = {}): Seen {
    const { image, world } = this
    const copy = image.copies.all[1]!
    const damaged: number[] = []
    let byteLength = 0
    const user = {
      isOver,
      pieceBlocks: () => 32,
      *pace(more: number): Procedure {
        byteLength += more
        between()
        yield 'again'
      },
      damaged: (physical: number) => damaged.push(physical),
    }
    image.copies.setState(copy, 'filling')
    this.mirror.log = this.writes
    const outcome = world.run(resync(image, copy, user), () => image.cache.submit())
    this.mirror.log = undefined
    return { ...outcome, byteLength, damaged }
  }

  /** Bytes that were written to the blocks of plex 1 while it was filled. */
  get writtenBytes(): number {
    const { blocksAt } = this.image.plex.disks[0]!.zones
    const sizes = this.writes.events.map((event) =>
      'at' in event && event.at >= blocksAt ? event.bytes.length : 0,
    )
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  /** The next consistency point makes plex 1 whole. */
  makeWhole(): void {
    const copy = this.image.copies.all[1]!
    copy.isCopied = true
    this.change(1)
    this.image.copies.setState(copy, 'in-sync')
  }

  /** What the model has and an image on plex 1 alone has not. */
  missedAlone(): string[] {
    const gone = new StoreError('DISK_MISSING', 'it is gone')
    const alone = openMirror(this.world, [gone, this.plexes[1]], { recorded: ['stale', 'in-sync'] })
    return this.model.differences(this.world, alone)
  }

  differing(): number[] {
    return differingBlocks(this.world, this.image, this.plexes)
  }
}

t.test('what was born after its base, and nothing else, is copied to a plex that comes back', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  for (let generation = 0; generation < 5; generation += 1) pair.change(12)
  const { lacking } = pair
  const used = pair.image.space.used * BLOCK_SIZE
  t.ok(lacking > 0 && lacking < used / 2, `${lacking} of ${used} bytes`)
  t.ok(pair.differing().length > 0)
  const seen = pair.resync()
  t.match(seen, { isThrough: true, unreadCount: 0, damaged: [], byteLength: pair.writtenBytes })
  t.ok(seen.byteLength >= lacking && seen.byteLength < 1.2 * lacking, `${seen.byteLength} for ${lacking}`)
  t.same(pair.differing(), [])
  pair.makeWhole()
  t.same(pair.missedAlone(), [])
})

t.test('each block is copied once, also pointers over much that the plex has already', async (t) => {
  const pair = new Mirrored()
  const { log } = pair
  const volume = log.create('large', GIB)
  for (let block = 0; block < 65_536; block += 256) log.write(volume, block, 1)
  log.commit()
  pair.lose()
  log.write(volume, 40_000, 2)
  log.commit()
  const { lacking } = pair
  t.equal(lacking, 5 * BLOCK_SIZE, 'the block, three levels of pointers, and the directory')
  t.equal(pair.resync().byteLength, lacking)
})

t.test('one missed generation is enough to be copied, and nothing is if none was missed', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  t.match(pair.resync(), { isThrough: true, byteLength: 0 })
  pair.lose()
  const { volumes } = pair.model
  pair.log.write([...volumes.keys()][0]!, 0, 999)
  pair.log.commit()
  const { lacking } = pair
  t.ok(lacking >= 2 * BLOCK_SIZE)
  t.match(pair.resync(), { isThrough: true, byteLength: lacking })
  t.same(pair.differing(), [])
})

t.test('a blank plex gets everything', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  pair.change(20)
  pair.replace()
  const used = pair.image.space.used * BLOCK_SIZE
  t.equal(pair.lacking, used)
  t.match(pair.resync(), { isThrough: true, byteLength: used })
  t.same(pair.differing(), [])
  pair.makeWhole()
  t.same(pair.missedAlone(), [])
})

for (const isBlank of [false, true]) {
  const which = isBlank ? 'a blank plex' : 'a plex that has missed something'
  t.test(`while ${which} is filled consistency points go on, and write to it what is new`, async (t) => {
    const pair = new Mirrored()
    pair.lose()
    for (let generation = 0; generation < 4; generation += 1) pair.change(30)
    if (isBlank) pair.replace()
    let parts = 0
    const between = () => {
      parts += 1
      pair.change(6)
    }
    t.match(pair.resync({ between }), { isThrough: true, unreadCount: 0, damaged: [] })
    t.ok(parts > 3, `${parts} parts`)
    t.same(pair.differing(), [])
    pair.makeWhole()
    t.same(pair.missedAlone(), [])
    t.same(pair.model.differences(pair.world, pair.image), [])
  })
}

t.test('a volume that is deleted meanwhile is not copied any further', async (t) => {
  const pair = new Mirrored()
  const { log, image } = pair
  const volume = log.create('large', GIB)
  const random = new SeededRandom(1)
  for (let count = 0; count < 2000; count += 1) log.write(volume, random.below(GIB / BLOCK_SIZE), 1)
  log.commit()
  pair.lose()
  pair.replace()
  const before = pair.lacking
  const between = () => {
    if (image.directory.get(volume) === undefined) return
    log.remove(volume)
    log.commit()
  }
  const { isThrough, byteLength } = pair.resync({ between })
  t.ok(isThrough && byteLength < before / 2, `${byteLength} of ${before} bytes`)
  t.same(pair.differing(), [])
})

/** A block of data that plex 1 lacks, and where plex 0 has it. */
function lackedBlock(
  { world, image, plexes }: Mirrored,
  level = 0,
): { physical: number; disk: MemoryDisk; at: number } {
  const { generation } = image.copies.all[1]!.base
  const { physical } = reachedBlocks(world, image, image.directory.list()).find(
    (block) => block.level === level && block.birth > generation,
  )!
  const { index, at } = placeOf(image, physical)
  return { physical, disk: plexes[0][index]!, at }
}

t.test('a block that cannot be read is counted, and all others are copied', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  pair.change(40)
  const { physical, disk, at } = lackedBlock(pair)
  disk.badBlocks.add(at / BLOCK_SIZE)
  t.match(pair.resync(), { isThrough: true, unreadCount: 1, damaged: [] })
  disk.badBlocks.clear()
  t.same(pair.differing(), [physical])
})

t.test('a block that is rotten is told of, and not copied', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  pair.change(40)
  const { physical, disk, at } = lackedBlock(pair)
  disk.bytes[at + 50]! ^= 1
  t.match(pair.resync(), { isThrough: true, unreadCount: 0, damaged: [physical] })
  disk.bytes[at + 50]! ^= 1
  t.same(pair.differing(), [physical])
})

t.test('pointers that cannot be read are tried for a while, and then counted as unread', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  pair.change(60)
  const { disk, at } = lackedBlock(pair, 1)
  disk.badBlocks.add(at / BLOCK_SIZE)
  // the cache has it from the consistency point
  pair.image.cache.invalidate((at - pair.image.plex.disks[0]!.zones.blocksAt) / BLOCK_SIZE)
  const { isThrough, unreadCount } = pair.resync()
  t.ok(isThrough && unreadCount > 0)
  disk.badBlocks.clear()
  t.ok(pair.differing().length > 0)
})

t.test('a plex that fails while it is filled is missing again, and the resync ends', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  pair.change(60)
  pair.mirror.failWrite = () => true
  t.match(pair.resync(), { isThrough: false })
  t.match(pair.image.copies.all[1], {
    state: 'missing',
    because: /a write of the resync failed with error 5/,
  })
})

t.test('a resync that is told to end does so, and leaves nothing behind that others wait for', async (t) => {
  const pair = new Mirrored()
  pair.lose()
  for (let generation = 0; generation < 4; generation += 1) pair.change(30)
  let parts = 0
  const between = () => {
    parts += 1
  }
  const { isThrough, byteLength } = pair.resync({ between, isOver: () => parts > 0 })
  t.match({ isThrough, parts }, { isThrough: false, parts: 1 })
  t.ok(byteLength > 0 && byteLength < pair.lacking)
  t.ok(pair.image.copies.pins.mayOverwrite(pair.image.generation + 1))
  pair.change(5)
})

t.test('a resync that is ended at any moment calls nothing damaged', async (t) => {
  const here = new Mirrored()
  here.lose()
  here.change(200)
  here.replace()
  let damaged = 0
  for (let calls = 1; calls < 300; calls += 1) {
    let count = 0
    const isOver = () => {
      count += 1
      return count > calls
    }
    damaged += here.resync({ isOver }).damaged.length
  }
  t.equal(damaged, 0)
})
