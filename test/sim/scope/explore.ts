import type { Durability } from '../../../ts/config/engine-settings.ts'
import { afterPowerLoss, comeBack, comebacks, type Wreck, wreckOf } from './crash.ts'
import { formattedPlatter, imageProblems } from './image.ts'
import { type Operation, Operator, whoIsWhat } from './operations.ts'
import { type Remains, ScopeWorld } from './world.ts'

export interface Tally {
  sequences: number
  /** moments at which the pair was crashed */
  points: number
  /** disks that crashes at those moments left, and pairs that were started on them */
  wrecks: number
  comebacks: number
  /** of those, how many found that they may not serve without the other one */
  refusals: number
  failures: string[]
}

export const emptyTally = (): Tally => ({
  sequences: 0,
  points: 0,
  wrecks: 0,
  comebacks: 0,
  refusals: 0,
  failures: [],
})

/** Every sequence of up to `length` operations, shorter ones first. */
export function* sequences(list: readonly Operation[], length: number): Generator<Operation[]> {
  for (let each = 1; each <= length; each += 1) yield* ofLength(list, each)
}

export function* ofLength(list: readonly Operation[], length: number): Generator<Operation[]> {
  if (length === 0) return yield []
  for (const rest of ofLength(list, length - 1)) for (const last of list) yield [...rest, last]
}

/**
 * One sequence, crashed after each write and each flush of its last operation, at its answers, and after
 * it: what comes before is the last operation of a shorter sequence. Returns what is wrong first.
 */
export function crashEverywhere(
  steps: readonly Operation[],
  durability: Durability,
  tally: Tally,
): string | undefined {
  const last = steps.at(-1)!
  const before = (operator: Operator): void => {
    for (const operation of ['create', 'write', 'consistency point', 'overwrite'] as const)
      operator.run(operation)
    for (const operation of steps.slice(0, -1)) operator.run(operation)
  }
  return crashDuring(
    { name: steps.join(', '), before, during: (operator) => operator.run(last) },
    durability,
    tally,
  )
}

/** What happens to a pair, and from when on it is crashed at every moment. */
export interface Workload {
  readonly name: string
  readonly before: (operator: Operator) => void
  readonly during: (operator: Operator) => void
}

export function crashDuring(workload: Workload, durability: Durability, tally: Tally): string | undefined {
  tally.sequences += 1
  const failure = new CrashRun(workload, durability, tally).whole()
  if (failure !== undefined) tally.failures.push(`${workload.name} (${durability}): ${failure}`)
  return failure
}

class CrashRun {
  readonly #workload: Workload
  readonly #tally: Tally
  readonly #world: ScopeWorld
  readonly #operator: Operator
  #failure: string | undefined
  #lifetime = 1
  #last: Wreck | undefined

  constructor(workload: Workload, durability: Durability, tally: Tally) {
    this.#workload = workload
    this.#tally = tally
    this.#world = new ScopeWorld(prepared(), durability, 0)
    this.#operator = new Operator(this.#world)
  }

  whole(): string | undefined {
    const world = this.#world
    try {
      for (const node of world.nodes) world.start(node)
      if (!world.runUntil(() => world.isInSync)) return `the pair does not start: ${whoIsWhat(world)}`
      this.#workload.before(this.#operator)
      world.onDisk = (what) => this.#crashed(`after a ${what}`)
      this.#operator.onAnswer = () => this.#crashed('at the answer')
      this.#workload.during(this.#operator)
      if (this.#hasChanged()) this.#crashed('at the end')
    } catch (error) {
      this.#failure ??= error instanceof Error ? (error.stack ?? error.message) : String(error)
    } finally {
      world.dispose()
    }
    return this.#failure
  }

  /** A crash at this moment, with all its fates and comebacks. The run itself goes on. */
  #crashed(when: string): void {
    if (this.#failure !== undefined) return
    this.#tally.points += 1
    const wreck = wreckOf(this.#world, this.#world.platter, this.#lifetime)
    this.#last = wreck
    for (const fate of this.#world.platter.possibleFates) {
      this.#tally.wrecks += 1
      const mistake = this.#judge(afterPowerLoss(wreck, fate))
      if (mistake !== undefined) {
        this.#failure = `crash ${when}, unflushed writes ${fate}: ${mistake}`
        throw new Error(this.#failure)
      }
    }
  }

  /** Whether a crash now leaves what the last one did not: each write to a disk had one of its own. */
  #hasChanged(): boolean {
    const { record, rings } = wreckOf(this.#world, this.#world.platter, this.#lifetime)
    const last = this.#last
    if (last === undefined || record?.version !== last.record?.version) return true
    return !isSame(rings.castor, last.rings.castor) || !isSame(rings.pollux, last.rings.pollux)
  }

  #judge(wreck: Wreck): string | undefined {
    const problem = imageProblems(wreck.platter)[0]
    if (problem !== undefined) return problem
    let served = 0
    for (const how of comebacks) {
      this.#lifetime += 1
      this.#tally.comebacks += 1
      const verdict = comeBack({ ...wreck, lifetime: this.#lifetime }, how, this.#operator.history)
      if (verdict.found !== undefined) return `${how}: ${verdict.found}`
      if (verdict.served && how !== 'both without memory') served += 1
      if (!verdict.served) this.#tally.refusals += 1
    }
    return served > 0 ? undefined : 'neither node serves alone, although both have their memory'
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0)
}

let formatted: Remains['platter'] | undefined

/** A fresh disk, and two nodes that have never run. */
function prepared(): Remains {
  formatted ??= formattedPlatter()
  const platter = formatted.afterPowerLoss('kept')
  return { platter, record: undefined, rings: { castor: undefined, pollux: undefined } }
}
