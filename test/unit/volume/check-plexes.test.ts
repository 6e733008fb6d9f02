import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { type DiskLabelValues, labelDisk } from '../../../ts/disk/label.ts'
import { openAnyLabelled } from '../../../ts/disk/labelled-disk.ts'
import { readSuperblocks, type SuperblockValues, writeSuperblock } from '../../../ts/disk/superblock.ts'
import { superblockSlot } from '../../../ts/format/superblock.ts'
import { checkPlexes } from '../../../ts/volume/check-plexes.ts'
import { ChangeLog, facts, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'

const SIZE = 16 * MIB

/** An aggregate of two plexes: the disks of the second are made from those of the first. */
class Mirrored {
  readonly world = new MemoryWorld()
  readonly first: MemoryDisk[]
  readonly second: MemoryDisk[]
  readonly log: ChangeLog
  readonly volume: number

  constructor(diskCount = 1, size = SIZE) {
    this.first = makeDisks(this.world, Array<number>(diskCount).fill(SIZE))
    this.second = this.first.map((_, index) => this.world.disk(`/dev/mirror${index}`, size))
    for (const [index, disk] of this.second.entries()) {
      const ours = { ...facts(index, diskCount), plex: 1, disk: new Uint8Array(16).fill(100 + index) }
      this.world.run(labelDisk(disk, ours, { force: false }, this.world.memory))
    }
    this.log = new ChangeLog(this.world, openImage(this.world, this.first))
    this.volume = this.log.create('vol0', MIB)
    this.commit(0)
  }

  /** One more generation, on the first plex alone. */
  commit(block: number): void {
    this.log.write(this.volume, block, 1)
    this.log.commit()
    this.say(this.first, {})
  }

  /** Brings the second plex what the first one has. */
  fill(words: Partial<SuperblockValues> = {}): void {
    for (const [index, disk] of this.second.entries()) {
      const from = this.first[index]!
      disk.bytes.set(from.bytes.subarray(2 * MIB, SIZE - MIB), 2 * MIB)
    }
    this.say(this.second, words)
  }

  /** Writes the newest superblock of the first plex, with other words. */
  say(disks: readonly MemoryDisk[], words: Partial<SuperblockValues>): void {
    // it was written as that of an aggregate without a mirror
    const values = { ...this.newest, plex0: 0, plex1: 0, ...words }
    const slot = superblockSlot(values.epoch, values.generation)
    const labelled = disks.map((disk) => this.world.run(openAnyLabelled(disk, this.world.memory)))
    this.world.run(writeSuperblock(labelled, { ...values, slot }, this.world.memory))
  }

  get newest(): SuperblockValues {
    const labelled = this.first.map((disk) => this.world.run(openAnyLabelled(disk, this.world.memory)))
    return this.world.run(readSuperblocks(labelled, 1000, this.world.memory)).newest!
  }

  check(disks: readonly MemoryDisk[] = [...this.second, ...this.first]) {
    return this.world.run(checkPlexes(disks, this.world.memory))
  }
}

t.test('plexes with the same content are called equal', async (t) => {
  for (const diskCount of [1, 2]) {
    const pair = new Mirrored(diskCount)
    pair.fill()
    const report = pair.check()
    t.match(report, { good: true, aggregate: 'castor', epoch: 1, generation: 2, equal: true, problems: [] })
    t.same(report.notes, ['plex 0 and plex 1 are equal'])
    t.match(report.plexes, [
      { plex: 0, state: 'checked', good: true, generation: 2 },
      { plex: 1, state: 'checked', good: true, generation: 2, volumes: [{ name: 'vol0' }] },
    ])
  }
})

t.test('one plex alone is checked as ever', async (t) => {
  const pair = new Mirrored()
  pair.fill()
  for (const disks of [pair.first, pair.second]) {
    t.match(pair.check(disks), { good: true, generation: 2, equal: null, notes: [], plexes: { length: 1 } })
  }
})

t.test('an older plex that is whole is no damage', async (t) => {
  const known: [Partial<SuperblockValues>, RegExp][] = [
    [{}, /it is in sync: the newest generation had not reached it yet/],
    [{ plex1: 1 }, /it is stale/],
    [{ plex1: 2 }, /it is being filled/],
  ]
  for (const [words, text] of known) {
    const pair = new Mirrored()
    pair.fill()
    pair.commit(5)
    pair.say(pair.first, words)
    const report = pair.check()
    t.match(report, { good: true, generation: 3, equal: false, volumes: [{ mappedBlocks: 2 }] })
    t.equal(report.notes.length, 1)
    const behind = 'plex 1 is older (epoch 1, generation 2) than plex 0 (epoch 1, generation 3); '
    t.ok(report.notes[0]!.startsWith(`${behind}by the superblock of plex 0`), `${report.notes[0]}`)
    t.match(report.notes[0], text)
  }
})

t.test('a plex that is being filled is not looked into, and not usable by itself', async (t) => {
  for (const [word, state] of [
    [2, 'being filled'],
    [1, 'stale'],
  ] as const) {
    const pair = new Mirrored()
    pair.fill()
    pair.commit(5)
    pair.say([...pair.first, ...pair.second], { plex1: word })
    pair.second[0]!.bytes.fill(7, 4 * MIB, SIZE - MIB)
    const report = pair.check()
    t.match(report, { good: true, generation: 3, equal: null })
    t.same(report.notes, [
      `plex 1 is ${state} by its own superblock (epoch 1, generation 3): not usable by itself`,
    ])
    t.match(report.plexes[1], { plex: 1, state, good: false, generation: 3, problems: [] })
    const alone = pair.check(pair.second)
    t.match(alone, { good: false, problemCount: 1, notes: [] })
    t.match(alone.problems[0]!.text, new RegExp(`${state}: not usable by itself; check it together`))
  }
})

t.test('a plex without any superblock is still to be filled', async (t) => {
  const pair = new Mirrored()
  const report = pair.check()
  t.match(report, { good: true, generation: 2, equal: null })
  t.same(report.notes, ['plex 1 is empty: it has no superblock yet, and is to be filled'])
  const alone = pair.check(pair.second)
  t.match(alone, { good: false, notes: [], problems: [{ text: 'there is no valid superblock' }] })
  for (const copy of [MIB, MIB + MIB / 2]) pair.second[0]!.bytes.fill(5, copy, copy + 512)
  t.equal(pair.check().plexes[1]!.state, 'empty', 'a power cut tore its first superblock')
  pair.second[0]!.bytes.fill(5, MIB, 2 * MIB)
  t.equal(pair.check().good, false, 'superblocks that do not check are damage')
})

t.test('what is damaged is told with its plex, and hides nothing of the other one', async (t) => {
  const pair = new Mirrored()
  pair.fill()
  const { blocksAt } = label(pair, pair.first[0]!)
  const physical = pair.log.image.directory.get(pair.volume)!.root[0]!
  pair.first[0]!.bytes.fill(9, blocksAt + physical * BLOCK_SIZE, blocksAt + physical * BLOCK_SIZE + 100)
  const report = pair.check()
  t.match(report, { good: false, generation: 2, volumes: [{ mappedBlocks: 1 }] })
  t.ok(report.problems.length > 0)
  t.ok(report.problems.every(({ text }) => text.startsWith('plex 0: ')))
  t.equal(report.problemCount, report.plexes[0]!.problemCount)
  t.equal(report.plexes[1]!.good, true)
})

const label = ({ world }: Mirrored, disk: MemoryDisk): DiskLabelValues =>
  world.run(openAnyLabelled(disk, world.memory)).label

t.test('two contents of one generation are damage, unless one plex was given up in it', async (t) => {
  const pair = new Mirrored()
  pair.fill()
  pair.say(pair.second, { root: 0x1234 })
  const report = pair.check()
  t.match(report, { good: false, equal: false, problems: [{ kind: 'mirror' }] })
  t.match(
    report.problems[0]!.text,
    /different content of epoch 1, generation 2 \(roots [0-9a-f]{8} and 00001234\)/,
  )
  pair.say(pair.first, { plex1: 1 })
  const explained = pair.check()
  t.match(explained, { good: true, equal: false })
  t.same(explained.notes, ['by the superblock of plex 0 (epoch 1, generation 2), plex 1 is stale'])
})

t.test('a disk that is laid out otherwise than its mirror is named', async (t) => {
  const pair = new Mirrored(1, SIZE + MIB)
  t.match(pair.check().problems, [
    { kind: 'label', text: 'plex 1: /dev/mirror0: its zones are not those of its mirror /dev/disk0' },
  ])
})

t.test('a mixture that makes no sense is refused', async (t) => {
  const pair = new Mirrored(2)
  pair.fill()
  const refused = (disks: readonly MemoryDisk[], message: RegExp) =>
    t.throws(() => pair.check(disks), { code: 'USAGE', message })
  refused(
    [...pair.first, pair.second[0]!],
    /mirror0 is disk 1 of 2 of plex 1, and of this plex 1 were given; give all disks of a plex, or none/,
  )
  refused(
    [...pair.first, pair.first[1]!.copy()],
    /disk1 and \/dev\/disk1 are both disk 2 of plex 0 of aggregate castor/,
  )
  const single = pair.world.disk('/dev/single', SIZE)
  const ours = { ...facts(0, 1), plex: 1 }
  pair.world.run(labelDisk(single, ours, { force: false }, pair.world.memory))
  refused([...pair.first, single], /single is disk 1 of 1 of plex 1, and plex 0 has 2: they do not mirror/)
})
