import t from 'tap'
import { BLOCK_SIZE, GIB, MIB, TIB } from '../../../ts/base/units.ts'
import {
  layOutZones,
  mapBlockAt,
  mapIndexBlockAt,
  minimumDiskByteLength,
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
