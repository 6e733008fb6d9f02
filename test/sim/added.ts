import { labelAs } from './format.ts'
import type { SimNode } from './node.ts'
import type { Random } from './random.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/**
 * An operator adds disks to aggregates: labels one for each plex, then changes the settings of the nodes one
 * by one. A node goes by its settings when it starts.
 */
export class Added {
  readonly #world: SimWorld
  /** by aggregate and plex */
  readonly #paths = new Map<string, string[]>()
  /** by node and aggregate: how many its settings list */
  readonly #listed = new Map<string, number>()

  constructor(world: SimWorld) {
    this.#world = world
  }

  pathsOf({ name }: AggregateWorld, plex: number): readonly string[] {
    return this.#paths.get(`${name} ${plex}`) ?? []
  }

  /** How many disks of each plex the settings of a node list besides the first. */
  listedBy(node: SimNode, { name }: AggregateWorld): number {
    return this.#listed.get(`${node.name} ${name}`) ?? 0
  }

  /** `pollux disk label --add`, on each host or for shared disks. */
  label(aggregate: AggregateWorld): void {
    for (const plex of aggregate.disks.keys()) {
      const before = this.pathsOf(aggregate, plex)
      const place = { path: `${aggregate.disks[plex]}+${before.length + 1}`, diskIndex: before.length + 1 }
      const identity = new Uint8Array(16).fill(150 + 20 * aggregate.place + 10 * plex + place.diskIndex)
      labelAs(this.#world, aggregate, plex, identity, { ...place, diskCount: place.diskIndex + 1 })
      this.#paths.set(`${aggregate.name} ${plex}`, [...before, place.path])
    }
    this.#world.note(`a disk is labelled for each plex of ${aggregate.name}`)
  }

  /**
   * In the middle of all that goes wrong: a disk is labelled for each plex, then one node after the other is
   * ended, gets its settings, and starts again.
   */
  plan(random: Random, withinMs: number): void {
    const { scheduler, aggregates, nodes } = this.#world
    for (const aggregate of aggregates) {
      const atMs = random.between(0, 0.7 * withinMs)
      scheduler.after(atMs, () => this.label(aggregate))
      for (const node of nodes) {
        const restMs = random.between(0, 0.4 * withinMs)
        const downMs = random.between(0, 500)
        scheduler.after(atMs + 1 + restMs, () => {
          if (this.#lists(node, aggregate)) return
          this.list(node, aggregate)
          node.kill()
          scheduler.after(downMs, () => this.#world.start(node))
        })
      }
    }
  }

  /** Peace: what was planned is done now. Nodes that need it are ended, for others to start them. */
  finish(): void {
    for (const aggregate of this.#world.aggregates) {
      if (this.pathsOf(aggregate, 0).length === 0) continue
      for (const node of this.#world.nodes) {
        if (this.#lists(node, aggregate)) continue
        this.list(node, aggregate)
        node.kill()
      }
    }
  }

  /** Whether the image that is open lies on all of them, or is about to. */
  areListed(aggregate: AggregateWorld): boolean {
    const image = this.#world.serverOf(aggregate)?.engine.owner?.aggregate.image
    return image?.plex.segments.length === 1 + this.pathsOf(aggregate, 0).length
  }

  /** In peace all of them are part of the image. */
  mustCount(aggregate: AggregateWorld): void {
    const image = this.#world.serverOf(aggregate)?.engine.owner?.aggregate.image
    if (image?.isGrowing === false && this.areListed(aggregate)) return
    throw new Error(`the disks that were added to ${aggregate.name} do not count`)
  }

  get count(): number {
    return [...this.#paths.values()].reduce((sum, { length }) => sum + length, 0)
  }

  #lists(node: SimNode, aggregate: AggregateWorld): boolean {
    return this.listedBy(node, aggregate) === this.pathsOf(aggregate, 0).length
  }

  /** The settings of a node list all of them, or so many, from its next start on. */
  list(node: SimNode, aggregate: AggregateWorld, count = this.pathsOf(aggregate, 0).length): void {
    this.#listed.set(`${node.name} ${aggregate.name}`, count)
    this.#world.note(`${node.name} has a longer list for ${aggregate.name}`)
  }
}
