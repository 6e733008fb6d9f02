import type { StoreError } from '../../ts/base/errors.ts'
import type { EngineSettings } from '../../ts/config/engine-settings.ts'
import type { Engine } from '../../ts/engine.ts'
import type { ServingState } from '../../ts/ports/host.ts'
import type { Memory } from '../../ts/ports/memory.ts'
import type { NvramFile } from '../../ts/ports/nvram.ts'
import { SimEngine } from './engine-host.ts'
import type { Random } from './random.ts'
import type { Holder } from './stream.ts'
import type { SimWorld } from './world.ts'

const NOT_ALIVE: ServingState = { serves: false, because: 'dead', volumes: [] }

/** One process of the pair, an engine in it for each aggregate: killed, paused, started, without its host. */
export class SimNode {
  readonly name: string
  readonly partnerName: string
  readonly world: SimWorld
  readonly random: Random
  hosts: SimEngine[] = []
  /** rises with every start and end of the process */
  boot = 0
  isPaused = false
  /** this host's clocks: how fast the monotonic one goes, and how far the other is off */
  clockRate = 1
  wallOffsetMs = 0
  nvram = new Map<string, Memory>()
  /** what its NVRAM held at some moment, to be put back later: a file of another time */
  nvramBefore: Map<string, Uint8Array> | undefined
  /** the world has changed it since the process ended: what it has acknowledged is not there any more */
  isNvramChanged = false
  readonly #clockOffsetMs: number

  constructor(name: string, partnerName: string, world: SimWorld) {
    this.name = name
    this.partnerName = partnerName
    this.world = world
    this.random = world.random
    this.#clockOffsetMs = world.random.between(0, 1e6)
  }

  get isAlive(): boolean {
    return this.hosts.length > 0
  }

  /** This host's monotonic clock. */
  get nowMs(): number {
    return this.#clockOffsetMs + this.world.scheduler.nowMs * this.clockRate
  }

  get wallMs(): number {
    return 1.7e12 + this.world.scheduler.nowMs + this.wallOffsetMs
  }

  // The first aggregate's engine, for worlds that have only one.
  get engine(): Engine | undefined {
    return this.hosts[0]?.engine
  }

  get serving(): ServingState {
    return this.hosts[0]?.serving ?? NOT_ALIVE
  }

  get wantsLink(): boolean {
    return this.hosts[0]?.wantsLink ?? false
  }

  get bootText(): string {
    return this.hosts[0]?.bootText ?? ''
  }

  get answers(): Map<number, { result: unknown; error: StoreError | undefined }> {
    return this.hosts[0]?.answers ?? new Map()
  }

  request(name: string, body: unknown): number {
    return this.hosts[0]!.request(name, body)
  }

  act(what: () => void): void {
    this.hosts[0]?.act(what)
  }

  holder(): Holder {
    return this.hosts[0]!.holder()
  }

  start(settings: readonly Omit<EngineSettings, 'boot'>[]): void {
    this.boot += 1
    this.isPaused = false
    this.isNvramChanged = false
    this.hosts = settings.map((one, place) => new SimEngine(this, place, one))
  }

  /** kill -9: what was handed to the kernel may still happen, the memory of the process is gone. */
  kill(): void {
    if (!this.isAlive) return
    const { hosts } = this
    this.hosts = []
    this.boot += 1
    for (const host of hosts) host.die()
    this.world.processDied(this)
  }

  /** The host restarts: NVRAM that is only memory is lost. */
  loseHost(): void {
    this.kill()
    this.loseNvram()
  }

  loseNvram(): void {
    for (const memory of this.nvram.values()) this.world.memory.giveBack(memory)
    this.nvram.clear()
  }

  /** SIGSTOP: the monotonic clock goes on. */
  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    for (const host of this.hosts) host.wake()
  }

  engineStopped(): void {
    if (this.hosts.every((host) => host.engine.isStopped)) this.kill()
  }

  /** Keeps what the NVRAM holds now, so that a later start may find it again. */
  rememberNvram(): void {
    this.nvramBefore = new Map([...this.nvram].map(([name, { bytes }]) => [name, bytes.slice()]))
  }

  /** Puts back what `rememberNvram` kept, while the process is down. */
  restoreNvram(): void {
    this.isNvramChanged = true
    for (const [name, bytes] of this.nvramBefore ?? []) this.nvram.get(name)?.bytes.set(bytes)
  }

  readonly openNvram = (name: string, byteLength: number): NvramFile => {
    const kept = this.nvram.get(name)
    if (kept !== undefined) return { path: name, memory: kept, found: 'kept' }
    const memory = this.world.memory.allocate(byteLength)
    this.nvram.set(name, memory)
    return { path: name, memory, found: 'new' }
  }
}
