import { ModelArbiter, type Random, randomOf, Time } from './model-arbiter.ts'
import { ModelNode, type Session } from './model-node.ts'

/** What both nodes share: disks, vault, and what clients were promised. */
export class ModelPair {
  readonly time = new Time()
  readonly random: Random
  readonly arbiter: ModelArbiter
  readonly image = new Set<number>()
  readonly vault = new Set<number>()
  acknowledged = new Set<number>()
  hasVault = false
  isCableUp = true
  imageEpoch = 0
  openFailureRate = 0
  /** called whenever a node has come to another state: the moments that matter */
  onState: (node: ModelNode, state: string) => void = () => undefined
  readonly nodes: readonly [ModelNode, ModelNode]
  readonly seen = new Map<string, number>()
  #nextEntry = 1
  #nextName = 1
  #session: Session | undefined

  constructor(seed: number) {
    this.random = randomOf(seed)
    this.arbiter = new ModelArbiter(this.time, this.random)
    this.nodes = [new ModelNode(this, 'castor', 'pollux'), new ModelNode(this, 'pollux', 'castor')]
  }

  newName(): string {
    return `n${this.#nextName++}`
  }

  newEntry(): number {
    return this.#nextEntry++
  }

  count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1)
  }

  other(node: ModelNode): ModelNode {
    return this.nodes[0] === node ? this.nodes[1] : this.nodes[0]
  }

  /** One moment of the world, and what must hold in each. */
  step(): void {
    this.time.pass()
    this.#link()
    for (const node of this.nodes) node.turn()
    const writers = this.nodes.filter((node) => node.mayServe)
    if (writers.length > 1) throw new Error(`two nodes serve at ${this.time.nowMs} ms`)
  }

  run(durationMs: number): void {
    const endMs = this.time.nowMs + durationMs
    while (this.time.nowMs < endMs) this.step()
  }

  #link(): void {
    const [a, b] = this.nodes
    const session = this.#session
    if (session && !(this.isCableUp && a.hasSession(session) && b.hasSession(session))) {
      session.isUp = false
      this.#session = undefined
      const noticedMs = () => this.random() * (this.random() < 0.5 ? 40 : 2)
      for (const node of this.nodes) this.time.after(noticedMs(), () => node.hangUp(session))
    }
    if (!this.#session && this.isCableUp && a.canLink && b.canLink && this.random() < 0.05) {
      const fresh = { isUp: true }
      this.#session = fresh
      const facts = [a.facts(), b.facts()] as const
      a.linked(fresh, facts[1])
      b.linked(fresh, facts[0])
    }
  }
}
