import type { StoreError } from '../../../ts/base/errors.ts'
import type { Gather } from '../../../ts/base/gather.ts'
import type { EngineSettings } from '../../../ts/config/engine-settings.ts'
import { Engine } from '../../../ts/engine.ts'
import { identityText } from '../../../ts/format/identity.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { Disk } from '../../../ts/ports/disk.ts'
import type { ServingState } from '../../../ts/ports/host.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import type { World } from '../../../ts/ports/world.ts'
import type { Platter } from './platter.ts'
import type { Holder } from './stream.ts'
import type { ScopeWorld } from './world.ts'

/** One process with one engine; everything that it asked for happens in the order in which it asked. */
export class ScopeNode {
  readonly name: string
  readonly world: ScopeWorld
  engine: Engine | undefined
  bootText = ''
  nvram: Memory | undefined
  serving: ServingState = { serves: false, because: 'not started', volumes: [] }
  wantsLink = false
  /** runs at the very moment when a control request is answered */
  onAnswer: () => void = () => {}
  readonly answers = new Map<number, { result: unknown; error: StoreError | undefined }>()
  #due: (() => void)[] = []
  #wantsTurn = false
  #requests = 0

  constructor(name: string, world: ScopeWorld) {
    this.name = name
    this.world = world
  }

  start(settings: Omit<EngineSettings, 'boot'>): void {
    this.bootText = identityText(this.world.randomBytes(new Uint8Array(16)))
    this.#due = []
    this.engine = new Engine(this.#ports(), { ...settings, boot: this.bootText })
    this.engine.start()
    this.#wantsTurn = true
  }

  /** kill -9: what was not carried out yet is lost. */
  kill(): void {
    this.engine = undefined
    this.bootText = ''
    this.#due = []
    this.wantsLink = false
    this.serving = { serves: false, because: 'dead', volumes: [] }
    this.world.processDied(this)
  }

  request(name: string, body: unknown): number {
    this.#requests += 1
    this.engine!.request(this.#requests, name, body)
    this.#wantsTurn = true
    return this.#requests
  }

  /** Completions first, then a turn, if there is a reason for one. */
  step(): boolean {
    const { engine } = this
    if (engine === undefined) return false
    const due = this.#due
    this.#due = []
    for (const run of due) {
      run()
      if (this.engine !== engine) return true
    }
    const { nowMs } = this.world
    if (due.length === 0 && !this.#wantsTurn && nowMs < engine.nextWakeMs()) return false
    if (engine.fenceAtMs > 0 && nowMs >= engine.fenceAtMs) engine.fenced()
    this.#wantsTurn = engine.turn()
    if (engine.isStopped) this.kill()
    return true
  }

  /** Something was handed to this node from outside. */
  wake(): void {
    this.#wantsTurn = true
  }

  later(run: () => void): void {
    this.#due.push(run)
  }

  holder(): Holder {
    const { engine } = this
    const { memory } = this.world
    return {
      gathered: (from) => memory.gathered(from),
      put: (address, bytes) => memory.bytesAt(address, bytes.length).set(bytes),
      later: (run) => {
        if (this.engine === engine) this.#due.push(run)
      },
    }
  }

  #ports(): World {
    const { world } = this
    return {
      memory: world.memory,
      clock: { now: () => world.nowMs, wall: () => world.nowMs },
      entropy: { fill: (bytes) => world.randomBytes(bytes) },
      nvram: {
        persistent: false,
        open: (path, byteLength) => {
          const found = this.nvram === undefined ? 'new' : 'kept'
          this.nvram ??= world.memory.allocate(byteLength)
          return { path, memory: this.nvram, found }
        },
      },
      disks: { open: () => new ScopeDisk(world.platter, this) },
      arbiter: world.arbiterFor(this),
      host: {
        event: (level, kind, text) => world.events.push(`${this.name} ${level} ${kind}: ${text}`),
        serving: (state) => {
          this.serving = state
        },
        answer: (request, result, error) => {
          this.answers.set(request, { result, error })
          this.onAnswer()
        },
        wantLink: (wanted) => {
          this.wantsLink = wanted
        },
      },
    }
  }
}

/** Nothing reaches the platter before the node's next step, and then in order; a crash may follow each. */
class ScopeDisk implements Disk {
  readonly path = 'disk0'
  readonly byteLength: number
  readonly #platter: Platter
  readonly #node: ScopeNode

  constructor(platter: Platter, node: ScopeNode) {
    this.#platter = platter
    this.#node = node
    this.byteLength = platter.byteLength
  }

  read(at: number, into: Gather, done: Completion): void {
    this.#node.later(() => {
      this.#node.world.memory.scatter(this.#platter.blocks(at, into.byteLength), into)
      done.complete(into.byteLength)
    })
  }

  write(at: number, from: Gather, done: Completion): void {
    const { world } = this.#node
    this.#node.later(() => {
      const bytes = world.memory.gathered(from)
      this.#platter.write(at, bytes)
      world.onDisk('write')
      done.complete(bytes.length)
    })
  }

  flush(done: Completion): void {
    this.#node.later(() => {
      this.#platter.flush()
      this.#node.world.onDisk('flush')
      done.complete(0)
    })
  }

  close(): void {}
}
