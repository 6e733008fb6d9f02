import type { StoreError } from '../../ts/base/errors.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Owner } from '../../ts/engine/owner.ts'
import type { SimEngine } from './engine-host.ts'
import type { Random } from './random.ts'
import type { SimVolume } from './sim-volume.ts'
import { RangeChange } from './volume-model.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

type Answer = { result: unknown; error: StoreError | undefined }
/** What became of a request: an answer, or nothing more will be heard of it. */
type Done = (answer: Answer | undefined) => void

interface Asked {
  readonly host: SimEngine
  readonly owner: Owner | undefined
  readonly request: number
  readonly name: string
  readonly done: Done
}

type Presence = 'there' | 'gone' | 'unknown'

/**
 * Somebody at the command line of one aggregate: makes, renames, resizes and deletes volumes, holds
 * consistency points, hands ownership over. Knows which volumes there have to be.
 */
export class SimOperator {
  isIdle = true
  answers = 0
  refusals = 0
  readonly #world: SimWorld
  readonly #aggregate: AggregateWorld
  readonly #elastic: SimVolume | undefined
  readonly #random: Random
  readonly #everyMs: number
  readonly #scratch = new Map<string, Presence>()
  #asked: Asked[] = []
  #names = 0
  #isResizing = false

  constructor(world: SimWorld, aggregate: AggregateWorld, elastic: SimVolume | undefined, everyMs: number) {
    this.#world = world
    this.#aggregate = aggregate
    this.#elastic = elastic
    this.#random = world.random
    this.#everyMs = everyMs
    this.#tick()
  }

  get pending(): readonly string[] {
    return this.#asked.map(({ name, host, request }) => `${name} (request ${request} to ${host.node.name})`)
  }

  /** Memory was lost: what was changed lately may be undone. */
  memoryLost(): void {
    this.#hear()
    for (const name of this.#scratch.keys()) this.#scratch.set(name, 'unknown')
    if (this.#elastic !== undefined) this.#elastic.sizes = undefined
  }

  /** Asks an engine; `done` hears the answer once, or undefined when it can take effect no more. */
  ask(host: SimEngine, name: string, body: unknown, done: Done): void {
    const { owner } = host.engine
    this.#asked.push({ host, owner, request: host.request(name, body), name, done })
  }

  /** Which volumes there must be, and must not be. */
  checkVolumes(names: readonly string[]): void {
    for (const [name, presence] of this.#scratch) {
      if (presence === 'there' && !names.includes(name))
        throw new Error(`volume ${name} was made and is gone`)
      if (presence === 'gone' && names.includes(name))
        throw new Error(`volume ${name} was deleted and is back`)
    }
    if (new Set(names).size !== names.length) throw new Error(`a name is there twice: ${names.join(', ')}`)
  }

  #tick(): void {
    this.#hear()
    const host = this.#world.serverOf(this.#aggregate)
    if (!this.isIdle && host?.isAwake && this.#asked.length < 4) this.#act(host)
    this.#world.scheduler.after(this.#random.between(0.1, 2) * this.#everyMs, () => this.#tick())
  }

  #hear(): void {
    this.#asked = this.#asked.filter((asked) => {
      const answer = asked.host.answers.get(asked.request)
      if (answer === undefined && !this.#isOver(asked)) return true
      if (answer?.error !== undefined) this.refusals += 1
      else if (answer !== undefined) this.answers += 1
      asked.done(answer)
      return false
    })
  }

  /** The process that was asked is gone, and a successor shows what it has done. */
  #isOver({ host }: Asked): boolean {
    const server = this.#world.serverOf(this.#aggregate)
    return host.isDead && server !== undefined && server.engine.owner !== undefined
  }

  #act(host: SimEngine): void {
    const dice = this.#random.below(100)
    const nothing = (): void => {}
    if (dice < 15) return this.ask(host, 'cp-now', {}, nothing)
    if (dice < 20) return this.#hold(host)
    if (dice < 32) return this.ask(host, 'handover', { dryRun: this.#random.chance(0.1) }, nothing)
    if (dice < 42) return this.#takeover()
    if (dice < 56) return this.#create(host)
    if (dice < 66) return this.#delete(host)
    if (dice < 74) return this.#rename(host)
    if (dice < 90) return this.#resize(host)
    if (dice < 95) return this.ask(host, 'status', {}, nothing)
    this.ask(host, 'log-dump', { copy: 'own', limit: 3 }, nothing)
  }

  #hold(host: SimEngine): void {
    this.ask(host, 'cp-hold', {}, (answer) => {
      if (answer === undefined || answer.error !== undefined) return
      this.#world.scheduler.after(this.#random.between(10, 600), () => {
        if (!host.isDead) this.ask(host, 'cp-resume', {}, () => {})
      })
    })
  }

  #takeover(): void {
    const others = this.#world.hostsOf(this.#aggregate).filter((host) => !host.serving.serves && host.isAwake)
    const body = { dryRun: this.#random.chance(0.2), force: false, acceptDataLoss: false, reason: 'a test' }
    if (others.length > 0) this.ask(this.#random.pick(others), 'takeover', body, () => {})
  }

  #create(host: SimEngine): void {
    if (this.#scratch.size > 12) return
    this.#names += 1
    const name = `scratch${this.#names}`
    this.#scratch.set(name, 'unknown')
    const size = BLOCK_SIZE * (1 + this.#random.below(512))
    this.ask(host, 'volume-create', { name, size }, (answer) => this.#expect(name, 'there', answer))
  }

  #delete(host: SimEngine): void {
    const name = this.#pickScratch()
    if (name === undefined) return
    this.#scratch.set(name, 'unknown')
    this.ask(host, 'volume-delete', { name }, (answer) => this.#expect(name, 'gone', answer))
  }

  #rename(host: SimEngine): void {
    const name = this.#pickScratch()
    if (name === undefined) return
    this.#names += 1
    const newName = `renamed${this.#names}`
    this.#scratch.set(name, 'unknown')
    this.#scratch.set(newName, 'unknown')
    this.ask(host, 'volume-rename', { name, newName }, (answer) => {
      this.#expect(name, 'gone', answer)
      this.#expect(newName, 'there', answer)
    })
  }

  #pickScratch(): string | undefined {
    const there = [...this.#scratch].filter(([, presence]) => presence === 'there').map(([name]) => name)
    return there.length === 0 ? undefined : this.#random.pick(there)
  }

  #expect(name: string, presence: Presence, answer: Answer | undefined): void {
    if (answer !== undefined && answer.error === undefined) this.#scratch.set(name, presence)
  }

  /** Cuts off or adds; what was cut off reads as zeroes when it comes again. */
  #resize(host: SimEngine): void {
    const volume = this.#elastic
    if (volume === undefined || this.#isResizing) return
    const size = BLOCK_SIZE * (16 + this.#random.below(113))
    const { model, largestByteLength } = volume
    const isCut = size < largestByteLength
    const cut = isCut ? new RangeChange(size, largestByteLength - size, undefined) : undefined
    this.#isResizing = true
    volume.sizes?.add(size)
    if (cut !== undefined) {
      model.begin(cut)
      volume.byteLength = Math.min(volume.byteLength, size)
      volume.smallestByteLength = Math.min(volume.smallestByteLength, size)
    }
    this.ask(host, 'volume-resize', { name: volume.name, size }, (answer) => {
      this.#isResizing = false
      const isDone = answer !== undefined && answer.error === undefined
      if (cut !== undefined) isDone ? model.end(cut) : model.decide(cut)
      if (!isDone) return
      volume.byteLength = size
      if (volume.sizes !== undefined) volume.sizes = new Set([size])
    })
  }
}
