import { StoreError } from '../../ts/base/errors.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { tailLabelAt } from '../../ts/disk/zones.ts'
import { type CheckProblem, type CheckReport, check } from '../../ts/volume/check.ts'
import { drive, PromptDisk } from './format.ts'
import { SimMemory } from './memory.ts'
import type { Platter } from './platter.ts'
import type { Random } from './random.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** What else does not fit when a block with pointers is damaged: nothing below it is reached. */
const FOLLOWS = ['superblock', 'directory', 'volume', 'leaked']

/** What `pollux check` says of copies of the disks of a plex. Throws StoreError if that cannot be said. */
export function checkCopy(
  world: SimWorld,
  aggregate: AggregateWorld,
  plex: number,
  copied: (platter: Platter) => Platter = (platter) => platter.copy(),
): CheckReport {
  const memory = new SimMemory(world.mappings)
  const paths = world.pathsOf(aggregate, plex)
  const disks = paths.map((path) => new PromptDisk(copied(world.platter(path)), memory, path))
  try {
    return drive(check(disks, memory), disks)
  } finally {
    memory.giveBackAll()
  }
}

/**
 * Everything that the newest superblock reaches is whole, and the free map marks exactly that, on each plex
 * that the record calls in sync: on a copy of its disk as it is, and as it would be if the power were lost
 * now. Reads the copy with `pollux check`.
 */
export class ImageCheck {
  checks = 0
  readonly #world: SimWorld
  /** for crashes of copies: what happens to them has no influence on the world */
  readonly #random: Random

  constructor(world: SimWorld, random: Random) {
    this.#world = world
    this.#random = random
  }

  asItIs(aggregate: AggregateWorld): CheckReport[] {
    return this.#each(aggregate, (platter) => platter.copy(), 'as it is')
  }

  afterPowerLoss(aggregate: AggregateWorld): CheckReport[] {
    return this.#each(aggregate, (platter) => platter.copy(this.#random), 'after a loss of power')
  }

  #each(aggregate: AggregateWorld, copied: (platter: Platter) => Platter, how: string): CheckReport[] {
    return this.#world.plexesInSync(aggregate).map((plex) => this.#check(aggregate, plex, copied, how))
  }

  #check(
    aggregate: AggregateWorld,
    plex: number,
    copied: (platter: Platter) => Platter,
    how: string,
  ): CheckReport {
    this.checks += 1
    const path = aggregate.disks[plex]!
    try {
      const report = checkCopy(this.#world, aggregate, plex, copied)
      const unexplained = this.#unexplained(report.problems, aggregate, this.#world.platter(path))
      if (unexplained.length === 0) return report
      const what = unexplained.map(({ kind, text }) => `${kind}: ${text}`).slice(0, 5)
      throw new Error(`${path} of ${aggregate.name}, ${how}, is not in order: ${what.join('; ')}`)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      throw new Error(`${path} of ${aggregate.name}, ${how}, cannot be checked: ${error.message}`)
    }
  }

  /** The same for what a scrub has found, in its words; errors of the disk may pass. */
  isExplained(text: string, aggregate: AggregateWorld): boolean {
    if (text.includes('unreadable') || text.includes('cannot be read')) return true
    const platters = this.#world.plattersOf(aggregate)
    const damaged = platters.map((platter) => this.#damagedOf(aggregate, platter))
    if (text.includes('label'))
      return platters.some((platter, at) => damaged[at]!.has(0) || damaged[at]!.has(tailOf(platter)))
    if (text.includes('superblock slot')) return damaged.some(({ size }) => size > 0)
    const number = this.#blockIn(text, aggregate)
    return damaged.some((blocks) => blocks.has(number))
  }

  /** One of two copies on the same disk, or one that the next writer of the slot makes whole. */
  isOutsideOfBlocks(text: string): boolean {
    return text.includes('label') || text.includes('superblock slot')
  }

  #unexplained(
    problems: readonly CheckProblem[],
    aggregate: AggregateWorld,
    platter: Platter,
  ): CheckProblem[] {
    const left = problems.filter((problem) => !this.#isDone(problem, aggregate, platter))
    // only there, more than data is damaged
    if (!platter.losesAnything || !problems.some(({ kind }) => kind === 'checksum')) return left
    return left.filter(({ kind, text }) => !FOLLOWS.includes(kind) || text.includes('no valid superblock'))
  }

  /** What the world itself has damaged: blocks of data, and one of two labels. */
  #isDone({ kind, text }: CheckProblem, aggregate: AggregateWorld, platter: Platter): boolean {
    if (kind === 'label') return this.#damagedOf(aggregate, platter).has(tailOf(platter))
    if (kind !== 'checksum') return false
    const number = this.#blockIn(text, aggregate)
    // what the one plex in sync had lost could not be copied to the other one
    const sources = platter.losesAnything ? [platter] : this.#world.plattersOf(aggregate)
    return sources.some((source) => this.#damagedOf(aggregate, source).has(number))
  }

  /** With two plexes a block may have been healed, or is about to be, or power is lost before the flush. */
  #damagedOf({ disks }: AggregateWorld, platter: Platter): ReadonlySet<number> {
    return disks.length > 1 ? platter.everBad : platter.rotten
  }

  /** The block of the disk that a problem or a finding names; without `provesHealing` only of data. */
  #blockIn(text: string, { losingPlex }: AggregateWorld): number {
    const isMetadata = text.includes('the volume directory') || !text.includes('(data, ')
    if (isMetadata && losingPlex === undefined) return Number.NaN
    const physical = Number(/, at (\d+)( of plex \d)?\)/.exec(text)?.[1] ?? Number.NaN)
    return this.#world.blocksFrom + physical
  }
}

const tailOf = ({ byteLength }: Platter): number => tailLabelAt(byteLength) / BLOCK_SIZE
