import { StoreError } from '../../../ts/base/errors.ts'
import { MIB } from '../../../ts/base/units.ts'
import type { DiskWorld } from '../../../ts/cli/in-process.ts'
import { identityText } from '../../../ts/format/identity.ts'
import { aggregate, pair } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld } from '../../support/memory-world.ts'

/** What commands that work on disks are given: two plexes of as many disks as there are sizes. */
export class TwoPlexes {
  readonly memory = new MemoryWorld()
  readonly plexes: readonly (readonly MemoryDisk[])[]
  readonly world: DiskWorld
  #identities = 0

  constructor(...sizes: [number[], number[]]) {
    this.plexes = sizes.map((ofPlex, plex) =>
      ofPlex.map((byteLength, index) => this.memory.disk(`/dev/p${plex}d${index}`, byteLength)),
    )
    const { memory, clock, host } = this.memory
    this.world = {
      memory,
      clock,
      host,
      disks: { open: (path) => this.#open(path) },
      entropy: {
        fill: (bytes) => {
          this.#identities += 1
          bytes.fill(this.#identities)
        },
      },
    }
  }

  #open(path: string): MemoryDisk {
    const disk = this.plexes.flat().find((each) => each.path === path)
    if (disk === undefined) throw new StoreError('DISK_MISSING', `${path} is not there`)
    disk.closed = false
    return disk
  }

  wanted(force = false) {
    const plexes = this.plexes.map((disks) => disks.map(({ path }) => path))
    const [ofPair, identity] = [identityText(pair), identityText(aggregate)]
    return { pair: ofPair, name: 'castor', identity, plexes, logByteLength: MIB, force }
  }
}
