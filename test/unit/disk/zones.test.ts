import t from 'tap'
import { BLOCK_SIZE, GIB, MIB, TIB } from '../../../ts/base/units.ts'
import {
  blockRanges,
  diskCountOf,
  layOutZones,
  mapBlockAt,
  mapIndexBlockAt,
  minimumDiskByteLength,
  spaceMistake,
  tailLabelAt,
  zonesMistake,
} from '../../../ts/disk/zones.ts'
import { mapBlocksFor, mapIndexBlocksFor } from '../../../ts/format/free-map.ts'

t.test('zones do not overlap, whatever the size of disk and vault', async (t) => {
  for (const vault of [0, 1_064_960, 128 * MIB, 4 * GIB]) {
    for (const size of [minimumDiskByteLength(vault), 64 * MIB + vault, 10 * GIB + 4097, 3 * TIB, 20 * TIB]) {
      if (size < minimumDiskByteLength(vault)) continue
      const zones = layOutZones('/dev/x', size, vault)
      t.equal(zonesMistake(zones), undefined, `${size} bytes, vault of ${vault}`)
      const maps = mapBlocksFor(zones.blockCount)
      t.ok(mapBlockAt(zones, 1, maps - 1) + BLOCK_SIZE <= zones.vaultAt)
      t.ok(mapIndexBlockAt(zones, 1, mapIndexBlocksFor(zones.blockCount) - 1) + BLOCK_SIZE <= zones.mapAt)
      t.ok(zones.blocksAt + zones.blockCount * BLOCK_SIZE <= tailLabelAt(size))
      t.ok(zones.blockCount >= 1024)
    }
  }
})

t.test('a disk that is too small is refused with both sizes', async (t) => {
  const minimum = minimumDiskByteLength(MIB)
  t.throws(() => layOutZones('/dev/tiny', minimum - BLOCK_SIZE, MIB), {
    code: 'DISK_TOO_SMALL',
    message: new RegExp(`/dev/tiny has ${minimum - BLOCK_SIZE} bytes, and at least ${minimum}`),
  })
})

t.test('zones that cannot be are named', async (t) => {
  const good = layOutZones('/dev/x', 64 * MIB, MIB)
  t.match(zonesMistake({ ...good, mapAt: good.mapAt + 1 }), /aligned/)
  t.match(zonesMistake({ ...good, vaultAt: 0 }), /order/)
  t.match(zonesMistake({ ...good, superblocksAt: 0 }), /label/)
  t.match(zonesMistake({ ...good, blockCount: good.blockCount + 32 * 1024 }), /beyond/)
  t.match(zonesMistake({ ...good, blockCount: 7 }), /odd/)
  t.match(zonesMistake({ ...good, vaultByteLength: 60 * MIB }), /vault/)
})

t.test(
  'a disk that is added behind others moves nothing, and an image tells on how many it lies',
  async (t) => {
    const disks = [16 * MIB, 200 * MIB, 9 * MIB].map((size) => layOutZones('/dev/x', size, 0))
    const ranges = blockRanges(disks)
    t.same(blockRanges(disks.slice(0, 2)), ranges.slice(0, 2))
    t.same(
      ranges.map(({ first }) => first),
      [0, 32768, 3 * 32768],
    )
    for (const [index, { end }] of ranges.entries()) t.equal(diskCountOf(disks, end), index + 1)
    for (const blocks of [0, 32, ranges[0]!.end + 32, ranges[2]!.end + 32])
      t.equal(diskCountOf(disks, blocks), 0)
  },
)

t.test('disks that an aggregate cannot count together are named as such', async (t) => {
  const large = layOutZones('/dev/x', 9 * TIB, 0)
  t.equal(spaceMistake([large]), undefined)
  t.match(spaceMistake([large, large]), /more blocks than an aggregate can count/)
  const many = Array.from({ length: 257 }, () => layOutZones('/dev/x', 16 * MIB, 0))
  t.equal(spaceMistake(many.slice(1)), undefined)
  t.match(spaceMistake(many), /more blocks than an aggregate can count/)
})
