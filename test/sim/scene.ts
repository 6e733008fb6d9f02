import type { Atlas } from './atlas.ts'
import type { SimClient } from './client.ts'
import type { SimNode } from './node.ts'
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
}

/** What ends a fault. */
export type Heal = () => void
/** Begins; undefined: it cannot be now, or it would not be survivable. */
export type Fault = (scene: Scene) => Heal | undefined
