import type { FioTarget } from '../../ts/cli/fio.ts'
import type { Contender } from '../../ts/cli/fio-summary.ts'
import type { BenchPair } from './bench-pair.ts'

/** What is loaded: a server, or a device without one. */
export interface Server extends Contender {
  readonly kind: ServerName
  readonly target: FioTarget
  /** those of the server; of a pair, the owner is first */
  readonly pids: readonly number[]
  readonly note?: string
  /** Waits until what the load has left for later is done, so that it does not fall on the next one. */
  readonly settle?: () => Promise<void>
  /** Rejects if the server is not in the state in which it is to be measured. */
  readonly check?: () => Promise<void>
  readonly pair?: BenchPair
  /** block devices that only it writes to */
  readonly devices?: readonly string[]
}

export const serverNames = [
  'pollux',
  'nbdkit',
  'qemu-nbd',
  'nbdkit-file',
  'qemu-none',
  'qemu-writeback',
  'nbd-server',
  'raw',
] as const
export type ServerName = (typeof serverNames)[number]

/** Those that are compared without being asked for. */
export const usualServers: readonly ServerName[] = ['pollux', 'nbdkit', 'qemu-nbd']

export interface PolluxSetup {
  readonly durability: 'pair' | 'vault'
  /** each node has disks of its own, so there are two plexes; else the nodes share one */
  readonly isApart?: boolean
  /** its disks are loop devices, as those of the others are; else files */
  readonly isOnDevices?: boolean
  readonly logByteLength?: number
  /** disks have room for so many volumes, and the log besides; default: two, as `pollux up` makes them */
  readonly diskFactor?: number
  readonly cacheByteLength?: number
  /** each node has one aggregate more, as in `more-aggregates.ts`; only where the disks are shared */
  readonly hasMoreAggregates?: boolean
}

export interface ServerOptions {
  /** an empty directory on the disk that is measured */
  readonly directory: string
  readonly byteLength: number
  readonly pollux: PolluxSetup
}

/** A server that is not installed here. The message says where it comes from. */
export class NotInstalled extends Error {}
