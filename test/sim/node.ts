import type { StoreError } from '../../ts/base/errors.ts'
import type { Gather } from '../../ts/base/gather.ts'
import type { EngineSettings } from '../../ts/config/engine-settings.ts'
import { Engine } from '../../ts/engine.ts'
import { identityText } from '../../ts/format/identity.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { ServingState } from '../../ts/ports/host.ts'
import type { Memory } from '../../ts/ports/memory.ts'
import type { World } from '../../ts/ports/world.ts'
import { SimDisk } from './disk.ts'
import type { SimMemory } from './memory.ts'
import type { Random } from './random.ts'
import type { SimWorld } from './world.ts'

const ECANCELED = -125

interface Operation {
  effect: () => number
  done: Completion
}

/** One process of the pair with one engine: can be killed, paused, started again, or lose its host. */
export class SimNode {
  readonly name: string
  readonly partnerName: string
  readonly world: SimWorld
  readonly memory: SimMemory
  readonly random: Random
  engine: Engine | undefined
  serving: ServingState = { serves: false, because: 'not started', volumes: [] }
  wantsLink = false
  /** rises with every start: what an earlier process asked for reaches nobody */
  boot = 0
  bootText = ''
  isPaused = false
  readonly nvram = new Map<string, Memory>()
  readonly answers = new Map<number, { result: unknown; error: StoreError | undefined }>()
  #backlog: (() => void)[] = []
  #inFlight = new Set<Operation>()
  #turnScheduled = false
  #timerAtMs = Number.POSITIVE_INFINITY
  #requests = 0

  constructor(name: string, partnerName: string, world: SimWorld) {
    this.name = name
    this.partnerName = partnerName
    this.world = world
    this.memory = world.memory
    this.random = world.random
  }

  get isAlive(): boolean {
    return this.engine !== undefined
  }

  start(settings: Omit<EngineSettings, 'boot'>): void {
    this.boot += 1
    this.isPaused = false
    const boot = new Uint8Array(16).map(() => this.random.below(256))
    this.bootText = identityText(boot)
    this.engine = new Engine(this.#ports(), { ...settings, boot: this.bootText })
    this.engine.start()
    this.#scheduleTurn(0)
  }

  /** kill -9: what was handed to the kernel may still happen, the memory of the process is gone. */
  kill(): void {
    if (!this.isAlive) return
    this.engine = undefined
    this.boot += 1
    this.#turnScheduled = false
    this.#timerAtMs = Number.POSITIVE_INFINITY
    this.#backlog = []
    this.serving = { serves: false, because: 'dead', volumes: [] }
    this.wantsLink = false
    for (const operation of this.#inFlight) if (this.random.chance(0.7)) operation.effect()
    this.#inFlight.clear()
    this.world.processDied(this)
  }

  /** The host restarts: NVRAM that is only memory is lost. */
  loseHost(): void {
    this.kill()
    this.nvram.clear()
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    const backlog = this.#backlog
    this.#backlog = []
    for (const run of backlog) run()
    this.#scheduleTurn(0)
  }

  request(name: string, body: unknown): number {
    this.#requests += 1
    const number = this.#requests
    this.act(() => this.engine!.request(number, name, body))
    return number
  }

  /** Does something in the engine's thread, when it is awake. */
  act(what: () => void): void {
    const boot = this.boot
    const run = (): void => {
      if (this.boot !== boot) return
      what()
      this.#scheduleTurn(0)
    }
    if (this.isPaused) this.#backlog.push(run)
    else run()
  }

  // --- the kernel of this node ---------------------------------------------------------------------

  submit(boot: number, done: Completion, delayMs: number, effect: () => number): void {
    if (boot !== this.boot) return
    const fenceAtMs = this.engine?.fenceAtMs ?? 0
    if (fenceAtMs > 0 && this.world.scheduler.nowMs >= fenceAtMs) {
      this.world.scheduler.after(0, () => this.#complete(boot, done, ECANCELED))
      return
    }
    const operation = { effect, done }
    this.#inFlight.add(operation)
    this.world.scheduler.after(delayMs, () => {
      if (!this.#inFlight.delete(operation)) return
      const result = effect()
      this.#complete(boot, done, result)
    })
  }

  holder(): {
    gathered(from: Gather): Uint8Array
    put(address: number, bytes: Uint8Array): void
    deliver(done: Completion, result: number): void
  } {
    const boot = this.boot
    return {
      gathered: (from) => this.memory.gathered(from),
      put: (address, bytes) => {
        if (this.boot === boot) this.memory.bytesAt(address, bytes.length).set(bytes)
      },
      deliver: (done, result) => this.#complete(boot, done, result),
    }
  }

  #complete(boot: number, done: Completion, result: number): void {
    if (boot !== this.boot) return
    this.act(() => done.complete(result))
  }

  #scheduleTurn(delayMs: number): void {
    if (this.#turnScheduled || !this.isAlive) return
    this.#turnScheduled = true
    const boot = this.boot
    this.world.scheduler.after(delayMs + this.random.between(0, 0.02), () => {
      if (this.boot !== boot) return
      this.#turnScheduled = false
      if (!this.isPaused) this.#turn(boot)
    })
  }

  #turn(boot: number): void {
    const engine = this.engine!
    const nowMs = this.world.scheduler.nowMs
    if (engine.fenceAtMs > 0 && nowMs >= engine.fenceAtMs) engine.fenced()
    const more = engine.turn()
    this.world.afterTurn(this)
    if (engine.isStopped) return this.kill()
    if (more) return this.#scheduleTurn(0)
    const wakeMs = engine.nextWakeMs()
    if (!Number.isFinite(wakeMs) || wakeMs >= this.#timerAtMs) return
    this.#timerAtMs = wakeMs
    this.world.scheduler.after(Math.max(0.05, wakeMs - nowMs), () => {
      if (this.boot !== boot || this.#timerAtMs !== wakeMs) return
      this.#timerAtMs = Number.POSITIVE_INFINITY
      this.#scheduleTurn(0)
    })
  }

  #ports(): World {
    const { world } = this
    const boot = this.boot
    return {
      memory: this.memory,
      clock: { now: () => world.scheduler.nowMs, wall: () => world.scheduler.nowMs },
      entropy: {
        fill: (bytes) => {
          for (let i = 0; i < bytes.length; i += 1) bytes[i] = this.random.below(256)
        },
      },
      nvram: {
        persistent: false,
        open: (name, byteLength) => {
          const kept = this.nvram.get(name)
          if (kept !== undefined) return { path: name, memory: kept, found: 'kept' }
          const memory = this.memory.allocate(byteLength)
          this.nvram.set(name, memory)
          return { path: name, memory, found: 'new' }
        },
      },
      disks: { open: (path) => new SimDisk(path, world.platter(path), this) },
      arbiter: world.arbiterFor(this, boot),
      host: {
        event: (level, kind, text) => world.event(this, level, kind, text),
        serving: (state) => {
          if (this.boot === boot) this.serving = state
        },
        answer: (request, result, error) => this.answers.set(request, { result, error }),
        wantLink: (wanted) => {
          if (this.boot === boot) this.wantsLink = wanted
        },
      },
    }
  }
}
