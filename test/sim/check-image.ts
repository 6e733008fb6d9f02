import { StoreError } from '../../ts/base/errors.ts'
import { type CheckProblem, type CheckReport, check } from '../../ts/volume/check.ts'
import { drive, PromptDisk } from './format.ts'
import { SimMemory } from './memory.ts'
import type { Platter } from './platter.ts'
import type { Random } from './random.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/**
 * Everything that the newest superblock reaches is whole, and the free map marks exactly that: on a copy
 * of the disk as it is, and as it would be if the power were lost now. Reads the copy with `pollux check`.
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

  asItIs(aggregate: AggregateWorld): CheckReport {
    const platter = this.#world.platter(aggregate.disk)
    return this.#check(aggregate, platter.copy(), platter, 'as it is')
  }

  afterPowerLoss(aggregate: AggregateWorld): CheckReport {
    const platter = this.#world.platter(aggregate.disk)
    return this.#check(aggregate, platter.copy(this.#random), platter, 'after a loss of power')
  }

  #check(aggregate: AggregateWorld, copy: Platter, platter: Platter, how: string): CheckReport {
    this.checks += 1
    const memory = new SimMemory(this.#world.mappings)
    const disk = new PromptDisk(copy, memory, aggregate.disk)
    try {
      const report = drive(check([disk], memory), [disk])
      const unexplained = report.problems.filter((problem) => !this.#isExplained(problem, platter))
      if (unexplained.length === 0) return report
      const what = unexplained.map(({ kind, text }) => `${kind}: ${text}`).slice(0, 5)
      throw new Error(`the disk of ${aggregate.name}, ${how}, is not in order: ${what.join('; ')}`)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      throw new Error(`the disk of ${aggregate.name}, ${how}, cannot be checked: ${error.message}`)
    } finally {
      memory.giveBackAll()
    }
  }

  /** The same for what a scrub has found, in its words; errors of the disk may pass. */
  isExplained(text: string, platter: Platter): boolean {
    if (text.endsWith('unreadable') || text.includes('cannot be read')) return true
    if (text.includes('label'))
      return platter.rotten.has(0) || platter.rotten.has(platter.byteLength / 4096 - 1)
    if (text.includes('superblock slot')) return platter.rotten.size > 0
    const physical = Number(/\(data, at (\d+)\)/.exec(text)?.[1] ?? Number.NaN)
    return platter.rotten.has(this.#world.blocksFrom + physical)
  }

  /** What the world itself has damaged: blocks of data, and one of two labels. */
  #isExplained({ kind, text }: CheckProblem, platter: Platter): boolean {
    if (kind === 'label') return platter.rotten.has(platter.byteLength / 4096 - 1)
    if (kind !== 'checksum') return false
    const physical = Number(/\(data, at (\d+)\)/.exec(text)?.[1] ?? Number.NaN)
    return platter.rotten.has(this.#world.blocksFrom + physical)
  }
}
