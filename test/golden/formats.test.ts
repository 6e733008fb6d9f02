import t from 'tap'
import { DISK_LABEL_MAGIC, DiskLabel, diskLabelVersions } from '../../ts/format/disk-label.ts'
import { FrameKind, LINK_MAGIC, LinkFrame, LinkHello, linkVersions } from '../../ts/format/link-frame.ts'
import {
  EntryKind,
  LOG_ENTRY_MAGIC,
  LOG_MARKS_MAGIC,
  LOG_RING_MAGIC,
  LogEntry,
  LogMarks,
  LogRingHeader,
  logRingVersions,
  VolumeRequest,
} from '../../ts/format/log-ring.ts'
import { SUPERBLOCK_MAGIC, Superblock, superblockVersions } from '../../ts/format/superblock.ts'
import { VolumeRecord, volumeRecordVersions } from '../../ts/format/volume-record.ts'
import { hexOf, sampleOf } from './structs.ts'

const SUPERBLOCK_UP_TO_INDEX =
  '00414243014142430241424303414243404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f08414243094142430a828384858607000b4142430c414243d0d1d2d3d4d5d6d7d8d9dadbdcdddedf0e4142430f41424310828384858607001182838485860700124142431341424314414243154142431682838485860700707172737475767778797a7b7c7d7e7f'

/** Layouts as they were released: fingerprint, and bytes of known values without the zeroes at the end. */
const frozen = [
  [
    LogEntry,
    0x6090_2ed4,
    '0041424301414243024142430321042105828384858607000641424307414243088283848586070009828384858607000a4142430b414243c0c1c2c3c4c5c6c7',
  ],
  [LogMarks, 0x3c99_6a77, '004142430141424302414243034142430441424305414243068283848586070007828384858607'],
  [
    LogRingHeader,
    0x803c_5dd0,
    '004142430141424302414243034142430441424305414243606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f',
  ],
  [
    VolumeRequest,
    0x0a71_8990,
    '00828384858607000141424302414243303132333435363738393a3b3c3d3e3f00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000404142434445464748494a4b4c4d4e4f',
  ],
  [
    DiskLabel,
    0x97eb_3283,
    '00414243014142430241424303414243404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f746578742d370000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000008414243094142430a4142430b4142430c828384858607000d828384858607000e828384858607000f82838485860700108283848586070011828384858607001282838485860700138283848586070014828384858607',
  ],
  [
    Superblock,
    0x1be2_416d,
    // the bases lie behind the index of the map
    `${SUPERBLOCK_UP_TO_INDEX}${'00'.repeat(2032)}18414243194142431a4142431b414243`,
  ],
  [
    VolumeRecord,
    0xa1af_0110,
    '0041424301414243024142430341424304828384858607000582838485860700606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f0841424309414243a0a1a2a3a4a5a6a7a8a9aaabacadaeaf',
  ],
  [
    LinkFrame,
    0xa63d_fe18,
    '004142430141424302210321044142430541424306414243078283848586070008414243094142430a4142430b414243c0c1c2c3c4c5c6c7c8c9cacbcccdcecf',
  ],
  [
    LinkHello,
    0xfef9_21ca,
    '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f746578742d3400000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000746578742d3500000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000064142430741424308414243094142430a4142430b4142430c82838485860700d0d1d2d3d4d5d6d7d8d9dadbdcdddedf',
  ],
] as const

for (const [layout, fingerprint, hex] of frozen) {
  t.test(`the bytes of ${layout.name} are those that were released`, async (t) => {
    t.equal(layout.fingerprint, fingerprint, 'new layout needs a new version')
    const sample = sampleOf(layout)
    t.equal(hexOf(layout, sample), hex)
    const bytes = new Uint8Array(layout.byteLength)
    bytes.set(Buffer.from(hex, 'hex'))
    t.same(layout.decode(bytes), sample, 'and they are read as what they were')
  })
}

t.test('magic numbers read as text', async (t) => {
  const magics = [
    LOG_RING_MAGIC,
    LOG_MARKS_MAGIC,
    LOG_ENTRY_MAGIC,
    DISK_LABEL_MAGIC,
    SUPERBLOCK_MAGIC,
    LINK_MAGIC,
  ]
  const text = (magic: number) => String.fromCharCode(...new Uint8Array(Uint32Array.of(magic).buffer))
  t.same(magics.map(text), ['PLXR', 'PLXM', 'PLXE', 'PLXL', 'PLXS', 'PLXK'])
})

t.test('numbers on disk and on the wire keep their meaning', async (t) => {
  t.same(EntryKind, {
    WRITE: 1,
    WRITE_ZEROES: 2,
    TRIM: 3,
    CREATE: 16,
    DELETE: 17,
    RESIZE: 18,
    RENAME: 19,
    NOTHING: 32,
  })
  t.same(FrameKind, {
    HELLO: 1,
    GOODBYE: 2,
    ENTRIES: 3,
    ACKNOWLEDGE: 4,
    RELEASE: 5,
    HEARTBEAT: 6,
    BASE: 7,
    HANDOVER: 8,
    DISK_OPEN: 9,
    DISK_READ: 10,
    DISK_WRITE: 11,
    DISK_FLUSH: 12,
    DISK_DONE: 13,
  })
})

t.test('every format says which versions there were, the newest first', async (t) => {
  const histories: (readonly { version: number; why: string }[])[] = [
    logRingVersions,
    diskLabelVersions,
    superblockVersions,
    volumeRecordVersions,
    linkVersions,
  ]
  for (const history of histories) {
    t.ok(history.every(({ why }) => why.length > 5))
    t.same(
      history.map(({ version }) => version),
      history.map((_, index) => history.length - index),
    )
  }
})
