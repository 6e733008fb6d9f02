import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { NbdError } from '../../ts/format/nbd.ts'
import type { SimEngine } from './engine-host.ts'
import { VolumeModel } from './volume-model.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** A volume that clients of the simulation use, and what is known about it. */
export class SimVolume {
  readonly world: SimWorld
  readonly aggregate: AggregateWorld
  name: string
  readonly model = new VolumeModel()
  /** as clients know it; a resize may be on its way */
  byteLength: number
  /** the least that it had since it was made: requests beyond it may be refused */
  smallestByteLength: number
  /** the sizes that it may have, by what was answered; undefined: memory was lost, and with it a resize */
  sizes: Set<number> | undefined
  readonly #firstByteLength: number
  #number: number | undefined

  constructor(world: SimWorld, aggregate: AggregateWorld, name: string, byteLength: number) {
    this.world = world
    this.aggregate = aggregate
    this.name = name
    this.byteLength = byteLength
    this.smallestByteLength = byteLength
    this.sizes = new Set([byteLength])
    this.#firstByteLength = byteLength
  }

  /** The most that it may have now, after resizes of which nobody knows whether they were done. */
  get largestByteLength(): number {
    return this.sizes === undefined ? this.#firstByteLength : Math.max(...this.sizes)
  }

  get blockCount(): number {
    return this.byteLength / BLOCK_SIZE
  }

  /** The engine that serves it, and its number; a volume keeps its number whatever it is called. */
  find(): { host: SimEngine; number: number } | undefined {
    const host = this.world.serverOf(this.aggregate)
    if (host === undefined || !host.isAwake) return undefined
    const { volumes } = host.serving
    const found = volumes.find(({ volume, name }) =>
      this.#number === undefined ? name === this.name : volume === this.#number,
    )
    if (found === undefined) return undefined
    this.#number = found.volume
    return { host, number: found.volume }
  }

  /** In peace: the size that it has, which has to be one that it may have. */
  learnSize(): void {
    const found = this.find()
    const size = found?.host.serving.volumes.find(({ volume }) => volume === found.number)?.size
    if (size === undefined) throw new Error(`volume ${this.name} is not there`)
    if (this.sizes !== undefined && !this.sizes.has(size)) {
      throw new Error(`volume ${this.name} has ${size} bytes, possible: ${[...this.sizes].join(', ')}`)
    }
    this.byteLength = size
  }

  /** Whether a client may be told this error: by what was done to the disk, or by the size of things. */
  mayFail(error: number, offset: number, length: number, step = this.model.step): boolean {
    if (this.world.isDoomed) return true
    const isBeyond = offset + length > this.smallestByteLength
    if (error === NbdError.ENOSPC) return isBeyond || this.world.isTight
    if (error === NbdError.EINVAL) return isBeyond
    if (error !== NbdError.EIO) return false
    const losses = this.world.lossesOf(this.aggregate.name)!
    return losses.mayRefuseAll || this.model.mayHold(offset, length, losses.doubtful, step)
  }

  /** Whether these blocks can never be read again, by what was done to the disk. */
  isLost(offset: number, length: number): boolean {
    return this.model.mayHold(offset, length, this.world.lossesOf(this.aggregate.name)!.lost)
  }
}
