import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { labelDisk, readLabel, repairLabels } from '../../../ts/disk/label.ts'
import { openLabelled } from '../../../ts/disk/labelled-disk.ts'
import { foreignSignature } from '../../../ts/disk/signatures.ts'
import { DISK_LABEL_MAGIC } from '../../../ts/format/disk-label.ts'
import { aggregate, facts, pair } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'

const SIZE = 16 * MIB
const expected = { pair, aggregate, plex: 0, diskIndex: 0, diskCount: 1 }

function labelled(): { world: MemoryWorld; disk: MemoryDisk; blockCount: number } {
  const world = new MemoryWorld()
  const disk = world.disk('/dev/a', SIZE)
  const { blockCount } = world.run(labelDisk(disk, facts(0, 1), { force: false }, world.memory))
  return { world, disk, blockCount }
}

t.test('a labelled disk opens as what it is', async (t) => {
  const { world, disk } = labelled()
  const opened = world.run(openLabelled(disk, expected, world.memory))
  t.equal(opened.damaged, undefined)
  t.equal(opened.label.aggregateName, 'castor')
  t.same(opened.label.pair, pair)
})

t.test('one damaged label is enough, is noticed, and can be mended', async (t) => {
  for (const [side, at] of [
    ['head', 100],
    ['tail', SIZE - BLOCK_SIZE + 100],
  ] as const) {
    const { world, disk } = labelled()
    disk.bytes[at] = disk.bytes[at]! ^ 1
    const opened = world.run(openLabelled(disk, expected, world.memory))
    t.equal(opened.damaged, side)
    world.run(repairLabels(disk, opened.label, world.memory))
    t.equal(world.run(openLabelled(disk, expected, world.memory)).damaged, undefined)
  }
  const { world, disk } = labelled()
  disk.badBlocks.add(0)
  t.equal(world.run(openLabelled(disk, expected, world.memory)).damaged, 'head', 'also if it cannot be read')
})

t.test('a disk that has grown still has its second label', async (t) => {
  const { world, disk } = labelled()
  const larger = world.disk('/dev/a', SIZE + 5 * MIB)
  larger.bytes.set(disk.bytes)
  t.equal(world.run(openLabelled(larger, expected, world.memory)).damaged, undefined)
  const smaller = world.disk('/dev/a', SIZE - MIB)
  smaller.bytes.set(disk.bytes.subarray(0, SIZE - MIB))
  t.throws(() => world.run(openLabelled(smaller, expected, world.memory)), { code: 'DISK_TOO_SMALL' })
})

t.test(
  'a disk that is larger than its mirror is laid out as that one, and has its second label there',
  async (t) => {
    const world = new MemoryWorld()
    const disk = world.disk('/dev/a', SIZE + 5 * MIB)
    const label = (byteLength: number, force = false) =>
      world.run(labelDisk(disk, facts(0, 1), { force, byteLength }, world.memory))
    const { byteLength, blockCount } = label(SIZE)
    t.same({ byteLength, blockCount }, { byteLength: SIZE, blockCount: labelled().blockCount })
    t.ok(
      disk.bytes.subarray(SIZE).every((byte) => byte === 0),
      'the rest is not used',
    )
    t.equal(world.run(openLabelled(disk, expected, world.memory)).damaged, undefined)
    disk.bytes[SIZE - BLOCK_SIZE + 100]! ^= 1
    t.equal(world.run(openLabelled(disk, expected, world.memory)).damaged, 'tail')
    t.throws(() => label(disk.byteLength + BLOCK_SIZE, true), { message: /no further than it reaches/ })
  },
)

t.test('a label that a larger layout left at the very end is not believed later', async (t) => {
  const world = new MemoryWorld()
  const disk = world.disk('/dev/a', SIZE + 5 * MIB)
  world.run(labelDisk(disk, facts(0, 1), { force: false }, world.memory))
  world.run(labelDisk(disk, facts(0, 1), { force: true, byteLength: SIZE }, world.memory))
  disk.bytes.fill(0, 0, BLOCK_SIZE)
  t.not(world.run(readLabel(disk, world.memory)).kind, 'good')
})

t.test('a disk of somebody else is refused by name', async (t) => {
  const { world, disk } = labelled()
  const open = (wrong: Partial<typeof expected>) => () =>
    world.run(openLabelled(disk, { ...expected, ...wrong }, world.memory))
  const other = new Uint8Array(16).fill(1)
  t.throws(open({ pair: other }), { code: 'DISK_FOREIGN', message: /another pair/ })
  t.throws(open({ aggregate: other }), { code: 'DISK_FOREIGN', message: /another aggregate \(castor\)/ })
  t.throws(open({ diskIndex: 1, diskCount: 2 }), {
    code: 'DISK_FOREIGN',
    message: /disk 1 of 1 .* disk 2 of 2/,
  })
})

t.test('only a blank disk is labelled without force', async (t) => {
  const { world, disk } = labelled()
  const label = (target: MemoryDisk, force: boolean) => () =>
    world.run(labelDisk(target, facts(0, 1), { force }, world.memory))
  t.throws(label(disk, false), { code: 'DISK_FOREIGN', message: /labelled already.*--force/ })
  const odd = world.disk('/dev/b', SIZE)
  odd.bytes[5000] = 1
  t.throws(label(odd, false), { code: 'DISK_FOREIGN', message: /data of unknown kind/ })
  t.throws(() => world.run(openLabelled(odd, expected, world.memory)), { code: 'DISK_FOREIGN' })
  label(odd, true)()
  t.equal(world.run(readLabel(odd, world.memory)).kind, 'good')
  t.throws(() => world.run(openLabelled(world.disk('/dev/c', SIZE), expected, world.memory)), {
    code: 'DISK_UNLABELLED',
    message: /\/dev\/c is blank/,
  })
})

t.test('file systems and partition tables are called by their names', async (t) => {
  const cases: [number, string | number[], RegExp][] = [
    [0x438, [0x53, 0xef], /ext/],
    [0, 'XFSB', /xfs/],
    [0x10040, '_BHRfS_M', /btrfs/],
    [512, 'LABELONE', /LVM/],
    [0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe], /LUKS/],
    [4086, 'SWAPSPACE2', /swap/],
    [131072 + 2048, [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], /ZFS/],
    [3, 'NTFS    ', /NTFS/],
    [512, 'EFI PART', /GPT/],
    [510, [0x55, 0xaa], /MBR/],
  ]
  for (const [at, magic, name] of cases) {
    const world = new MemoryWorld()
    const disk = world.disk('/dev/a', SIZE)
    disk.bytes.set(typeof magic === 'string' ? Buffer.from(magic) : magic, at)
    t.throws(() => world.run(labelDisk(disk, facts(0, 1), { force: false }, world.memory)), {
      code: 'DISK_FOREIGN',
      message: name,
    })
  }
  t.equal(foreignSignature(new Uint8Array(4096)), undefined)
})

t.test('a file system made over a labelled disk is not mistaken for a damaged label', async (t) => {
  const { world, disk } = labelled()
  disk.bytes.fill(0, 0, 4096)
  disk.bytes.set([0x53, 0xef], 0x438)
  t.throws(() => world.run(openLabelled(disk, expected, world.memory)), {
    code: 'DISK_FOREIGN',
    message: /ext4/,
  })
})

t.test('a label of a later version is not touched', async (t) => {
  const { world, disk } = labelled()
  const view = new DataView(disk.bytes.buffer)
  t.equal(view.getUint32(0, true), DISK_LABEL_MAGIC)
  view.setUint32(4, 9, true)
  t.throws(() => world.run(openLabelled(disk, expected, world.memory)), { message: /version 9.*upgrade/ })
})

t.test('labelling notices a disk that loses what is written', async (t) => {
  const world = new MemoryWorld()
  const disk = world.disk('/dev/a', SIZE)
  disk.failWrite = (at) => at > 0
  t.throws(() => world.run(labelDisk(disk, facts(0, 1), { force: false }, world.memory)), {
    code: 'DISK_FAILED',
  })
})

t.test('a disk that was there before others were added need not count them yet', async (t) => {
  const world = new MemoryWorld()
  const disk = world.disk('/dev/a', SIZE)
  const open = (diskIndex: number, diskCount: number) =>
    world.run(openLabelled(disk, { ...expected, diskIndex, diskCount }, world.memory))
  world.run(labelDisk(disk, facts(1, 2), { force: false }, world.memory))
  t.equal(open(1, 2).damaged, undefined)
  t.equal(open(1, 5).label.diskCount, 2)
  t.throws(() => open(0, 2), { message: /is disk 2 of 2 .* configured as disk 1 of 2 .*; correct the list/ })
  t.throws(() => open(2, 3), { message: /is disk 2 of 2 .* configured as disk 3 of 3 .*; correct the list/ })
  world.run(labelDisk(disk, facts(1, 3), { force: true }, world.memory))
  t.throws(() => open(1, 2), {
    code: 'DISK_FOREIGN',
    message: /is disk 2 of 3 .* configured as disk 2 of 2 of plex 0; add those that are missing to the list/,
  })
})
