import { crc32c } from '../../ts/base/crc32c.ts'
import { type Platter, ZEROES } from './platter.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** What was never written is the same everywhere. */
const OF_NOTHING = crc32c(ZEROES)

/**
 * What an aggregate may be unable to give, by what was done to its disks. With two plexes that is what
 * neither could give; or what one could not give that was the only one in sync, by the record, then or later.
 */
export class Losses {
  readonly #world: SimWorld
  readonly #aggregate: AggregateWorld
  /** by plex: it has lost something, and the other one was not in sync */
  readonly #wasAlone = [false, false]
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
    return this.#excused(of)
  }

  /** Metadata could not be had for a while, and so nothing that is under it. */
  get mayRefuseAll(): boolean {
    // the partner's disk may be the only one in sync, and while it is gone it says nothing of single blocks
    const platters = this.#world.plattersOf(this.#aggregate)
    if (this.#world.options.isApart && platters.some(({ wasGone }) => wasGone)) return true
    return this.#excused(({ doubtfulMetadata }) => [...doubtfulMetadata]).size > 0
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
}
