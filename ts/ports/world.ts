import type { ArbiterPort } from './arbiter.ts'
import type { Clock } from './clock.ts'
import type { DiskPort } from './disk.ts'
import type { Entropy } from './entropy.ts'
import type { HostPort } from './host.ts'
import type { MemoryPort } from './memory.ts'
import type { NvramPort } from './nvram.ts'

/** All that an engine sees of the world. `adapters/` bind it to Linux, `test/sim` to a seed. */
export interface World {
  readonly memory: MemoryPort
  readonly nvram: NvramPort
  readonly disks: DiskPort
  readonly clock: Clock
  readonly entropy: Entropy
  readonly arbiter: ArbiterPort
  readonly host: HostPort
}
