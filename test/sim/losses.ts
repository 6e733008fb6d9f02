import { crc32c } from '../../ts/base/crc32c.ts'
import type { SimEngine } from './engine-host.ts'
import { type Platter, ZEROES } from './platter.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** What was never written is the same everywhere. */
const OF_NOTHING = crc32c(ZEROES)

/**
 * What an aggregate may be unable to give, by what was done to its disks. With two plexes that is what
 * neither could give; or what one could not give that was the only one in sync, by the record, then or later;
 * or, for a while, what one could not give that was the only one that its owner read, by then.
 */
export class Losses {
  readonly #world: SimWorld
  readonly #aggregate: AggregateWorld
  /** by plex: it has lost something, and the other one was not in sync */
  readonly #wasAlone = [false, false]
  /** by plex: what it could not give when its owner had left the other one out, and the record not yet */
  readonly #withheld = [new Set<number>(), new Set<number>()]
  /** by plex: how much it had lost when that was last noted; what was lost once stays so */
  readonly #noted = [0, 0]
  #hasBegun = false

  constructor(world: SimWorld, aggregate: AggregateWorld) {
    this.#world = world
    this.#aggregate = aggregate
  }

  /** Checksums of contents that nobody can have back. */
  get lost(): ReadonlySet<number> {
    return this.#excused(({ lostContents }) => [...lostContents])
  }

  /** Those, and the ones that could not be had for a while. */
  get doubtful(): ReadonlySet<number> {
    const of = ({ lostContents, doubtfulContents }: Platter): number[] => [
      ...lostContents,
      ...doubtfulContents,
    ]
    // the other host may be down, or the link
    if (this.#world.options.isApart) return new Set(this.#world.plattersOf(this.#aggregate).flatMap(of))
    return this.#excusedForNow(of)
  }

  /** Metadata could not be had for a while, and so nothing that is under it. */
  get mayRefuseAll(): boolean {
    // the partner's disk may be the only one in sync, and while it is gone it says nothing of single blocks
    const platters = this.#world.plattersOf(this.#aggregate)
    if (this.#world.options.isApart && platters.some(({ wasGone }) => wasGone)) return true
    return this.#excusedForNow(({ doubtfulMetadata }) => [...doubtfulMetadata]).size > 0
  }

  /** Called before and after each change of the record. */
  look(): void {
    const platters = this.#world.plattersOf(this.#aggregate)
    if (platters.length < 2 || this.#world.isDoomed) return
    if (this.#world.recordOf(this.#aggregate) === undefined) return
    const inSync = this.#world.plexesInSync(this.#aggregate)
    if (inSync.length === 0) throw new Error(`no plex of ${this.#aggregate.name} is in sync by the record`)
    this.#unharmedMustBeIn(inSync)
    for (const [plex, platter] of platters.entries()) {
      if (platter.hasLost && !inSync.includes(1 - plex)) this.#wasAlone[plex] = true
    }
  }

  /**
   * Called after each turn of an engine of this aggregate. Its owner leaves a plex out before the record says
   * so, and if the arbiter is slow, long before.
   */
  lookAt({ engine, node }: SimEngine): void {
    const { owner } = engine
    if (owner === undefined || this.#aggregate.disks.length < 2 || this.#world.options.isApart) return
    const [read, another] = owner.aggregate.image.copies.reading
    if (read === undefined || another !== undefined) return
    const { plex } = read
    // nothing that fails takes the unharmed one out
    if (plex === this.#aggregate.losingPlex) return
    // another one may have come meanwhile: nothing of this one gets out any more
    const record = this.#world.recordOf(this.#aggregate)
    if (record?.owner !== node.name || record.epoch !== owner.aggregate.epoch) return
    const platter = this.#world.plattersOf(this.#aggregate)[plex]!
    // what it could not give once, and can again, is no excuse
    if (!platter.withholds) return
    const { lostContents, doubtfulContents } = platter
    const size = lostContents.size + doubtfulContents.size
    if (size === this.#noted[plex]) return
    this.#noted[plex] = size
    for (const contents of [lostContents, doubtfulContents]) {
      for (const one of contents) this.#withheld[plex]!.add(one)
    }
  }

  /** Nothing was ever done to the plex that has to make up for the other one. */
  #unharmedMustBeIn(inSync: readonly number[]): void {
    const { losingPlex, name } = this.#aggregate
    this.#hasBegun ||= inSync.length === 2
    if (losingPlex === undefined || !this.#hasBegun || inSync.includes(1 - losingPlex)) return
    throw new Error(`plex ${1 - losingPlex} of ${name} is called stale, and nothing has failed on it`)
  }

  #excused(of: (platter: Platter) => readonly number[]): Set<number> {
    this.look()
    const [first, second] = this.#world.plattersOf(this.#aggregate).map((platter) => new Set(of(platter)))
    if (second === undefined) return first!
    const excused = new Set([...first!].filter((one) => second.has(one) && one !== OF_NOTHING))
    for (const [plex, contents] of [first!, second].entries()) {
      if (this.#wasAlone[plex]) for (const one of contents) excused.add(one)
    }
    return excused
  }

  /** What the owner has left out counts again when another one comes, so this is no loss for good. */
  #excusedForNow(of: (platter: Platter) => readonly number[]): Set<number> {
    const excused = this.#excused(of)
    for (const [plex, platter] of this.#world.plattersOf(this.#aggregate).entries()) {
      const withheld = this.#withheld[plex]!
      if (withheld.size > 0) for (const one of of(platter)) if (withheld.has(one)) excused.add(one)
    }
    return excused
  }
}
