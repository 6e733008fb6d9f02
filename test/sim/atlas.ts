import { identityText } from '../../ts/format/identity.ts'
import { LogRingHeader } from '../../ts/format/log-ring.ts'
import type { SimNode } from './node.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** What the loss of a node's NVRAM would cost. */
export type Loss = 'nothing' | 'what was not flushed' | 'too much'

/**
 * Knows which faults the pair promises to survive at this moment (docs/failure-model.md), so that a
 * world is cruel, but fair: a second fault must not take away the one copy that the first has left.
 */
export class Atlas {
  readonly #world: SimWorld
  /** a ring of this node was damaged: the other node's must stay */
  readonly damagedRings = new Set<string>()

  constructor(world: SimWorld) {
    this.#world = world
  }

  /** What would be lost if this node's NVRAM were. */
  nvramLoss(node: SimNode): Loss {
    const losses = this.#world.aggregates.map((aggregate) => this.#lossOf(node, aggregate))
    if (losses.includes('too much')) return 'too much'
    return losses.includes('what was not flushed') ? 'what was not flushed' : 'nothing'
  }

  /** What would be lost if both nodes' NVRAM were: the vault has what was flushed, if that is the promise. */
  totalLoss(): Loss {
    return this.#world.options.durability === 'vault' ? 'what was not flushed' : 'too much'
  }

  /** Whether the records say of this node's rings that they are not the log of anything. */
  isUnlisted(node: SimNode): boolean {
    return this.#world.aggregates.every((aggregate) => {
      const record = this.#world.recordOf(aggregate)
      const isSettled = (this.#world.arbiter.underway.get(aggregate.name) ?? 0) === 0
      return record !== undefined && isSettled && record.incarnations[node.name] === undefined
    })
  }

  /** Whether the vault has what was flushed: always, or what an owner of a `pair` promised alone. */
  #hasVault(aggregate: AggregateWorld): boolean {
    const world = this.#world
    const { durability } = world.options
    if (durability !== 'pair') return durability === 'vault'
    const isSettled = (world.arbiter.underway.get(aggregate.name) ?? 0) === 0
    const owner = world.hostsOf(aggregate).find((host) => host.engine.owner !== undefined)?.engine.owner
    const isAlone = world.recordOf(aggregate)?.log === 'stale' && isSettled
    // right after it has gone on alone, what both memories had is not in the vault yet
    const isComplete = owner !== undefined && !owner.vault.lacksOwed
    return isAlone && isComplete && owner.vault.durable >= owner.aggregate.stable
  }

  #lossOf(node: SimNode, aggregate: AggregateWorld): Loss {
    const world = this.#world
    const record = world.recordOf(aggregate)
    const otherwise = this.#hasVault(aggregate) ? 'what was not flushed' : 'too much'
    if (record === undefined) return 'too much'
    // a swap on its way may make this node's ring the only one that counts
    if ((world.arbiter.underway.get(aggregate.name) ?? 0) > 0) return otherwise
    const other = world.nodes.find((one) => one !== node)!
    const listed = record.incarnations[other.name]
    const otherHas = listed !== undefined && listed === incarnationOf(other, aggregate)
    if (record.log !== 'in-sync' || !otherHas) return otherwise
    // an entry that rotted is no loss of power: what the vault lacks then is for the operator to judge
    return this.damagedRings.has(other.name) ? 'too much' : 'nothing'
  }
}

/** The incarnation of the ring that a node's NVRAM holds now. */
function incarnationOf(node: SimNode, aggregate: AggregateWorld): string | undefined {
  const memory = node.nvram.get(aggregate.name)
  return memory && identityText(LogRingHeader.decode(memory.bytes).incarnation)
}
