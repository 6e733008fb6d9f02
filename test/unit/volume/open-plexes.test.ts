import t from 'tap'
import { StoreError } from '../../../ts/base/errors.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { readSuperblocks, type SuperblockValues, writeSuperblock } from '../../../ts/disk/superblock.ts'
import { PLEX_FILLING, PLEX_STALE, superblockSlot } from '../../../ts/format/superblock.ts'
import { type Base, NO_BASE } from '../../../ts/plex/copies.ts'
import {
  confirmedBase,
  differentZones,
  type FoundImage,
  findImage,
  openDisks,
  type PlexDisks,
  type RecordedPlex,
} from '../../../ts/volume/open-plexes.ts'
import { ChangeLog, readBlock } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'
import { labelPlexOf, makePlexes, openDisksOf, openMirror } from '../../support/mirror-world.ts'

type Words = Partial<SuperblockValues>

/** Two plexes of two disks each; superblocks of later generations are there as a test wants them. */
class Mirrored {
  readonly world = new MemoryWorld()
  readonly plexes = makePlexes(this.world, [16 * MIB, 16 * MIB])

  /** The newest superblock on each disk of a plex. */
  newestOf(plex: number): readonly (SuperblockValues | undefined)[] {
    return this.world.run(
      readSuperblocks(openDisksOf(this.world, plex, this.plexes[plex]!), 100, this.world.memory),
    ).newestOf
  }

  /** Writes one to some disks of a plex. */
  say(plex: number, words: Words, disks = [0, 1]): void {
    const opened = openDisksOf(this.world, plex, this.plexes[plex]!)
    const first =
      this.world.run(readSuperblocks(opened, 100, this.world.memory)).latest ?? this.newestOf(1 - plex)[0]!
    const values = { ...first, ...words }
    const slot = superblockSlot(values.epoch, values.generation)
    const chosen = disks.map((index) => opened[index]!)
    this.world.run(writeSuperblock(chosen, { ...values, slot }, this.world.memory))
  }

  /** Both plexes have all generations up to this one, of epoch 3. */
  reach(generation: number): void {
    for (const plex of [0, 1])
      for (let each = 2; each <= generation; each += 1) this.say(plex, { epoch: 3, generation: each })
  }

  replace(plex: number, index: number): void {
    const disk = this.plexes[plex]![index]!
    disk.bytes.fill(0, MIB, 2 * MIB)
  }

  confirmed(plex: number, base: Base): Base {
    const disks = openDisksOf(this.world, plex, this.plexes[plex]!)
    return confirmedBase(base, disks, this.newestOf(plex))
  }

  find(
    recorded: readonly RecordedPlex[] = ['in-sync', 'in-sync'],
    plexes: readonly PlexDisks[] = this.plexes,
  ): FoundImage {
    const opened = plexes.map((disks, plex) =>
      disks instanceof StoreError ? disks : openDisksOf(this.world, plex, disks as MemoryDisk[]),
    )
    return this.world.run(findImage(this.world, opened, recorded, 100))
  }
}

const told = ({ copies, newest }: FoundImage): string[] => [
  `generation ${newest.generation}`,
  ...copies.all.map(
    ({ state, base, because }) => `${state}, base ${base.generation}${because ? `: ${because}` : ''}`,
  ),
]

/** What is told of plex 0 in sync, and plex 1 missing. */
const leftOut = (generation: number, base: number, why: string): string[] => [
  `generation ${generation}`,
  `in-sync, base ${generation}`,
  `missing, base ${base}: ${why}`,
]

t.test('a plex that is current has everything that it should have', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  t.same(pair.confirmed(1, { epoch: 3, generation: 9 }), { epoch: 3, generation: 9 })
})

t.test('one that lacks only the superblock has everything that it reaches', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  t.same(pair.confirmed(1, { epoch: 3, generation: 10 }), { epoch: 3, generation: 10 })
})

t.test('one that lacks more than that is not what it should be, and gets everything', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  t.same(pair.confirmed(1, { epoch: 3, generation: 11 }), NO_BASE)
})

t.test('one that has more is content with its base', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  t.same(pair.confirmed(1, { epoch: 3, generation: 5 }), { epoch: 3, generation: 5 })
})

t.test('one that was being filled says itself from where on, if that is less', async (t) => {
  for (const [own, expected] of [
    [4, 4],
    [7, 7],
    [8, 7],
  ] as const) {
    const pair = new Mirrored()
    pair.reach(9)
    pair.say(1, { epoch: 3, generation: 9, plex1: PLEX_FILLING, base1Epoch: 3, base1Generation: own })
    t.same(pair.confirmed(1, { epoch: 3, generation: 7 }), { epoch: 3, generation: expected })
  }
})

t.test('one that was being filled with everything still needs everything', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  pair.say(1, { epoch: 3, generation: 9, plex1: PLEX_FILLING, base1Epoch: 0, base1Generation: 0 })
  t.same(pair.confirmed(1, { epoch: 3, generation: 7 }), NO_BASE)
})

t.test('a blank disk has nothing, and neither has the plex that it is one of', async (t) => {
  for (const blank of [[0, 1], [0], [1]]) {
    const pair = new Mirrored()
    pair.reach(9)
    for (const index of blank) pair.replace(1, index)
    t.same(pair.confirmed(1, { epoch: 3, generation: 9 }), NO_BASE, `disk ${blank.join(' and ')}`)
  }
})

t.test('of several disks, the one that has least counts', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  for (const [disk, base1Generation] of [6, 4].entries())
    pair.say(1, { generation: 9, plex1: PLEX_FILLING, base1Epoch: 3, base1Generation }, [disk])
  t.same(pair.confirmed(1, { epoch: 3, generation: 8 }), { epoch: 3, generation: 4 })
})

t.test('a plex of which nothing is known gets everything, whatever it has', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  t.same(pair.confirmed(1, NO_BASE), NO_BASE)
})

t.test('two plexes that have the same generation are both in sync', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  t.same(told(pair.find()), ['generation 9', 'in-sync, base 9', 'in-sync, base 9'])
  t.equal(pair.find().previous!.generation, 8)
})

t.test('a crash may leave the newest superblock on one of them, or on one disk of it', async (t) => {
  for (const plex of [0, 1]) {
    const pair = new Mirrored()
    pair.reach(9)
    pair.say(plex, { epoch: 3, generation: 10 }, [1])
    t.same(told(pair.find()), ['generation 10', 'in-sync, base 10', 'in-sync, base 10'])
  }
})

t.test('one that is two generations behind is not used, whatever the record says', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  for (const generation of [10, 11]) pair.say(0, { epoch: 3, generation })
  const [newest, first, second] = told(pair.find())
  t.same([newest, first], ['generation 11', 'in-sync, base 11'])
  t.match(second, /^missing, base 0: .*mirror0 has generation 9, and generation 11 should be there, whole$/)
  t.match(pair.world.events.at(-1), { level: 'error', kind: 'plex not usable', text: /^plex 1: / })
})

t.test('the record says both are in sync, and one disk has no superblock', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  pair.replace(0, 1)
  const [newest, first, second] = told(pair.find())
  t.equal(newest, 'generation 9')
  t.match(first, /^missing, base 0: .*disk1 has no superblock, and generation 9 should be there, whole$/)
  t.equal(second, 'in-sync, base 9')
})

t.test('a superblock of a plex that was being filled opens nothing, however new it is', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  pair.say(1, { epoch: 3, generation: 10, plex1: PLEX_FILLING })
  pair.say(1, { epoch: 4, generation: 11, plex1: PLEX_FILLING })
  const [newest, first, second] = told(pair.find())
  t.same([newest, first], ['generation 9', 'in-sync, base 9'])
  t.match(second, /^missing, base 0: .*generation 11/)
  const gone = new StoreError('DISK_MISSING', 'disk0 is gone')
  t.throws(() => pair.find(['in-sync', 'in-sync'], [gone, pair.plexes[1]]), {
    code: 'IMAGE_UNREADABLE',
    message: /mirror0.*no valid superblock/,
  })
})

t.test(
  'a plex that the record calls stale is left out, with the base that the other one tells',
  async (t) => {
    const pair = new Mirrored()
    pair.reach(9)
    pair.say(0, { epoch: 3, generation: 10, plex1: PLEX_STALE, base1Epoch: 3, base1Generation: 9 })
    pair.say(1, { epoch: 3, generation: 12 })
    t.same(told(pair.find(['in-sync', 'stale'])), leftOut(10, 9, 'the record calls it stale'))
  },
)

t.test('a plex that the record does not know yet has nothing', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  t.same(told(pair.find(['in-sync', 'absent'])), leftOut(9, 0, 'the record calls it absent'))
})

t.test('a plex whose disks are not there is left out, and keeps its base', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  const gone = new StoreError('DISK_MISSING', 'mirror0 is gone; check the disk')
  t.same(
    told(pair.find(['in-sync', 'in-sync'], [pair.plexes[0], gone])),
    leftOut(9, 9, 'mirror0 is gone; check the disk'),
  )
})

t.test('a plex that is laid out otherwise cannot mirror the other one', async (t) => {
  const pair = new Mirrored()
  pair.reach(9)
  const { world, plexes } = pair
  plexes[1][1] = world.disk('/dev/mirror1', 17 * MIB)
  labelPlexOf(world, 1, plexes[1])
  pair.say(1, { epoch: 3, generation: 9 })
  const [, first, second] = told(pair.find())
  t.equal(first, 'in-sync, base 9')
  t.match(
    second,
    /^missing, base 0: .*mirror1 is not laid out like the disk that it mirrors; label it again --size \d+B$/,
  )
  const [model, odd] = plexes.map((disks, plex) => openDisksOf(world, plex, disks))
  t.equal(differentZones(model!, model!), undefined)
  t.match(differentZones(odd!, model!), /mirror1/)
  t.match(differentZones(model!, odd!.slice(0, 1)), /disk1/, 'nor can one with another number of disks')
})

t.test('without any plex that can be used, all the reasons are told', async (t) => {
  const pair = new Mirrored()
  const [first, second] = ['disk0 is gone', 'mirror0 is gone'].map(
    (text) => new StoreError('DISK_MISSING', text),
  )
  const cases: [RecordedPlex[], PlexDisks[], { code: string; message: string }][] = [
    [
      ['in-sync', 'in-sync'],
      [first!, second!],
      { code: 'DISK_MISSING', message: 'disk0 is gone; mirror0 is gone' },
    ],
    [
      ['in-sync', 'stale'],
      [first!, pair.plexes[1]],
      { code: 'DISK_MISSING', message: 'disk0 is gone; plex 1 is stale' },
    ],
    [
      ['stale', 'stale'],
      pair.plexes,
      { code: 'IMAGE_UNREADABLE', message: 'plex 0 is stale; plex 1 is stale' },
    ],
    [['in-sync'], [first!], { code: 'DISK_MISSING', message: 'disk0 is gone' }],
  ]
  for (const [recorded, plexes, error] of cases) t.throws(() => pair.find(recorded, plexes), error)
})

t.test('the disks of a plex are opened all, or none', async (t) => {
  const pair = new Mirrored()
  const [first, second] = pair.plexes[0] as [MemoryDisk, MemoryDisk]
  const port = {
    open: (path: string) => {
      if (path === 'gone') throw new StoreError('DISK_MISSING', 'it is not there')
      return path === first.path ? first : second
    },
  }
  t.same(openDisks(port, [first.path, second.path]), [first, second])
  t.match(openDisks(port, [first.path, 'gone']), { code: 'DISK_MISSING' })
  t.same([first.closed, second.closed], [true, false])
})

t.test('an image is opened from either plex alone', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world)
  const image = openMirror(world, plexes)
  const log = new ChangeLog(world, image)
  const volume = log.create('vol0', MIB)
  log.write(volume, 3, 1)
  log.commit()
  const expected = Buffer.from(readBlock(world, image, volume, 3)!)
  const gone = new StoreError('DISK_MISSING', 'it is gone')
  for (const alone of [
    [plexes[0], gone],
    [gone, plexes[1]],
  ]) {
    const again = openMirror(world, alone)
    t.equal(again.generation, image.generation)
    t.same(Buffer.from(readBlock(world, again, volume, 3)!), expected)
    t.equal(again.copies.reading.length, 1)
  }
  t.equal(expected.length, BLOCK_SIZE)
})

t.test('both plexes get every superblock and everything that it reaches', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world)
  const log = new ChangeLog(world, openMirror(world, plexes))
  const volume = log.create('vol0', MIB)
  for (let version = 1; version < 4; version += 1) {
    log.write(volume, 3, version)
    log.commit()
    const newest = plexes.map((disks, plex) =>
      world.run(readSuperblocks(openDisksOf(world, plex, disks), 100, world.memory)),
    )
    t.same(
      newest.map((found) => found.newest!.generation),
      [version + 1, version + 1],
    )
    t.same(newest[0]!.newest!.root, newest[1]!.newest!.root)
  }
})

t.test('what the generation after a failure says of a plex, the next one who opens it knows', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world)
  const image = openMirror(world, plexes)
  image.copies.isRecordedStale = () => true
  const log = new ChangeLog(world, image)
  const volume = log.create('vol0', MIB)
  log.commit()
  const base = { epoch: image.epoch, generation: image.generation }
  plexes[1][0]!.failWrite = () => true
  log.write(volume, 3, 1)
  log.commit()
  t.match(image.superblock, {
    plex0: 0,
    plex1: PLEX_STALE,
    base1Epoch: base.epoch,
    base1Generation: base.generation,
  })
  plexes[1][0]!.failWrite = () => false
  const again = openMirror(world, plexes, { recorded: ['in-sync', 'stale'] })
  t.match(again.copies.all[1], { state: 'missing', base })
})
