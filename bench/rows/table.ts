import { GIB, KIB, MIB } from '../../ts/base/units.ts'
import type { FioLoad } from '../../ts/cli/fio.ts'
import { comparedRow } from './compared.ts'
import { idleRow } from './idle.ts'
import { memoryRow } from './memory.ts'
import { replayRow, takeoverRow } from './recovery.ts'
import { resyncRow } from './resync.ts'
import type { TargetRow } from './row.ts'
import { watchSustained } from './sustained.ts'

const CACHE_BYTES = 64 * MIB
const smallVolume = { byteLength: 512 * MIB, quickByteLength: 64 * MIB }
const onDevices = { durability: 'pair', isOnDevices: true } as const
/** Where the volume is an eighth of its disk, consistency points find long runs of free blocks. */
const roomy = { ...onDevices, diskFactor: 8 } as const

const write4k: FioLoad = {
  name: 'write 4k QD32',
  pattern: 'randwrite',
  blockByteLength: 4 * KIB,
  queueDepth: 32,
}
const read4k: FioLoad = { ...write4k, name: 'read 4k QD32', pattern: 'randread' }

/** The targets of this project, each measured by `npm run bench -- --row NAME`. */
export const rows: readonly TargetRow[] = [
  comparedRow({
    name: 'write-qd32',
    title: 'random write 4k QD32, one connection',
    load: write4k,
    ...smallVolume,
    pollux: roomy,
    targets: [
      { of: 'nbdkit', by: 'operations', sense: 'at least', limit: 1 },
      { of: 'qemu-nbd', by: 'operations', sense: 'at least', limit: 10 },
    ],
  }),
  comparedRow({
    name: 'write-qd32-x4',
    title: 'random write 4k QD32, four connections',
    load: { ...write4k, name: 'write 4k QD32 x4', connections: 4 },
    ...smallVolume,
    pollux: roomy,
    targets: [{ of: 'nbdkit', by: 'operations', sense: 'at least', limit: 1.1 }],
  }),
  comparedRow({
    name: 'write-qd1',
    title: 'random write 4k QD1',
    load: { ...write4k, name: 'write 4k QD1', queueDepth: 1 },
    ...smallVolume,
    pollux: roomy,
    targets: [
      { of: 'nbdkit', by: 'operations', sense: 'at least', limit: 0.6 },
      { of: 'qemu-nbd', by: 'operations', sense: 'at least', limit: 6 },
    ],
  }),
  comparedRow({
    name: 'fsync-x4',
    title: 'random write 4k, 4 connections x QD8, a flush after each',
    load: { ...write4k, name: 'fsync 4k QD8 x4', queueDepth: 8, connections: 4, fsyncEach: true },
    ...smallVolume,
    pollux: { ...roomy, durability: 'vault' },
    targets: [{ of: 'qemu-nbd', by: 'operations', sense: 'at least', limit: 2.5 }],
  }),
  comparedRow({
    name: 'sustained-write',
    title: 'random write 4k QD32, sustained, one plex',
    load: write4k,
    byteLength: 8 * GIB,
    quickByteLength: 128 * MIB,
    seconds: 120,
    pollux: onDevices,
    targets: [{ of: 'raw', by: 'operations', sense: 'at least', limit: 1 }],
    watching: watchSustained,
  }),
  comparedRow({
    name: 'sequential-write',
    title: 'sequential write 128k QD8, sustained, two plexes on one disk',
    load: { name: 'sequential write 128k QD8', pattern: 'write', blockByteLength: 128 * KIB, queueDepth: 8 },
    byteLength: 4 * GIB,
    quickByteLength: 128 * MIB,
    seconds: 60,
    pollux: { ...onDevices, isApart: true },
    targets: [{ of: 'raw', by: 'operations', share: 0.5, sense: 'at least', limit: 0.85 }],
    watching: watchSustained,
  }),
  comparedRow({
    name: 'read-cached',
    title: 'random read 4k QD32, all of it in the cache',
    load: { ...read4k, regionByteLength: (CACHE_BYTES * 3) / 4 },
    ...smallVolume,
    pollux: { ...roomy, cacheByteLength: CACHE_BYTES },
    targets: [{ of: 'nbdkit', by: 'operations', sense: 'at least', limit: 1.3 }],
  }),
  comparedRow({
    name: 'read-uncached',
    title: 'random read 4k QD32, ten times as much as the cache',
    load: { ...read4k, regionByteLength: 10 * CACHE_BYTES },
    byteLength: 10 * CACHE_BYTES,
    pollux: { ...onDevices, cacheByteLength: CACHE_BYTES },
    targets: [{ of: 'qemu-none', by: 'operations', sense: 'at least', limit: 1.1 }],
  }),
  comparedRow({
    name: 'cpu',
    title: 'CPU seconds of owner and partner for mirrored writes of 4k, QD32',
    load: write4k,
    ...smallVolume,
    pollux: roomy,
    targets: [{ of: 'nbdkit', by: 'CPU seconds', sense: 'at most', limit: 1.1 }],
  }),
  replayRow,
  takeoverRow,
  resyncRow,
  idleRow,
  memoryRow,
]
