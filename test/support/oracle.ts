import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../sim/random.ts'
import { type NbdTarget, parseTarget } from './nbd-channel.ts'
import { connect, type NbdClient, NbdDisconnected, type NbdRequest } from './nbd-client.ts'
import { command, commandFlag } from './nbd-wire.ts'
import { SectorModel } from './sector-model.ts'
import { SECTOR, stamped } from './stamps.ts'

const PER_BLOCK = 4096 / SECTOR
const KEEP_ALIVE_MS = 1000

export interface OracleOptions {
  readonly uri: string
  /** told apart in the stamps: no volume may show another one's data */
  readonly tag?: number
  readonly seed?: number
  readonly queueDepth?: number
  /** blocks that are used, from the start of the volume */
  readonly blockCount?: number
  /** how long a request may go without an answer, reconnects included */
  readonly patienceMs?: number
  /** after which time without an answer it gives up the connection: a stopped server keeps it open */
  readonly silenceMs?: number
  /** for connecting and the handshake: one that has not ended by then is given up */
  readonly connectMs?: number
  /** writes only: no trim, no zeroes, nothing flushed */
  readonly plain?: boolean
  /** pause before each request of each of the `queueDepth` writers */
  readonly paceMs?: number
}

type Kind = 'write' | 'zeroes' | 'trim' | 'flush' | 'read'

interface Operation {
  readonly kind: Kind
  readonly first: number
  readonly count: number
  readonly version: number
  readonly request: NbdRequest
}

const codes: Readonly<Record<Kind, number>> = {
  write: command.write,
  zeroes: command.writeZeroes,
  trim: command.trim,
  flush: command.flush,
  read: command.read,
}

/**
 * A client that knows everything: it writes stamps at random places, remembers what was answered,
 * and when its connection ends it connects to the same URI again and repeats what had no answer,
 * as QEMU does. Two requests in flight never touch the same block, so each sector has one true content.
 */
export class Oracle {
  readonly uri: string
  readonly seed: number
  readonly model: SectorModel
  answered = 0
  reconnects = 0
  /** longest time that one request went without an answer */
  longestWaitMs = 0
  failure: Error | undefined
  readonly #options: Required<Omit<OracleOptions, 'uri' | 'seed'>>
  readonly #random: Random
  readonly #busy: Uint8Array
  readonly #sinceMs = new Set<{ ms: number }>()
  #client: NbdClient | undefined
  #connectedMs = 0
  #connecting: Promise<NbdClient> | undefined
  #stopping = false
  #isKeptAlive = false
  #writers: Promise<void>[] = []
  #watchdog: NodeJS.Timeout | undefined

  constructor({ uri, seed, ...options }: OracleOptions) {
    const times = { patienceMs: 30_000, silenceMs: Number.POSITIVE_INFINITY, connectMs: 2000, paceMs: 0 }
    this.#options = { tag: 1, queueDepth: 16, blockCount: 4096, plain: false, ...times, ...options }
    this.uri = uri
    this.seed = seed ?? Math.floor(Math.random() * 2 ** 31)
    this.#random = new Random(this.seed)
    this.model = new SectorModel(this.#options.tag, this.#options.blockCount * PER_BLOCK)
    this.#busy = new Uint8Array(this.#options.blockCount)
  }

  /** Starts the writers; they go on until `stop`. */
  start(operationsMax = Number.POSITIVE_INFINITY): void {
    this.#stopping = false
    let remaining = operationsMax
    const writer = async (): Promise<void> => {
      while (!this.#stopping && this.failure === undefined && remaining > 0) {
        remaining -= 1
        if (this.#options.paceMs > 0) await sleep(this.#options.paceMs)
        // others may have all blocks in flight, and only their answers can change that
        while (this.#isAllBusy) await sleep(1)
        if (this.failure !== undefined) return
        await this.#perform(this.#next())
      }
    }
    const guarded = () => writer().catch((error) => this.#fail(error))
    this.#writers = Array.from({ length: this.#options.queueDepth }, guarded)
    this.#watchdog = setInterval(() => this.#watch(), 250)
  }

  /** From now on it asks after a second of silence whether its server is still there. */
  keepAlive(): void {
    this.#isKeptAlive = true
    if (this.#client) keepAlive(this.#client)
  }

  /** Waits for what is in flight. Throws what went wrong meanwhile. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.settled()
  }

  /** Waits until the writers have ended by themselves. */
  async settled(): Promise<void> {
    await Promise.all(this.#writers)
    clearInterval(this.#watchdog)
    await this.#client?.destroy()
    this.#client = undefined
    this.#throwFailure()
  }

  async run(operations: number): Promise<void> {
    this.start(operations)
    await this.settled()
  }

  /** Waits until so many more requests have been answered. */
  async progress(more = 1, timeoutMs = this.#options.patienceMs): Promise<void> {
    const wanted = this.answered + more
    const startedMs = performance.now()
    while (this.answered < wanted) {
      this.#throwFailure()
      const isLate = performance.now() - startedMs > timeoutMs
      if (isLate)
        throw new Error(`oracle (seed ${this.seed}): ${this.uri} answers nothing for ${timeoutMs} ms`)
      await sleep(5)
    }
  }

  get inFlightCount(): number {
    return this.#sinceMs.size
  }

  /**
   * Reads everything and says what is wrong: each sector has to hold the last acknowledged version, or
   * one that is in flight. `afterPowerLoss`: not older than the last flush, and never invented.
   */
  async verify(options: { afterPowerLoss?: boolean; uri?: string } = {}): Promise<string[]> {
    const client = await this.#connect(options.uri ?? this.uri)
    const wrong: string[] = []
    try {
      for (let first = 0; first < this.model.sectorCount && wrong.length < 10; first += 2048) {
        const count = Math.min(2048, this.model.sectorCount - first)
        const bytes = await client.read(first * SECTOR, count * SECTOR)
        wrong.push(...this.#judgeAll(first, bytes, options.afterPowerLoss ?? false))
      }
    } finally {
      await client.close()
    }
    return wrong.slice(0, 10)
  }

  #judgeAll(first: number, bytes: Buffer, afterPowerLoss: boolean): string[] {
    const mistakes: string[] = []
    for (let at = 0; at < bytes.length; at += SECTOR) {
      const sector = first + at / SECTOR
      const mistake = this.model.judge(sector, bytes.subarray(at, at + SECTOR), afterPowerLoss)
      if (mistake) mistakes.push(`${mistake} (seed ${this.seed})`)
    }
    return mistakes
  }

  #next(): Operation {
    const random = this.#random
    const dice = this.#options.plain ? 0 : random.below(100)
    if (dice >= 98) return this.#operation('flush', 0, 0)
    const isLarge = dice >= 80 && dice < 90
    const [firstBlock, blocks] = this.#takeBlocks(
      isLarge ? 1 + random.below(64) : random.pick([1, 1, 1, 2, 8]),
    )
    const [first, count] = [firstBlock * PER_BLOCK, blocks * PER_BLOCK]
    if (dice >= 90) return this.#operation('read', first, count)
    if (dice >= 87) return this.#operation('write', first, count)
    if (isLarge) return this.#operation(dice >= 84 ? 'trim' : 'zeroes', first, count)
    if (dice < 70 || blocks > 1) return this.#operation('write', first, count)
    const within = random.below(PER_BLOCK)
    return this.#operation('write', first + within, 1 + random.below(PER_BLOCK - within))
  }

  get #isAllBusy(): boolean {
    return this.failure === undefined && !this.#busy.includes(0)
  }

  /** Blocks that no request in flight touches: as many as wanted, or fewer where there is no such place. */
  #takeBlocks(wanted: number): [first: number, count: number] {
    for (let attempt = 1, count = wanted; ; attempt += 1) {
      const first = this.#random.below(this.#options.blockCount - count + 1)
      const nextBusy = this.#busy.indexOf(1, first)
      if (nextBusy === -1 || nextBusy >= first + count) {
        this.#busy.fill(1, first, first + count)
        return [first, count]
      }
      if (attempt % 16 === 0) count = Math.max(1, count >>> 1)
    }
  }

  #operation(kind: Kind, first: number, count: number): Operation {
    const isChange = kind === 'write' || kind === 'zeroes' || kind === 'trim'
    const version = isChange ? this.model.begin(first, count, kind !== 'write') : 0
    const isForced = kind === 'write' && !this.#options.plain && this.#random.chance(0.02)
    const flags = isForced ? commandFlag.fua : 0
    const request = { command: codes[kind], flags, offset: first * SECTOR, length: count * SECTOR }
    const payload = kind === 'write' ? stamped(this.#options.tag, first, count, version) : undefined
    return { kind, first, count, version, request: payload ? { ...request, payload } : request }
  }

  async #perform(operation: Operation): Promise<void> {
    const { kind, first, count, version, request } = operation
    const since = { ms: performance.now() }
    const before = kind === 'flush' ? this.model.acknowledgedNow() : undefined
    this.#sinceMs.add(since)
    const data = await this.#submitUntilAnswered(request)
    this.#sinceMs.delete(since)
    this.longestWaitMs = Math.max(this.longestWaitMs, performance.now() - since.ms)
    this.answered += 1
    if (before) return this.model.flushed(before)
    const [mistake] = kind === 'read' ? this.#judgeAll(first, data, false) : []
    if (mistake) throw new Error(`while running: ${mistake}`)
    if (version > 0) this.model.acknowledge(first, count, version, (request.flags & commandFlag.fua) !== 0)
    this.#busy.fill(0, Math.floor(first / PER_BLOCK), Math.ceil((first + count) / PER_BLOCK))
  }

  /** The same request again and again, over new connections, until it has an answer. */
  async #submitUntilAnswered(request: NbdRequest): Promise<Buffer> {
    for (;;) {
      const client = await this.#connection()
      try {
        return await client.submit(request)
      } catch (error) {
        if (!(error instanceof NbdDisconnected)) throw error
      }
    }
  }

  #connection(): Promise<NbdClient> {
    // a socket that was reset is destroyed before its channel hears of it
    const isOver = this.#client?.channel.isOver || this.#client?.channel.socket.destroyed
    if (this.#client && !isOver) return Promise.resolve(this.#client)
    this.#connecting ??= this.#reconnect().finally(() => {
      this.#connecting = undefined
    })
    return this.#connecting
  }

  async #reconnect(): Promise<NbdClient> {
    if (this.#client) this.reconnects += 1
    this.#client = await this.#connect(this.uri)
    this.#connectedMs = performance.now()
    return this.#client
  }

  async #connect(uri: string): Promise<NbdClient> {
    const startedMs = performance.now()
    for (;;) {
      try {
        return await connect(this.#target(uri), {
          exportName: parseTarget(uri).exportName,
          timeoutMs: this.#options.connectMs,
        })
      } catch (error) {
        if (this.failure) throw this.failure
        const isLate = performance.now() - startedMs > this.#options.patienceMs
        if (isLate)
          throw new Error(`${uri} is out of reach for ${this.#options.patienceMs} ms`, { cause: error })
        await sleep(10)
      }
    }
  }

  #target(uri: string): NbdTarget {
    const target = parseTarget(uri).connect
    if (!this.#isKeptAlive || !('host' in target && target.host !== undefined)) return uri
    const { host, port } = target
    return { host, port, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }
  }

  #watch(): void {
    const { patienceMs, silenceMs } = this.#options
    const nowMs = performance.now()
    const oldestMs = Math.min(...[...this.#sinceMs].map(({ ms }) => ms))
    if (nowMs - oldestMs > patienceMs) this.#fail(new Error(`a request had no answer for ${patienceMs} ms`))
    else if (nowMs - Math.max(oldestMs, this.#connectedMs) > silenceMs) void this.#client?.destroy()
  }

  #fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new Error(String(error))
    void this.#client?.destroy()
  }

  #throwFailure(): void {
    if (!this.failure) return
    const text = `oracle (seed ${this.seed}): ${this.failure.message}`
    throw new Error(text, { cause: this.failure })
  }
}

const keepAlive = ({ channel }: NbdClient): unknown => channel.socket.setKeepAlive(true, KEEP_ALIVE_MS)
