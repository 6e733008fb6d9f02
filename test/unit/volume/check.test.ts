import t from 'tap'
import { crc32c } from '../../../ts/base/crc32c.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { mapBlockAt } from '../../../ts/disk/zones.ts'
import { seal } from '../../../ts/format/sealed.ts'
import { Superblock, superblockSlot } from '../../../ts/format/superblock.ts'
import { VolumeRecord } from '../../../ts/format/volume-record.ts'
import { check } from '../../../ts/volume/check.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'

/** A volume with one leaf of pointers: every pointer can be forged, with good checksums above it. */
class Setting {
  readonly world = new MemoryWorld()
  readonly disk: MemoryDisk
  readonly image: Image
  readonly volume: number

  constructor() {
    const [disk] = makeDisks(this.world, [16 * MIB])
    this.disk = disk!
    this.image = openImage(this.world, [this.disk])
    const log = new ChangeLog(this.world, this.image)
    this.volume = log.create('vol0', MIB)
    for (const block of [0, 1, 2, 9]) log.write(this.volume, block, 1)
    log.commit()
  }

  block(physical: number): Uint8Array {
    const at = this.image.plex.disks[0]!.zones.blocksAt + physical * BLOCK_SIZE
    return this.disk.bytes.subarray(at, at + BLOCK_SIZE)
  }

  get leaf(): number {
    return this.image.directory.get(this.volume)!.root[0]!
  }

  get directoryBlock(): number {
    return view(this.image.superblock.directory).getUint32(0, true)
  }

  /** Changes the leaf, the record or the superblock, and makes all checksums above fit again. */
  forge(change: (leaf: DataView, record: DataView, superblock: DataView) => void): void {
    const leaf = this.block(this.leaf)
    const directory = this.block(this.directoryBlock)
    const { epoch, generation } = this.image
    const superblockAt = MIB + superblockSlot(epoch, generation) * BLOCK_SIZE
    const superblock = this.disk.bytes.subarray(superblockAt, superblockAt + BLOCK_SIZE)
    change(view(leaf), view(directory), view(superblock))
    view(directory).setUint32(VolumeRecord.at.root + 12, crc32c(leaf), true)
    view(superblock).setUint32(Superblock.at.directory + 12, crc32c(directory), true)
    seal(superblock)
    this.disk.bytes.fill(0, MIB + MIB / 2, 2 * MIB)
  }

  get kinds(): string[] {
    return [...new Set(this.report.problems.map(({ kind }) => kind))]
  }

  get report() {
    return this.world.run(check([this.disk], this.world.memory))
  }
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

t.test('a good image is good, and its totals are told', async (t) => {
  const { report } = new Setting()
  t.equal(report.good, true)
  t.match(report, {
    generation: 2,
    epoch: 1,
    aggregate: 'castor',
    volumes: [{ name: 'vol0', mappedBlocks: 4 }],
  })
  t.match(report.totals, { used: 6, data: 4, pointers: 1, directory: 1 })
})

t.test('every planted fault is found by name', async (t) => {
  const faults: [string, (setting: Setting) => void, string[]][] = [
    ['nothing', (s) => s.forge(() => {}), []],
    [
      'rotten data',
      (s) => {
        s.block(view(s.block(s.leaf)).getUint32(0, true))[5] = 1
      },
      ['checksum'],
    ],
    [
      'rotten pointers',
      (s) => {
        s.block(s.leaf)[5] = 1
      },
      ['checksum', 'volume', 'superblock', 'leaked'],
    ],
    [
      'unreadable data',
      (s) =>
        s.disk.badBlocks.add(
          s.image.plex.disks[0]!.zones.blocksAt / BLOCK_SIZE + view(s.block(s.leaf)).getUint32(0, true),
        ),
      ['unreadable'],
    ],
    [
      'a block used twice',
      (s) =>
        s.forge((leaf) => {
          for (const word of [0, 4, 8, 12]) leaf.setUint32(16 + word, leaf.getUint32(word, true), true)
        }),
      ['shared', 'superblock', 'leaked'],
    ],
    [
      'a pointer to nowhere',
      (s) => s.forge((leaf) => leaf.setUint32(0, 0xffff_fff0, true)),
      ['pointer', 'volume', 'superblock', 'leaked'],
    ],
    ['a birth in the future', (s) => s.forge((leaf) => leaf.setUint32(8, 77, true)), ['birth']],
    [
      'a lost block',
      (s) => s.forge((leaf) => leaf.setUint32(4, 0, true)),
      ['volume', 'superblock', 'leaked'],
    ],
    [
      'a wrong count',
      (s) => s.forge((_, record) => record.setUint32(VolumeRecord.at.mappedBlocks, 5, true)),
      ['volume'],
    ],
    [
      'a block beyond the end',
      (s) => s.forge((_, record) => record.setUint32(VolumeRecord.at.size, 8192, true)),
      ['size'],
    ],
    [
      'a wrong number of used blocks',
      (s) => s.forge((_, __, superblock) => superblock.setUint32(Superblock.at.usedBlocks, 9, true)),
      ['superblock'],
    ],
    [
      'an impossible volume',
      (s) => s.forge((_, record) => record.setUint32(0, 999, true)),
      ['directory', 'superblock', 'leaked'],
    ],
    [
      'a rotten map',
      (s) => {
        s.disk.bytes.fill(
          3,
          mapBlockAt(s.image.plex.disks[0]!.zones, 0, 0),
          mapBlockAt(s.image.plex.disks[0]!.zones, 2, 0),
        )
      },
      ['map'],
    ],
    [
      'a rotten label',
      (s) => {
        s.disk.bytes[30] = 0xff
      },
      ['label'],
    ],
    [
      'no superblock',
      (s) => {
        s.disk.bytes.fill(5, MIB, 2 * MIB)
      },
      ['superblock'],
    ],
  ]
  for (const [name, plant, expected] of faults) {
    const setting = new Setting()
    plant(setting)
    t.same(setting.kinds.sort(), [...expected].sort(), name)
    t.equal(setting.report.good, expected.length === 0, name)
  }
})

t.test('a map that marks too much or too little is told block by block', async (t) => {
  for (const kind of ['leaked', 'unmarked']) {
    const setting = new Setting()
    const byte = (setting.leaf >>> 3) + (kind === 'leaked' ? 10 : 0)
    const { zones } = setting.image.plex.disks[0]!
    const map = setting.disk.bytes.subarray(mapBlockAt(zones, 1, 0), mapBlockAt(zones, 2, 0))
    map[byte] = kind === 'leaked' ? 0xff : 0
    const index = setting.disk.bytes.subarray(
      zones.mapIndexAt + BLOCK_SIZE,
      zones.mapIndexAt + 2 * BLOCK_SIZE,
    )
    view(index).setUint32(0, crc32c(map), true)
    setting.forge((_, __, superblock) => superblock.setUint32(Superblock.at.mapIndex, crc32c(index), true))
    t.same(setting.kinds, [kind])
  }
})

t.test('disks may be given in any order, but all of them', async (t) => {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [16 * MIB, 16 * MIB])
  t.equal(world.run(check([disks[1]!, disks[0]!], world.memory)).good, true)
  const { problems } = world.run(check([disks[1]!], world.memory))
  t.ok(problems.some(({ kind, text }) => kind === 'label' && text.includes('missing')))
})
