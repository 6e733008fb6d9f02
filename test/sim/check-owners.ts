import type { SimEngine } from './engine-host.ts'
import type { SimWorld } from './world.ts'

/** Two nodes may believe for a while, but never may two let answers out, nor one after its successor. */
export class OwnerCheck {
  readonly #world: SimWorld
  readonly #highestEpoch: number[]

  constructor(world: SimWorld) {
    this.#world = world
    this.#highestEpoch = world.aggregates.map(() => 0)
  }

  afterTurn({ place }: SimEngine): void {
    const { nodes } = this.#world
    if (!nodes.every(({ hosts }) => isAble(hosts[place]))) return
    const who = nodes.map(({ name, hosts }) => `${name} in epoch ${hosts[place]?.engine.ownership.epoch}`)
    throw new Error(`two nodes may serve at the same time: ${who.join(', ')}`)
  }

  /** Something leaves for a client. */
  answered(host: SimEngine): void {
    const { owner } = host.engine
    if (owner === undefined) throw new Error(`${host.node.name} answers a client and is no owner`)
    const { epoch } = owner.aggregate
    const highest = this.#highestEpoch[host.place]!
    if (epoch < highest) {
      throw new Error(`${host.node.name} answers in epoch ${epoch}, and epoch ${highest} has answered before`)
    }
    this.#highestEpoch[host.place] = epoch
  }
}

/** One that hands over is quiet before the record changes, and does not know at once that it has. */
function isAble(host: SimEngine | undefined): boolean {
  if (host === undefined) return false
  const { engine, node } = host
  return engine.isServing && engine.owner?.isQuiet === false && engine.fenceAtMs > node.nowMs
}
