import { StoreError } from '../../ts/base/errors.ts'
import { identityText } from '../../ts/format/identity.ts'
import { LogRingHeader } from '../../ts/format/log-ring.ts'
import { checkCopy } from './check-image.ts'
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
    if (!this.#isEvenApart) return 'too much'
    const losses = this.#world.aggregates.map((aggregate) => this.#lossOf(node, aggregate))
    if (losses.includes('too much')) return 'too much'
    return losses.includes('what was not flushed') ? 'what was not flushed' : 'nothing'
  }

  /** What would be lost if both nodes' NVRAM were: the vault has what was flushed, if that is the promise. */
  totalLoss(): Loss {
    if (!this.#isEvenApart) return 'too much'
    return this.#world.options.durability === 'vault' ? 'what was not flushed' : 'too much'
  }

  /** Whether the records say of this node's rings that they are not the log of anything. */
  isUnlisted(node: SimNode): boolean {
    return this.#world.aggregates.every((aggregate) => {
      const record = this.#world.recordOf(aggregate)
      return (
        record !== undefined && this.#isSettled(aggregate) && record.incarnations[node.name] === undefined
      )
    })
  }

  /** Whether nothing is asked of this plex any more before the other one has filled it. */
  isStale(aggregate: AggregateWorld, plex: number): boolean {
    const inSync = this.#world.plexesInSync(aggregate)
    return this.#isSettled(aggregate) && inSync.includes(1 - plex) && !inSync.includes(plex)
  }

  /** Whether the other plex counts, and nothing is done to its disk. */
  isOnOtherPlex(aggregate: AggregateWorld, plex: number): boolean {
    const world = this.#world
    const isThere = this.#isSettled(aggregate) && world.plexesInSync(aggregate).includes(1 - plex)
    return isThere && world.plattersOf(aggregate)[1 - plex]!.isWell
  }

  /** The same, and it has every block: this plex may be lost for good. */
  isWholeOnOtherPlex(aggregate: AggregateWorld, plex: number): boolean {
    if (!this.isOnOtherPlex(aggregate, plex)) return false
    try {
      return checkCopy(this.#world, aggregate, 1 - plex).good
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      return false
    }
  }

  /** Where nothing is shared, a host that has lost its memory needs the other one's plex and its log. */
  get #isEvenApart(): boolean {
    const { aggregates, options } = this.#world
    const isEven = (aggregate: AggregateWorld): boolean =>
      this.#isSettled(aggregate) && this.#world.plexesInSync(aggregate).length === 2
    return !options.isApart || aggregates.every(isEven)
  }

  /** Whether no swap of the record is on its way. */
  #isSettled({ name }: AggregateWorld): boolean {
    return (this.#world.arbiter.underway.get(name) ?? 0) === 0
  }

  /** Whether the vault has what was flushed: always, or what an owner of a `pair` promised alone. */
  #hasVault(aggregate: AggregateWorld): boolean {
    const world = this.#world
    const { durability } = world.options
    if (durability !== 'pair') return durability === 'vault'
    const owner = world.hostsOf(aggregate).find((host) => host.engine.owner !== undefined)?.engine.owner
    const isAlone = world.recordOf(aggregate)?.log === 'stale' && this.#isSettled(aggregate)
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
    if (!this.#isSettled(aggregate)) return otherwise
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
