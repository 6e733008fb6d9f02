import type { Scrubbing } from '../../ts/engine/scrubbing.ts'
import type { CheckReport } from '../../ts/volume/check.ts'
import type { ScrubFinding } from '../../ts/volume/scrub.ts'
import type { ImageCheck } from './check-image.ts'
import type { SimEngine } from './engine-host.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** How a run waits and asks. */
export interface Asking {
  /** Asks the engine that serves, and waits for its answer. */
  must(aggregate: AggregateWorld, name: string, body: unknown): void
  mustHappen(what: string, withinMs: number, condition: () => boolean): void
}

/** Engines call damaged only what the world has damaged; and in the end all that one plex has is on both. */
export class ScrubCheck {
  readonly #world: SimWorld
  readonly #images: ImageCheck
  readonly #asking: Asking

  constructor(world: SimWorld, images: ImageCheck, asking: Asking) {
    this.#world = world
    this.#images = images
    this.#asking = asking
  }

  /** A block counts as damaged only if the world has damaged it, or made it unreadable for a while. */
  mustBeDamaged({ place }: SimEngine, text: string): void {
    if (this.#world.isDoomed) return
    const aggregate = this.#world.aggregates[place]!
    if (aggregate.losingPlex !== undefined)
      throw new Error(
        `${aggregate.name}: ${text}, and nothing has failed on plex ${1 - aggregate.losingPlex}`,
      )
    const number = this.#world.blocksFrom + Number(/block (\d+) is damaged/.exec(text)?.[1])
    const isMirrored = aggregate.disks.length > 1
    const platters = this.#world.plattersOf(aggregate)
    const isDone = platters.some(({ rotten, everBad }) => (isMirrored ? everBad : rotten).has(number))
    if (isDone || text.includes('unreadable')) return
    throw new Error(`${aggregate.name}: ${text}, and the world has done nothing to it`)
  }

  /** A scrub says only what the world has done, whatever consistency points do meanwhile. */
  mustBeTrue({ place }: SimEngine, text: string): void {
    const aggregate = this.#world.aggregates[place]!
    if (this.#world.isDoomed || this.#images.isExplained(text, aggregate)) return
    throw new Error(`the scrub of ${aggregate.name} found ${text}, and the world has done nothing to it`)
  }

  /** In peace scrub and check both read everything past all caches, and find the same. */
  findsWhatCheckFinds(aggregate: AggregateWorld): CheckReport[] {
    const isMirrored = aggregate.disks.length > 1
    // what one plex has and the other one has not is there again after the first one
    if (isMirrored) this.#scrub(aggregate)
    const { findings, findingCount } = this.#scrub(aggregate)
    const reports = this.#images.asItIs(aggregate)
    if (isMirrored) {
      this.#mustAgree(aggregate, findings, reports)
      return reports
    }
    const { problemCount } = reports[0]!
    if (findingCount === problemCount) return reports
    throw new Error(
      `the scrub of ${aggregate.name} found ${told(findings)}, the check ${problemCount} problems`,
    )
  }

  /** They begin again by themselves, each in its own time, but not at once. */
  stop(): void {
    for (let attempt = 0; attempt < 20 && !this.#areOver(); attempt += 1) {
      for (const aggregate of this.#world.aggregates)
        this.#world.serverOf(aggregate)!.request('scrub-stop', {})
      this.#world.runUntil(() => this.#areOver(), 150)
    }
    if (!this.#areOver()) throw new Error('a scrub that is told to stop goes on')
  }

  #scrub(aggregate: AggregateWorld): Scrubbing {
    this.#asking.must(aggregate, 'scrub-start', { byteRate: 1 << 30 })
    const { scrubbing } = this.#world.serverOf(aggregate)!.engine.owner!
    this.#asking.mustHappen('the scrub ends', 60_000, () => scrubbing.state === 'finished')
    return scrubbing
  }

  /** What is still damaged after a scrub has healed what it could, neither plex had. */
  #mustAgree(
    aggregate: AggregateWorld,
    findings: readonly ScrubFinding[],
    reports: readonly CheckReport[],
  ): void {
    const left = findings.filter(({ where, why }) => !this.#images.isOutsideOfBlocks(`${where}: ${why}`))
    const problems = reports.flatMap(({ problems }) => problems).filter(({ kind }) => kind !== 'label')
    const isLeft = left.length + problems.length > 0
    if (left.length > 0 === problems.length > 0 && !(isLeft && aggregate.losingPlex !== undefined)) return
    const checked = problems.map(({ text }) => text).join('; ')
    const found = `the next one found ${told(left)}, the check ${checked || 'nothing'}`
    throw new Error(`after a scrub has healed ${aggregate.name}, ${found}`)
  }

  /** Blocks that a scrub has read through the cache are mended by that, and may still be on their way. */
  #areOver(): boolean {
    const owners = this.#world.aggregates.map((aggregate) => this.#world.serverOf(aggregate)?.engine.owner)
    return owners.every(
      (owner) => owner?.scrubbing.state !== 'running' && owner?.aggregate.image.mender.inFlight === 0,
    )
  }
}

const told = (findings: readonly ScrubFinding[]): string =>
  findings.map(({ where, why }) => `${where}: ${why}`).join('; ') || 'nothing'
