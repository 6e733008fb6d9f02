import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { PIECE_BLOCKS_MAX } from '../../ts/flow/read.ts'
import { Command, CommandFlag, NbdError } from '../../ts/format/nbd.ts'
import { Context, NO_CONTEXTS } from '../../ts/nbd/meta-context.ts'
import type { SessionTerms } from '../../ts/nbd/session-terms.ts'
import { Connection } from './connection.ts'
import type { Extent, ReplyReader, Request } from './nbd-wire.ts'
import type { Random } from './random.ts'
import { drawRange, isCrowded } from './ranges.ts'
import { SimVolume } from './sim-volume.ts'
import { type Look, payload, RangeChange } from './volume-model.ts'
import type { SimWorld } from './world.ts'

interface Operation extends Request {
  readonly startedMs: number
  readonly step: number
  /** what it does, and what there was when it began */
  readonly change: RangeChange | undefined
  readonly look: Look | undefined
  /** for the last check of all blocks: how often it was asked before */
  readonly attempts: number
  shown: Uint8Array | undefined
  extents: readonly Extent[] | undefined
}

export interface ClientHabits {
  /** how long it waits between requests, in milliseconds */
  readonly thinkMs: number
  readonly inFlightMax: number
  /** the share of requests that change something */
  readonly writes: number
}

const HABITS: ClientHabits = { thinkMs: 4, inFlightMax: 16, writes: 0.65 }
const ATTEMPTS_MAX = 60
const NOTHING_HEARD = { shown: undefined, extents: undefined }
const isChange = (command: number): boolean =>
  command === Command.WRITE || command === Command.WRITE_ZEROES || command === Command.TRIM

/**
 * A client of a volume that others use, too. Like QEMU it sends again what had no answer when its
 * connection broke. Every answer is held against what the volume may hold (volume-model.ts).
 */
export class SimClient implements ReplyReader {
  readonly volume: SimVolume
  acknowledged = 0
  reads = 0
  statuses = 0
  reconnects = 0
  /** answers with an error that the world has brought about */
  failures = 0
  /** answered with an error that nothing explains */
  errors: string[] = []
  isIdle = false
  readonly #world: SimWorld
  readonly #random: Random
  readonly #habits: ClientHabits
  readonly #terms: SessionTerms
  readonly #outstanding = new Map<number, Operation>()
  /** changes that were sent over a connection that is gone */
  #ghosts: { connection: Connection; change: RangeChange }[] = []
  #connection: Connection | undefined
  #cookie = 0
  static #numbers = 0

  constructor(
    world: SimWorld,
    volume: SimVolume | string,
    byteLength = 0,
    habits: Partial<ClientHabits> = {},
  ) {
    this.#world = world
    this.#random = world.random
    this.#habits = { ...HABITS, ...habits }
    this.volume =
      typeof volume === 'string' ? new SimVolume(world, world.aggregates[0]!, volume, byteLength) : volume
    this.#terms = chooseTerms(world.random)
    this.#tick()
  }

  /** Numbers of writes begin anew in each world. */
  static newWorld(): void {
    SimClient.#numbers = 0
  }

  get isConnected(): boolean {
    return this.#connection !== undefined
  }

  get inFlight(): number {
    return this.#outstanding.size + this.#ghosts.length
  }

  /** Reads everything once, nothing else going on, and compares. */
  verifyAll(): void {
    for (let offset = 0; offset < this.volume.byteLength; offset += 64 * BLOCK_SIZE) {
      const length = Math.min(64 * BLOCK_SIZE, this.volume.byteLength - offset)
      this.#issue(Command.READ, 0, offset, length, undefined, 1)
    }
    if (this.#terms.contexts !== NO_CONTEXTS) this.#issue(Command.BLOCK_STATUS, 0, 0, this.volume.byteLength)
  }

  /** Whatever the reason: the connection is gone, and what had no answer is sent again. */
  giveUp(): void {
    if (this.#connection === undefined) return
    this.#connection.close()
    this.#disconnected()
  }

  #tick(): void {
    this.#noticeServer()
    this.#decideGhosts()
    if (this.#connection === undefined) this.#connect()
    else if (!this.isIdle) for (let i = 0; i < 1 + this.#random.below(3); i += 1) this.#next()
    const { thinkMs } = this.#habits
    this.#world.scheduler.after(this.#random.between(0.1, 2 * thinkMs), () => this.#tick())
  }

  /** A stopped owner keeps connections open: a client gives up after a while. */
  #noticeServer(): void {
    const connection = this.#connection
    if (connection === undefined) return
    if (connection.hasDied) return this.giveUp()
    const [oldest] = this.#outstanding.values()
    if (oldest === undefined) return
    const waitedMs = this.#world.scheduler.nowMs - oldest.startedMs
    const server = this.#world.serverOf(this.volume.aggregate)
    const isElsewhere = server !== undefined && server !== connection.host
    if (waitedMs > 1500 && (isElsewhere || !connection.host.isAwake)) this.giveUp()
  }

  #decideGhosts(): void {
    if (this.#ghosts.length === 0) return
    this.#ghosts = this.#ghosts.filter(({ connection, change }) => {
      const { isDecided } = connection
      if (isDecided) this.volume.model.decide(change)
      return !isDecided
    })
  }

  #connect(): void {
    const found = this.volume.find()
    if (found === undefined) return
    this.reconnects += 1
    const connection = new Connection(found.host, found.number, this.#terms, this, () => {
      if (this.#connection === connection) this.#disconnected()
    })
    this.#connection = connection
    for (const operation of [...this.#outstanding.values()]) {
      this.#outstanding.delete(operation.cookie)
      const { command, flags, offset, length, data, attempts } = operation
      if (!this.#isHopeless(operation)) this.#issue(command, flags, offset, length, data, attempts)
      else if (attempts > 0) this.#verifyAgain(operation, NbdError.EIO)
    }
  }

  /** A simple reply cannot tell of a block that cannot be read in its middle: the server has to hang up. */
  #isHopeless({ command, offset, length }: Operation): boolean {
    const isLong =
      command === Command.READ && !this.#isInChunks && length > (PIECE_BLOCKS_MAX * BLOCK_SIZE) / 2
    return isLong && this.volume.mayFail(NbdError.EIO, offset, length)
  }

  #disconnected(): void {
    const connection = this.#connection!
    this.#connection = undefined
    for (const [cookie, operation] of this.#outstanding) {
      const { change, look } = operation
      if (change !== undefined) this.#ghosts.push({ connection, change })
      if (look !== undefined) this.volume.model.forgetLook(look)
      this.#outstanding.set(cookie, { ...operation, change: undefined, look: undefined, ...NOTHING_HEARD })
    }
  }

  #next(): void {
    if (this.#outstanding.size >= this.#habits.inFlightMax) return
    const [offset, length] = drawRange(this.#random, this.volume.byteLength)
    if (length === 0) return
    const dice = this.#random.between(0, 1)
    const fua = this.#random.chance(0.1) ? CommandFlag.FUA : 0
    if (dice > this.#habits.writes) return this.#look(offset, length)
    const kind = this.#random.below(100)
    if (kind < 8) return this.#issue(Command.FLUSH, 0, 0, 0)
    if (isCrowded(this.volume.model, offset, length)) return this.#issue(Command.READ, 0, offset, length)
    if (kind < 86) return this.#write(fua, offset, length)
    if (kind < 94) return this.#issue(Command.WRITE_ZEROES, fua, offset, length)
    this.#issue(Command.TRIM, fua, offset, length)
  }

  #look(offset: number, length: number): void {
    if (this.#terms.contexts === NO_CONTEXTS || this.#random.chance(0.7)) {
      const df = this.#isInChunks && this.#random.chance(0.1) ? CommandFlag.DF : 0
      return this.#issue(Command.READ, length <= PIECE_BLOCKS_MAX * (BLOCK_SIZE / 2) ? df : 0, offset, length)
    }
    const farther = this.#random.chance(0.5) ? this.volume.byteLength - offset : length
    this.#issue(Command.BLOCK_STATUS, this.#random.chance(0.3) ? CommandFlag.REQ_ONE : 0, offset, farther)
  }

  /** Replies to reads come in chunks, and may tell of an error in their middle. */
  get #isInChunks(): boolean {
    return this.#terms.structuredReplies || this.#terms.extendedHeaders
  }

  #write(fua: number, offset: number, length: number): void {
    SimClient.#numbers += 1
    this.#issue(Command.WRITE, fua, offset, length, payload(offset, length, SimClient.#numbers))
  }

  #issue(
    command: number,
    flags: number,
    offset: number,
    length: number,
    data?: Uint8Array,
    attempts = 0,
  ): void {
    this.#cookie += 1
    const { model } = this.volume
    const connection = this.#connection
    // what cannot be sent has not begun; it does when the next connection is there
    const change =
      connection && isChange(command)
        ? new RangeChange(offset, length, data, command === Command.TRIM)
        : undefined
    if (change !== undefined) model.begin(change)
    const operation: Operation = {
      cookie: this.#cookie,
      command,
      flags,
      offset,
      length,
      data,
      startedMs: this.#world.scheduler.nowMs,
      step: model.step,
      change,
      look: connection && model.look(offset, length),
      attempts,
      shown: undefined,
      extents: undefined,
    }
    this.#outstanding.set(operation.cookie, operation)
    connection?.send(operation)
  }

  // --- what the server says ------------------------------------------------------------------------

  dataLength(cookie: number): number | undefined {
    const operation = this.#outstanding.get(cookie)
    if (operation === undefined) return undefined
    return operation.command === Command.READ ? operation.length : 0
  }

  data(cookie: number, offset: number | undefined, bytes: Uint8Array): void {
    const operation = this.#outstanding.get(cookie)!
    const at = offset === undefined ? 0 : offset - operation.offset
    if (at === 0 && bytes.length === operation.length) {
      operation.shown = bytes
      return
    }
    operation.shown ??= new Uint8Array(operation.length)
    operation.shown.set(bytes, at)
  }

  answered(cookie: number, error: number): void {
    const operation = this.#outstanding.get(cookie)!
    this.#outstanding.delete(cookie)
    if (error !== 0) return this.#failed(operation, error)
    const { model } = this.volume
    if (operation.command === Command.READ) return this.#compare(operation)
    if (operation.command === Command.BLOCK_STATUS) return this.#compareStatus(operation)
    this.acknowledged += 1
    if (operation.look !== undefined) model.forgetLook(operation.look)
    if (operation.change !== undefined) model.end(operation.change)
    const isStable = operation.command === Command.FLUSH || (operation.flags & CommandFlag.FUA) !== 0
    if (isStable) model.flushed(operation.step)
  }

  #compare({ offset, shown, look, length }: Operation): void {
    this.reads += 1
    const mistake = this.volume.model.observe(look!, offset, shown!)
    if (mistake === undefined) return
    throw new Error(`a read of ${offset}+${length} of ${this.volume.name} shows what cannot be: ${mistake}`)
  }

  extents(cookie: number, extents: readonly Extent[]): void {
    this.#outstanding.get(cookie)!.extents = extents
  }

  /** What is called zero has to read as zero; what is called data may be anything. */
  #compareStatus({ offset, length, flags, extents, look }: Operation): void {
    this.statuses += 1
    const { model, name } = this.volume
    let [at, mistake]: [number, string | undefined] = [offset, undefined]
    for (const { byteLength, isZero } of extents!) {
      if (isZero) mistake ??= model.judge(look!, offset, at, new Uint8Array(byteLength))
      at += byteLength
    }
    model.forgetLook(look!)
    if (at > offset + length || extents!.some(({ byteLength }) => byteLength === 0)) mistake = 'wrong lengths'
    if ((flags & CommandFlag.REQ_ONE) !== 0 && extents!.length !== 1) mistake = 'more extents than one'
    if (mistake === undefined) return
    throw new Error(`a status of ${offset}+${length} of ${name} says what cannot be: ${mistake}`)
  }

  #failed(operation: Operation, error: number): void {
    const { command, offset, length, change, look } = operation
    this.failures += 1
    const mayFail = command !== Command.FLUSH || this.#world.isDoomed
    const isExplained = mayFail && this.volume.mayFail(error, offset, length, operation.step)
    if (!isExplained) this.#complain(`command ${command} at ${offset}+${length}: error ${error}`)
    if (change !== undefined) this.volume.model.decide(change)
    if (look !== undefined) this.volume.model.forgetLook(look)
    if (operation.attempts > 0) this.#verifyAgain(operation, error)
  }

  /** In peace only what was really lost stays unreadable, block by block. */
  #verifyAgain({ offset, length, attempts }: Operation, error: number): void {
    if (length > BLOCK_SIZE) {
      for (let at = offset; at < offset + length; at += BLOCK_SIZE) {
        this.#issue(Command.READ, 0, at, BLOCK_SIZE, undefined, 1)
      }
    } else if (attempts < ATTEMPTS_MAX && !this.volume.isLost(offset, length)) {
      this.#issue(Command.READ, 0, offset, length, undefined, attempts + 1)
    } else if (!this.volume.isLost(offset, length)) {
      this.#complain(`block ${offset / BLOCK_SIZE} cannot be read in peace (error ${error})`)
    }
  }

  #complain(what: string): never {
    this.errors.push(what)
    throw new Error(`a client of ${this.volume.name} got an error that nothing explains: ${what}`)
  }
}

/** What a client has agreed on with every server that it meets. */
function chooseTerms(random: Random): SessionTerms {
  const structuredReplies = random.chance(0.7)
  const extendedHeaders = random.chance(0.3)
  const blockStatus = (structuredReplies || extendedHeaders) && random.chance(0.7)
  return { structuredReplies, extendedHeaders, contexts: blockStatus ? Context.ALLOCATION : NO_CONTEXTS }
}
