import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../sim/random.ts'
import { drawRange, isCrowded } from '../sim/ranges.ts'
import { type Look, payload, RangeChange } from '../sim/volume-model.ts'
import { connect, NbdReplyError, type NbdRequest } from '../support/nbd-client.ts'
import { command, commandFlag, errno } from '../support/nbd-wire.ts'
import { Session } from './session.ts'
import type { OpenChange, SoakVolume } from './soak-volume.ts'

/** So often a request is sent without an answer before one of these has to be decided. */
const REPLAYS_OPEN_MAX = 2
const PROBED_AFTER_MS = 300
const PROBES_MAX = 40
const VERIFY_BYTES = 64 * 4096
const VERIFY_ATTEMPTS = 60

type Request = NbdRequest & { readonly offset: number }

interface Operation {
  readonly request: Request
  readonly payload: Uint8Array | undefined
  readonly startedMs: number
  /** earlier tries, as far as they are open */
  readonly tries: OpenChange[]
}

export interface SoakClientOptions {
  readonly volume: SoakVolume
  readonly random: Random
  readonly depth: number
  readonly thinkMs: number
  /** after so long without an answer it tries another connection */
  readonly silenceMs: number
  readonly failed: (error: Error) => void
}

/**
 * A client of a volume that others use, too. Like QEMU it sends again what had no answer when its connection
 * ended. Every answer is held against what the volume may hold: the oracle of the simulator.
 */
export class SoakClient {
  answered = 0
  reads = 0
  reconnects = 0
  /** answers with an error that was brought about */
  failures = 0
  /** the longest that one request was without an answer */
  longestMs = 0
  readonly #options: SoakClientOptions
  readonly #underway = new Set<Operation>()
  #session: Session | undefined
  #connecting: Promise<Session> | undefined
  #workers: Promise<void>[] = []
  #watch: NodeJS.Timeout | undefined
  #isPaused = true
  #isClosed = false
  #isFlushing = false
  #isVerifying = false
  static #numbers = 0

  constructor(options: SoakClientOptions) {
    this.#options = options
  }

  /** Asks for more and more until `pause`. */
  start(): void {
    this.#isPaused = false
    this.#watch ??= setInterval(() => this.#look(), 100)
    const guarded = () => this.#work().catch((error: unknown) => this.#fail(error))
    this.#workers = Array.from({ length: this.#options.depth }, guarded)
  }

  /** Asks for nothing new; resolves when everything has its answer. */
  async pause(): Promise<void> {
    this.#isPaused = true
    await Promise.all(this.#workers)
  }

  /** What has no answer, in words; empty if nothing is under way. */
  waitingFor(): string {
    const [oldest] = this.#underway
    if (oldest === undefined) return ''
    const { command: what, offset, length } = oldest.request
    const seconds = Math.round((performance.now() - oldest.startedMs) / 1000)
    const place = `${this.#options.volume.options.name} at ${offset}+${length}`
    return `command ${what} of ${place} has had no answer for ${seconds} s and ${oldest.tries.length} tries`
  }

  /** Ends the connection, whatever is under way. */
  drop(): void {
    this.#session?.abandon()
  }

  /** Reads everything once, nothing else going on, and compares. */
  async verifyAll(): Promise<void> {
    const { byteLength } = this.#options.volume
    this.#isVerifying = true
    for (let offset = 0; offset < byteLength && !this.#isClosed; offset += VERIFY_BYTES) {
      await this.#verify(offset, Math.min(VERIFY_BYTES, byteLength - offset))
    }
    this.#isVerifying = false
  }

  /** A failure may be remembered for a moment, but not for long. */
  async #verify(offset: number, length: number): Promise<void> {
    for (let attempt = 1; !this.#isClosed; attempt += 1) {
      const { failures } = this
      await this.#perform(operation({ command: command.read, flags: 0, offset, length }))
      if (this.failures === failures) return
      const { name } = this.#options.volume.options
      if (attempt === VERIFY_ATTEMPTS)
        throw new Error(`${offset}+${length} of ${name} cannot be read in peace`)
      await sleep(100)
    }
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#watch)
    void this.#session?.client.destroy()
  }

  async #work(): Promise<void> {
    const { random, thinkMs } = this.#options
    while (!this.#isPaused && !this.#isClosed) {
      await sleep(random.between(0, 2 * thinkMs))
      await this.#perform(this.#next())
    }
  }

  #next(): Operation {
    const { random, volume } = this.#options
    const [offset, length] = drawRange(random, volume.byteLength)
    const flags = random.chance(0.1) ? commandFlag.fua : 0
    const dice = random.below(100)
    const read = () => operation({ command: command.read, flags: 0, offset, length })
    if (dice < 35) return read()
    if (dice < 40) return operation({ command: command.flush, flags: 0, offset: 0, length: 0 })
    if (isCrowded(volume.model, offset, length)) return read()
    if (dice < 48) return operation({ command: command.writeZeroes, flags, offset, length })
    if (dice < 54) return operation({ command: command.trim, flags, offset, length })
    SoakClient.#numbers += 1
    const data = payload(offset, length, SoakClient.#numbers)
    return operation({ command: command.write, flags, offset, length, payload: data }, data)
  }

  /** The same request again and again, over new connections, until it has an answer. */
  async #perform(operation: Operation): Promise<void> {
    this.#underway.add(operation)
    const { open } = this.#options.volume
    for (;;) {
      const tries = operation.tries.filter((one) => open.has(one)).length
      if (tries <= REPLAYS_OPEN_MAX) {
        const session = await this.#connection()
        if (session === undefined) break
        if (await this.#try(session, operation)) break
      }
      if (this.#isClosed) break
      await sleep(tries <= REPLAYS_OPEN_MAX ? 5 : 50)
    }
    this.#underway.delete(operation)
    this.longestMs = Math.max(this.longestMs, performance.now() - operation.startedMs)
  }

  /** Returns whether it was answered. */
  async #try(session: Session, { request, payload, tries }: Operation): Promise<boolean> {
    const { volume } = this.#options
    const { model } = volume
    const { command: what, offset, length } = request
    const change = isChange(what)
      ? new RangeChange(offset, length, payload, what === command.trim)
      : undefined
    const look = what === command.read ? model.look(offset, length) : undefined
    if (change !== undefined) model.begin(change)
    const [step, askedMs] = [model.step, performance.now()]
    const answer = session.submit(request)
    const outcome = await Promise.race([answer.catch((error: Error) => error), session.abandoned])
    if (outcome instanceof Buffer) {
      this.answered += 1
      if (look !== undefined) this.#compare(model.observe(look, offset, outcome), request)
      if (change !== undefined) model.end(change)
      if (what === command.flush) volume.flushed(askedMs)
      if (what === command.flush || (request.flags & commandFlag.fua) !== 0) model.flushed(step)
      return true
    }
    if (look !== undefined) this.#listen(answer, look, request)
    if (change !== undefined) tries.push(volume.leaveOpen(change, answer))
    if (!(outcome instanceof NbdReplyError)) return false
    this.#judge(outcome, what, askedMs)
    return true
  }

  /** A read whose answer nobody waits for: it must be right all the same. */
  #listen(answer: Promise<Buffer>, look: Look, request: Request): void {
    const { model } = this.#options.volume
    answer
      .catch(() => model.forgetLook(look))
      .then((shown) => shown && this.#compare(model.observe(look, request.offset, shown), request))
      .catch((error: unknown) => this.#fail(error))
  }

  /** Asks a silent server for something new: if it is an owner no more, it must not answer what was. */
  #probe(session: Session): void {
    if (session.inFlight > PROBES_MAX) return
    const { random, volume } = this.#options
    const [offset, length] = drawRange(random, volume.byteLength)
    const request = { command: command.read, flags: 0, offset, length }
    const look = volume.model.look(offset, length)
    this.#listen(session.submit(request), look, request)
  }

  #compare(mistake: string | undefined, { offset, length }: Request): void {
    this.reads += 1
    const { name } = this.#options.volume.options
    if (mistake !== undefined)
      throw new Error(`a read of ${offset}+${length} of ${name} shows what cannot be: ${mistake}`)
  }

  /** A flush never fails: it waits until it can be kept. */
  #judge(error: NbdReplyError, what: number, startedMs: number): void {
    this.failures += 1
    const { volume } = this.#options
    if (this.#isVerifying && error.errno === errno.EIO) return
    if (what !== command.flush && volume.mayFail(error.errno, startedMs)) return
    throw new Error(`a client of ${volume.options.name} got an error that nothing explains: ${error.message}`)
  }

  /** Undefined: the client is closed. */
  async #connection(): Promise<Session | undefined> {
    if (this.#session?.isUsable) return this.#session
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined
    })
    return this.#connecting.catch(() => undefined)
  }

  async #connect(): Promise<Session> {
    const { volume, random } = this.#options
    const { servers } = volume.options
    this.reconnects += this.#session === undefined ? 0 : 1
    for (let at = random.below(servers.length); !this.#isClosed; at += 1) {
      const uri = servers[at % servers.length]!
      const client = await connect(uri, { timeoutMs: 1000, structured: random.chance(0.7) }).catch(
        () => undefined,
      )
      if (client !== undefined) {
        this.#session = new Session(client)
        return this.#session
      }
      await sleep(30)
    }
    throw new Error('the client is closed')
  }

  /** Notices a silent server, and has decided what can be. */
  #look(): void {
    const session = this.#session
    if (session === undefined || !session.isUsable) return
    if (session.silenceMs > this.#options.silenceMs) return session.abandon()
    if (session.silenceMs > PROBED_AFTER_MS) this.#probe(session)
    const { volume } = this.#options
    if (this.#isFlushing || !volume.hasFlushable) return
    this.#isFlushing = true
    const askedMs = performance.now()
    session
      .submit({ command: command.flush, flags: 0, offset: 0, length: 0 })
      .then(() => volume.flushed(askedMs))
      .catch(() => undefined)
      .finally(() => {
        this.#isFlushing = false
      })
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return
    this.#options.failed(error instanceof Error ? error : new Error(String(error)))
  }
}

const isChange = (what: number): boolean =>
  what === command.write || what === command.writeZeroes || what === command.trim

const operation = (request: Request, payload?: Uint8Array): Operation => ({
  request,
  payload,
  startedMs: performance.now(),
  tries: [],
})
