import { StoreError } from '../../ts/base/errors.ts'
import type { Gather } from '../../ts/base/gather.ts'
import type { EngineSettings } from '../../ts/config/engine-settings.ts'
import { Engine } from '../../ts/engine.ts'
import { identityText } from '../../ts/format/identity.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { ServingState } from '../../ts/ports/host.ts'
import type { World } from '../../ts/ports/world.ts'
import { SimDisk } from './disk.ts'
import { SimMemory } from './memory.ts'
import type { SimNode } from './node.ts'
import type { Random } from './random.ts'
import type { Holder } from './stream.ts'
import type { SimWorld } from './world.ts'

const ECANCELED = -125
/** Whoever opens the same disk more often within a second tries again without a pause. */
const OPENINGS_MAX = 20

/** What an operation does to the outside; not whole: its process ends in the middle of it. */
type Effect = (isWhole: boolean) => number

interface Operation {
  disk: SimDisk
  effect: Effect
  done: Completion
}

/** One engine in one thread of one process, with the kernel that serves it. A restart makes a new one. */
export class SimEngine {
  readonly node: SimNode
  readonly world: SimWorld
  readonly random: Random
  readonly memory: SimMemory
  /** which aggregate, as a place in the world's list */
  readonly place: number
  readonly bootText: string
  readonly engine: Engine
  serving: ServingState = { serves: false, because: 'not started', volumes: [] }
  wantsLink = false
  openDisks = 0
  isDead = false
  /** the loop does not come round, although the process is there */
  isStalled = false
  readonly answers = new Map<number, { result: unknown; error: StoreError | undefined }>()
  requests = 0
  /** of each disk, when it was opened the last few times */
  readonly #openings = new Map<string, number[]>()
  #backlog: (() => void)[] = []
  readonly #inFlight = new Set<Operation>()
  /** operations of disks that do not answer */
  #stuck: Operation[] = []
  /** what the fence has kept back */
  #unsubmitted: { readonly operation: Operation; readonly delayMs: number }[] = []
  #turnScheduled = false
  #timerAtMs = Number.POSITIVE_INFINITY

  constructor(node: SimNode, place: number, settings: Omit<EngineSettings, 'boot'>) {
    this.node = node
    this.world = node.world
    this.random = node.random
    this.place = place
    this.memory = new SimMemory(node.world.mappings)
    this.bootText = identityText(new Uint8Array(16).map(() => this.random.below(256)))
    this.engine = new Engine(this.#ports(), { ...settings, boot: this.bootText })
    this.engine.start()
    this.#scheduleTurn(0)
  }

  get isAwake(): boolean {
    return !this.isDead && !this.node.isPaused && !this.isStalled
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** The process has ended: what was handed to the kernel may still happen, its memory is gone. */
  die(): void {
    this.isDead = true
    this.serving = { serves: false, because: 'dead', volumes: [] }
    this.wantsLink = false
    this.#backlog = []
    for (const operation of this.#inFlight) {
      if (this.random.chance(0.7)) operation.effect(this.random.chance(0.7))
    }
    this.#inFlight.clear()
    this.#unsubmitted = []
    this.memory.giveBackAll()
  }

  wake(): void {
    if (!this.isAwake) return
    for (const run of this.#backlog.splice(0)) run()
    this.#scheduleTurn(0)
  }

  /** Does something in the engine's thread, when it is awake. */
  act(what: () => void): void {
    const run = (): void => {
      if (this.isDead) return
      what()
      this.#scheduleTurn(0)
    }
    if (this.isAwake) run()
    else if (!this.isDead) this.#backlog.push(run)
  }

  opened(path: string): void {
    this.openDisks += 1
    const { nowMs } = this.world.scheduler
    const times = [...(this.#openings.get(path) ?? []), nowMs].slice(-(OPENINGS_MAX + 1))
    this.#openings.set(path, times)
    if (times.length > OPENINGS_MAX && nowMs - times[0]! < 1000)
      throw new Error(`${this.node.name} has opened ${path} ${times.length} times within a second`)
  }

  request(name: string, body: unknown): number {
    this.requests += 1
    const number = this.requests
    this.act(() => this.engine.request(number, name, body))
    return number
  }

  // --- the kernel ----------------------------------------------------------------------------------

  submit(disk: SimDisk, done: Completion, delayMs: number, effect: Effect): void {
    if (this.isDead) return
    const operation = { disk, effect, done }
    if (this.#isFenced) {
      this.#unsubmitted.push({ operation, delayMs })
      return this.#scheduleTurn(0)
    }
    this.#begin(operation, delayMs)
  }

  #begin(operation: Operation, delayMs: number): void {
    this.#inFlight.add(operation)
    this.world.scheduler.after(delayMs, () => this.#perform(operation))
  }

  /** A disk that did not answer does so again. */
  unstick(): void {
    const stuck = this.#stuck
    this.#stuck = []
    for (const operation of stuck) this.#perform(operation)
  }

  holder(forClient = false): Holder {
    return {
      gathered: (from: Gather) => {
        if (this.#isFenced) return undefined
        if (forClient) this.world.answered(this)
        return this.world.memory.gathered(from)
      },
      put: (address, bytes) => {
        if (!this.isDead) this.world.memory.bytesAt(address, bytes.length).set(bytes)
      },
      deliver: (done, result) => this.#complete(done, result),
    }
  }

  get #isFenced(): boolean {
    const { fenceAtMs } = this.engine
    return fenceAtMs > 0 && this.node.nowMs >= fenceAtMs
  }

  #perform(operation: Operation): void {
    if (!this.#inFlight.has(operation)) return
    if (operation.disk.platterOf.faults.isStuck) {
      this.#stuck.push(operation)
      return
    }
    this.#inFlight.delete(operation)
    this.#complete(operation.done, operation.effect(true))
  }

  #complete(done: Completion, result: number): void {
    this.world.scheduler.note(result)
    this.act(() => done.complete(result))
  }

  // --- the loop ------------------------------------------------------------------------------------

  #scheduleTurn(delayMs: number): void {
    if (this.#turnScheduled || this.isDead) return
    this.#turnScheduled = true
    this.world.scheduler.after(delayMs + this.random.between(0, 0.02), () => {
      this.#turnScheduled = false
      if (this.isAwake) this.#turn()
    })
  }

  #turn(): void {
    const { engine, node } = this
    if (this.#isFenced) engine.fenced()
    this.#settleUnsubmitted()
    const more = engine.turn()
    this.world.afterTurn(node, this)
    if (engine.isStopped) return node.engineStopped()
    if (more) return this.#scheduleTurn(0)
    const wakeMs = engine.nextWakeMs()
    if (!Number.isFinite(wakeMs) || wakeMs >= this.#timerAtMs) return
    this.#timerAtMs = wakeMs
    this.world.scheduler.after(Math.max(0.05, (wakeMs - node.nowMs) / node.clockRate), () => {
      if (this.isDead || this.#timerAtMs !== wakeMs) return
      this.#timerAtMs = Number.POSITIVE_INFINITY
      this.#scheduleTurn(0)
    })
  }

  /** As `runLoop` does it: the engine hears of the fence first, then only a renewal lets anything out. */
  #settleUnsubmitted(): void {
    const isOver = this.engine.fenceAtMs <= this.node.nowMs
    for (const { operation, delayMs } of this.#unsubmitted.splice(0)) {
      if (isOver) this.#complete(operation.done, ECANCELED)
      else this.#begin(operation, delayMs)
    }
  }

  #openDisk(path: string): SimDisk {
    const platter = this.world.platter(path)
    const isOfCastor = this.world.pathsOf(this.world.aggregates[this.place]!, 0).includes(path)
    if (this.world.options.isApart && isOfCastor !== (this.node === this.world.castor))
      throw new Error(`${path} is on the other host`)
    if (platter.isGone) throw new StoreError('DISK_MISSING', `${path} is not there; check the disk`)
    return new SimDisk(path, platter, this)
  }

  #ports(): World {
    const { world, node } = this
    return {
      memory: this.memory,
      clock: { now: () => node.nowMs, wall: () => node.wallMs },
      entropy: {
        fill: (bytes) => {
          for (let i = 0; i < bytes.length; i += 1) bytes[i] = this.random.below(256)
        },
      },
      nvram: { persistent: world.options.durability === 'nvram', open: node.openNvram },
      disks: { open: (path) => this.#openDisk(path) },
      arbiter: world.arbiter.portFor(this),
      host: {
        event: (level, kind, text, facts) => world.event(this, level, kind, text, facts),
        serving: (state) => {
          if (!this.isDead) this.serving = state
        },
        answer: (request, result, error) => {
          if (this.answers.has(request)) throw new Error(`request ${request} was answered twice`)
          this.answers.set(request, { result, error })
        },
        wantLink: (wanted) => {
          if (!this.isDead) this.wantsLink = wanted
        },
      },
    }
  }
}
