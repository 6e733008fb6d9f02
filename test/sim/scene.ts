import type { Atlas } from './atlas.ts'
import type { SimClient } from './client.ts'
import type { SimNode } from './node.ts'
import type { Platter } from './platter.ts'
import type { Random } from './random.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** What a fault can lay hands on. */
export class Scene {
  readonly world: SimWorld
  readonly random: Random
  readonly atlas: Atlas
  readonly clients: readonly SimClient[]
  /** called when memory was lost that nothing but the vault covers */
  readonly memoryLost: () => void
  /** the faults are over: what was planned for later does not come */
  isPeace = false

  constructor(world: SimWorld, atlas: Atlas, clients: readonly SimClient[], memoryLost: () => void) {
    this.world = world
    this.random = world.random
    this.atlas = atlas
    this.clients = clients
    this.memoryLost = memoryLost
  }

  get aggregate(): AggregateWorld {
    return this.random.pick(this.world.aggregates)
  }

  /** A disk of some aggregate. */
  get platter(): Platter {
    return this.world.platter(this.#pickDisk(this.aggregate))
  }

  /** One that may lose what it has: where healing is to be proven, only the same plex of an aggregate. */
  get losingPlatter(): Platter {
    const { aggregate } = this
    const { disks, losingPlex } = aggregate
    return this.world.platter(losingPlex === undefined ? this.#pickDisk(aggregate) : disks[losingPlex]!)
  }

  get node(): SimNode {
    return this.random.pick(this.world.nodes)
  }

  /** The node that serves some aggregate, if one does. */
  get owner(): SimNode {
    return this.world.serverOf(this.aggregate)?.node ?? this.node
  }

  /** A node whose process is there and awake. */
  get awake(): SimNode | undefined {
    const node = this.node
    return node.isAlive && !node.isPaused ? node : undefined
  }

  #pickDisk({ disks }: AggregateWorld): string {
    return disks.length === 1 ? disks[0] : this.random.pick(disks)
  }
}

/** What ends a fault; `lengthMs`: after so long, whatever is the habit of this world. */
export interface Heal {
  (): void
  readonly lengthMs?: number
}
/** Begins; undefined: it cannot be now, or it would not be survivable. */
export type Fault = (scene: Scene) => Heal | undefined
