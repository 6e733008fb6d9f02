import { logLayout } from '../../../ts/format/log-ring.ts'
import { LogCopy, type LogOwnership } from '../../../ts/log/copy.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import type { NvramFound } from '../../../ts/ports/nvram.ts'
import type { World } from '../../../ts/ports/world.ts'
import { MemoryTwin } from './memory-twin.ts'

export const identity = (byte: number): Uint8Array => new Uint8Array(16).fill(byte)
export const whose: LogOwnership = { pair: identity(1), aggregate: identity(2), node: identity(3) }

/** One NVRAM file that stays, and entropy that counts. */
export class CopyHost {
  readonly memory: Memory
  readonly #port: MemoryTwin
  found: NvramFound = 'new'
  #random: number
  readonly #pageCount: number

  constructor(memory = new MemoryTwin(), random = 0x40, pageCount = 256) {
    this.#port = memory
    this.memory = memory.allocate(logLayout(pageCount).byteLength)
    this.#random = random
    this.#pageCount = pageCount
  }

  open(owner = whose): LogCopy {
    const nvram = {
      persistent: false,
      open: (name: string) => ({ path: `/nvram/${name}.nvram`, memory: this.memory, found: this.found }),
    }
    const entropy = {
      fill: (bytes: Uint8Array) => {
        this.#random += 1
        bytes.fill(this.#random)
      },
    }
    const world = { memory: this.#port, nvram, entropy } as unknown as World
    const copy = LogCopy.open(world, 'a', this.#pageCount, owner)
    this.found = 'kept'
    return copy
  }
}
