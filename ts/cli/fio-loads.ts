import { KIB } from '../base/units.ts'
import type { FioLoad } from './fio.ts'

/** The loads that servers are compared under. The first is the one that matters most. */
export const loads: readonly FioLoad[] = [
  { name: 'write 4k QD32', pattern: 'randwrite', blockByteLength: 4 * KIB, queueDepth: 32 },
  { name: 'write 4k QD1', pattern: 'randwrite', blockByteLength: 4 * KIB, queueDepth: 1 },
  { name: 'read 4k QD32', pattern: 'randread', blockByteLength: 4 * KIB, queueDepth: 32 },
  { name: 'write 128k QD8', pattern: 'randwrite', blockByteLength: 128 * KIB, queueDepth: 8 },
  {
    name: 'write 4k QD32 x4',
    pattern: 'randwrite',
    blockByteLength: 4 * KIB,
    queueDepth: 32,
    connections: 4,
  },
  { name: 'read 4k QD1', pattern: 'randread', blockByteLength: 4 * KIB, queueDepth: 1 },
  { name: 'read 4k QD32 x4', pattern: 'randread', blockByteLength: 4 * KIB, queueDepth: 32, connections: 4 },
  {
    name: 'fsync 4k QD8 x4',
    pattern: 'randwrite',
    blockByteLength: 4 * KIB,
    queueDepth: 8,
    connections: 4,
    fsyncEach: true,
  },
  { name: 'sequential write 128k QD8', pattern: 'write', blockByteLength: 128 * KIB, queueDepth: 8 },
  { name: 'sequential read 128k QD8', pattern: 'read', blockByteLength: 128 * KIB, queueDepth: 8 },
]

/** How a load is named on a command line: without blanks. */
export const wordOf = ({ name }: FioLoad): string => name.toLowerCase().replaceAll(' ', '-')

/** By its name, or by its word. */
export function loadNamed(name: string): FioLoad | undefined {
  return loads.find((load) => load.name === name || wordOf(load) === name)
}
