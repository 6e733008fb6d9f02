import { nodeFaults } from './node-faults.ts'
import { diskFaults, networkFaults } from './outside-faults.ts'
import { plexFaults } from './plex-faults.ts'
import type { Fault, Heal, Scene } from './scene.ts'

const anywhere: Record<string, Fault> = { ...nodeFaults, ...networkFaults, ...diskFaults }
const all: Record<string, Fault> = { ...anywhere, ...plexFaults }

export const faultNames: readonly string[] = Object.keys(anywhere)
/** only where aggregates have two plexes */
export const plexFaultNames: readonly string[] = Object.keys(plexFaults)

export interface FaultPlan {
  /** names and weights */
  readonly faults: ReadonlyMap<string, number>
  readonly faultEveryMs: number
  readonly faultLengthMs: number
  readonly faultsAtOnceMax: number
}

/** Brings faults about, several at once, for as long as it is not stopped; each ends after a while. */
export class FaultMaker {
  readonly counts = new Map<string, number>()
  readonly #scene: Scene
  readonly #plan: FaultPlan
  readonly #bag: string[] = []
  readonly #active = new Set<Heal>()

  constructor(scene: Scene, plan: FaultPlan) {
    this.#scene = scene
    this.#plan = plan
    for (const [name, weight] of plan.faults) for (let i = 0; i < weight; i += 1) this.#bag.push(name)
    this.#schedule()
  }

  /** Peace: everything that is broken is made whole. */
  stop(): void {
    this.#scene.isPeace = true
    for (const heal of [...this.#active]) heal()
    this.#active.clear()
    const { world } = this.#scene
    world.arbiter.heal()
    world.network.mend()
    world.unstickDisks()
    for (const node of world.nodes) {
      if (node.isPaused) node.resume()
      world.start(node)
    }
  }

  #schedule(): void {
    const { random, world } = this.#scene
    world.scheduler.after(random.between(0.1, 2) * this.#plan.faultEveryMs, () => {
      if (this.#scene.isPeace) return
      if (this.#active.size < this.#plan.faultsAtOnceMax && this.#bag.length > 0) {
        this.#begin(random.pick(this.#bag))
      }
      this.#schedule()
    })
  }

  #begin(name: string): void {
    const { world } = this.#scene
    const end = all[name]!(this.#scene)
    if (end === undefined) return
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    world.note(`FAULT ${name}`)
    const heal = (): void => {
      if (!this.#active.delete(heal)) return
      world.note(`END of ${name}`)
      end()
    }
    this.#active.add(heal)
    world.scheduler.after(end.lengthMs ?? this.#drawLength(), heal)
  }

  /** A stall of ten seconds is rare, but has to come. */
  #drawLength(): number {
    const { random } = this.#scene
    return random.chance(0.03) ? 10_000 : random.between(0.05, 2) * this.#plan.faultLengthMs
  }
}
