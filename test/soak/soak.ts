import { appendFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../sim/random.ts'
import { type NodeName, nodeNames } from '../support/pair.ts'
import { Faults, resumeAll } from './faults.ts'
import { faultText, type Means, planEpisode } from './plan.ts'
import { SoakClient } from './soak-client.ts'
import { SoakPair } from './soak-pair.ts'
import { SoakVolume } from './soak-volume.ts'

export interface SoakOptions {
  readonly dir: string
  readonly minutes: number
  readonly seed: number
  readonly durability: string
  readonly means: Means
  /** told once a second, for a terminal */
  readonly progress: (text: string) => void
}

const TICK_MS = 1000
const EPISODE_MS = 20_000
/** As in the simulator: in sync again, and everything answered, within two minutes of peace. */
const CONVERGENCE_MS = 120_000
const STEP_MAX_MS = 5000
const VOLUME_BYTES = 8 * 1024 * 1024
const MEMORY_MAX = 768 * 1024 * 1024
const DESCRIPTORS_MAX = 256
/** After so many episodes both nodes stop in good order, and the disks are checked. */
const EPISODES_PER_CHECK = 5
const volumeOf = { castor: 'vol0', pollux: 'vol1' } as const

/** A pair of real processes under load and faults, in episodes; after each one everything has to be right. */
export class Soak {
  readonly options: SoakOptions
  readonly history: string[] = []
  readonly pair: SoakPair
  readonly volumes = new Map<NodeName, SoakVolume>()
  readonly clients = new Map<NodeName, readonly SoakClient[]>()
  readonly faults: Faults
  episodes = 0
  checks = 0
  failure: Error | undefined
  isInterrupted = false
  readonly #random: Random
  readonly #startedMs = performance.now()
  readonly #over: Promise<never>
  #end: (error: Error) => void = () => {}
  #phase = 'making the pair'
  #longestPeaceMs = 0
  #tickedMs = performance.now()
  /** how long this process did not run at all */
  #stillMs = 0

  constructor(options: SoakOptions) {
    this.options = options
    this.#random = new Random(options.seed)
    this.#over = new Promise((_resolve, reject) => {
      this.#end = reject
    })
    this.#over.catch(() => undefined)
    const note = (text: string) => this.note(text)
    const failed = (error: Error) => this.#fail(error)
    const { dir, durability, means } = options
    const logSize = this.#random.pick(['4MiB', '8MiB', '16MiB'])
    const sizes = { logSize, volumeByteLength: VOLUME_BYTES }
    this.pair = new SoakPair({ dir, durability, means, ...sizes, note, failed })
    const clientsOf = (aggregate: NodeName) => this.clients.get(aggregate) ?? []
    this.faults = new Faults({ pair: this.pair, clientsOf, note }, options.seed)
  }

  /** Runs for the time that was asked for. What went wrong is in `failure`. */
  async run(): Promise<void> {
    const ticker = setInterval(() => this.#tick(), TICK_MS)
    const poller = setInterval(() => void this.#poll(), 250)
    try {
      await this.#all()
    } catch (error) {
      if (!this.isInterrupted) this.#fail(error as Error)
    } finally {
      clearInterval(ticker)
      clearInterval(poller)
      for (const client of this.#everyClient) client.close()
      await this.pair.close()
    }
  }

  /** Ends it before its time. */
  interrupt(): void {
    this.isInterrupted = true
    this.#end(new Error('interrupted'))
  }

  note(text: string): void {
    const seconds = ((performance.now() - this.#startedMs) / 1000).toFixed(2)
    const line = `${seconds.padStart(9)} ${text}`
    this.history.push(line)
    if (this.history.length > 2000) this.history.splice(0, 1000)
    appendFileSync(path.join(this.options.dir, 'history.log'), `${line}\n`)
  }

  report(): string[] {
    const sum = (what: (client: SoakClient) => number) =>
      this.#everyClient.reduce((total, client) => total + what(client), 0)
    const faults = [...this.faults.counts].sort(([a], [b]) => a.localeCompare(b))
    const longest = Math.max(0, ...this.#everyClient.map(({ longestMs }) => longestMs))
    const nodes = [...this.pair.nodes.values()].map(({ name, starts, most }) => {
      const memory = Math.round(most.memoryByteLength / 2 ** 20)
      return `${name}: ${starts} starts, at most ${memory} MiB and ${most.descriptors} descriptors`
    })
    return [
      `${this.episodes} episodes, ${this.checks} checks of the disks, ${this.#secondsText()}`,
      `in sync and at home after ${Math.round(this.#longestPeaceMs)} ms of peace at the latest`,
      `${sum((client) => client.answered)} requests answered, longest wait ${Math.round(longest)} ms`,
      `all stood still for ${Math.round(this.#stillMs / 1000)} s`,
      `${sum((client) => client.reads)} reads compared, ${sum((client) => client.failures)} errors explained`,
      `${sum((client) => client.reconnects)} new connections`,
      ...nodes,
      `faults: ${faults.map(([name, count]) => `${count} ${name}`).join(', ')}`,
    ]
  }

  async #all(): Promise<void> {
    const { minutes } = this.options
    await this.pair.make()
    this.#makeClients()
    this.pair.start()
    const endMs = performance.now() + minutes * 60_000
    await this.#converge()
    while (performance.now() < endMs && !this.#isOver) {
      await this.#episode(Math.min(EPISODE_MS, endMs - performance.now()))
      this.episodes += 1
      if (this.episodes % EPISODES_PER_CHECK !== 0) continue
      await this.#checkDisks()
      this.pair.start()
      await this.#converge()
    }
    await this.#checkDisks()
  }

  async #episode(lengthMs: number): Promise<void> {
    const plan = planEpisode(this.#random, lengthMs, this.options.means)
    this.note(`episode ${this.episodes + 1}: ${plan.length} faults`)
    this.#phase = 'faults'
    for (const client of this.#everyClient) client.start()
    const startedMs = performance.now()
    await this.faults.run(plan, () => this.#isOver)
    while (performance.now() - startedMs < lengthMs && !this.#isOver) await sleep(50)
    await this.#converge()
    await this.#settle()
    await this.#verify()
    this.#checkUse()
  }

  /** In peace: both serve what is theirs, and each has the log of the other. */
  async #converge(): Promise<void> {
    this.#phase = 'convergence'
    this.note('peace')
    const startedMs = performance.now()
    await resumeAll(this.pair)
    await this.#inSync()
    for (const name of nodeNames) await this.#bringHome(name)
    await this.#inSync()
    const tookMs = performance.now() - startedMs
    this.#longestPeaceMs = Math.max(this.#longestPeaceMs, tookMs)
    this.note(`in sync and at home after ${Math.round(tookMs)} ms`)
  }

  async #inSync(): Promise<void> {
    const { pair } = this.pair
    let state = ''
    const isInSync = async () => {
      for (const name of nodeNames) {
        const engines = await Promise.all(
          nodeNames.map((node) => pair.engine(node, name).catch(() => undefined)),
        )
        const owner = engines.find((engine) => engine?.serves)
        state = `${name}: ${engines.map((engine) => engine?.because || engine?.state || 'silent').join('; ')}`
        if (owner === undefined || owner.log.state !== 'in-sync' || !owner.link.up) return false
      }
      return true
    }
    await this.#within(() => `the pair is in sync (${state})`, isInSync)
  }

  async #bringHome(name: NodeName): Promise<void> {
    const { pair } = this.pair
    let said = ''
    const isHome = async () => {
      const engine = await pair.engine(name, name).catch(() => undefined)
      if (engine?.serves) return true
      const { code, stderr } = await pair.command('giveback', name)
      if (code !== 0) said = `; giveback says: ${stderr.trim()}`
      return false
    }
    await this.#within(() => `${name} has back what is its own${said}`, isHome)
  }

  /** Every request is answered, and nothing is open any more. */
  async #settle(): Promise<void> {
    this.#phase = 'last answers'
    let isPaused = false
    void Promise.all(this.#everyClient.map((client) => client.pause())).then(() => {
      isPaused = true
    })
    const waitingFor = () =>
      this.#everyClient.map((client) => client.waitingFor()).find((text) => text !== '')
    await this.#within(
      () => `every request is answered (${waitingFor()})`,
      () => isPaused,
    )
    const isDecided = () => [...this.volumes.values()].every(({ open }) => open.size === 0)
    await this.#within(() => 'nothing is open any more', isDecided)
  }

  /** Time in which this process itself was stopped does not count. */
  async #within(what: () => string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    for (let leftMs = CONVERGENCE_MS; leftMs > 0; ) {
      const beforeMs = performance.now()
      if (await this.#unlessOver(Promise.resolve(isSo()))) return
      await sleep(20)
      leftMs -= Math.min(performance.now() - beforeMs, STEP_MAX_MS)
    }
    throw new Error(`not within two minutes of peace: ${what()}`)
  }

  async #verify(): Promise<void> {
    this.#phase = 'comparing'
    const readers = [...this.clients.values()].map((clients) => clients[0]!)
    await this.#unlessOver(Promise.all(readers.map((client) => client.verifyAll())))
    this.note('everything was read and is right')
  }

  async #checkDisks(): Promise<void> {
    if (this.#isOver) return
    this.#phase = 'check of the disks'
    await this.pair.stop()
    await this.pair.check()
    this.checks += 1
    this.note('both have stopped in good order, and their disks are good')
  }

  #checkUse(): void {
    for (const { name, most } of this.pair.nodes.values()) {
      const { memoryByteLength, descriptors } = most
      if (memoryByteLength > MEMORY_MAX) throw new Error(`${name} has ${memoryByteLength} bytes of memory`)
      if (descriptors > DESCRIPTORS_MAX) throw new Error(`${name} has ${descriptors} open descriptors`)
    }
    const cores = readdirSync(this.options.dir).filter((name) => /^core(\.|$)/.test(name))
    if (cores.length > 0) throw new Error(`there is ${cores.join(', ')}`)
  }

  #makeClients(): void {
    for (const name of nodeNames) {
      const volume = new SoakVolume({
        name: volumeOf[name],
        aggregate: name,
        byteLength: VOLUME_BYTES,
        servers: this.pair.servers(name, volumeOf[name]),
        epoch: () => this.pair.epoch(name),
        failedReadsSince: (ms) => this.pair.disks.get(name)?.failedReadsSince(ms) ?? false,
      })
      this.volumes.set(name, volume)
      const client = (silenceMs: number) => {
        const random = new Random(this.#random.u32())
        const failed = (error: Error) => this.#fail(error)
        return new SoakClient({ volume, random, depth: 4, thinkMs: 12, silenceMs, failed })
      }
      this.clients.set(name, [client(2500), client(6000)])
    }
  }

  /** Who serves now decides what was open with an owner before. */
  async #poll(): Promise<void> {
    const isOpen = [...this.volumes.values()].some(({ open }) => open.size > 0)
    if (!isOpen) return
    for (const node of nodeNames) {
      for (const [aggregate, volume] of this.volumes) {
        const engine = await this.pair.pair.engine(node, aggregate).catch(() => undefined)
        if (engine?.serves) volume.served(engine.epoch)
      }
    }
  }

  #tick(): void {
    const nowMs = performance.now()
    const stillMs = nowMs - this.#tickedMs - TICK_MS
    this.#tickedMs = nowMs
    if (stillMs > TICK_MS) {
      this.#stillMs += stillMs
      this.note(`all stood still for ${Math.round(stillMs)} ms: the machine was busy with something else`)
    }
    for (const node of this.pair.nodes.values()) node.measure()
    const answered = this.#everyClient.reduce((sum, client) => sum + client.answered, 0)
    const now = [...this.faults.active.keys()].map(faultText).join(', ')
    const what = now === '' ? this.#phase : now
    this.options.progress(
      `${this.#secondsText()}, episode ${this.episodes + 1}, ${answered} requests: ${what}`,
    )
  }

  get #everyClient(): SoakClient[] {
    return [...this.clients.values()].flat()
  }

  get #isOver(): boolean {
    return this.isInterrupted || this.failure !== undefined
  }

  #secondsText(): string {
    return `${Math.round((performance.now() - this.#startedMs) / 1000)} s`
  }

  /** Waits, but not after a failure. */
  #unlessOver<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#over])
  }

  #fail(error: Error): void {
    if (this.failure !== undefined || this.isInterrupted) return
    this.failure = error
    this.note(`BROKEN ${error.message}`)
    this.#end(error)
  }
}
