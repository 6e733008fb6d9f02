import t from 'tap'
import {
  VOLUME_BYTES_MAX,
  VOLUME_NAME_BYTES_MAX,
  VOLUME_RECORDS_PER_BLOCK,
  VolumeRecord,
} from '../../../ts/format/volume-record.ts'

t.test('records fill blocks without a gap, names fit, and block numbers of a volume are u32', async (t) => {
  t.equal(VOLUME_RECORDS_PER_BLOCK * VolumeRecord.byteLength, 4096)
  t.equal(VolumeRecord.at.rest - VolumeRecord.at.name, VOLUME_NAME_BYTES_MAX)
  t.equal(VOLUME_BYTES_MAX / 4096, 2 ** 32 - 1)
})
