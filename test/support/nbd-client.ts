import { assert } from '../../ts/base/assert.ts'
import { ByteChannel, type NbdTarget, parseTarget } from './nbd-channel.ts'
import { type ListedExport, OptionSession } from './nbd-options.ts'
import {
  command,
  commandFlag,
  EXTENDED_REPLY,
  type ExportDetails,
  encodeExtendedRequest,
  encodeRequest,
  SIMPLE_REPLY,
  STRUCTURED_REPLY,
} from './nbd-wire.ts'

export { ByteChannel, ChannelEnded, type NbdTarget } from './nbd-channel.ts'
export { OptionRefused, OptionSession } from './nbd-options.ts'

export interface ConnectOptions {
  /** overrides the name in the URI */
  readonly exportName?: string
  /** ask for structured replies; default true */
  readonly structured?: boolean
  /** ask for extended headers; default false */
  readonly extended?: boolean
  /** contexts to select: true stands for base:allocation; default none */
  readonly blockStatus?: boolean | readonly string[]
  /** use EXPORT_NAME instead of GO */
  readonly oldWay?: boolean
  /** for connecting and the handshake together */
  readonly timeoutMs?: number
}

export interface WriteFlags {
  readonly fua?: boolean
  readonly noHole?: boolean
  readonly fastZero?: boolean
}

/** A request as it was sent. What is unanswered at a disconnect can be submitted again. */
export interface NbdRequest {
  readonly command: number
  readonly flags: number
  readonly offset: number | bigint
  readonly length: number
  readonly payload?: Uint8Array
}

/** The server has answered with an error. */
export class NbdReplyError extends Error {
  override name = 'NbdReplyError'
  readonly errno: number
  readonly request: NbdRequest

  constructor(errno: number, request: NbdRequest, text: string) {
    super(`command ${request.command} at ${request.offset}+${request.length}: error ${errno} ${text}`)
    this.errno = errno
    this.request = request
  }
}

/** The connection ended before the answer came: whether the request was done is not known. */
export class NbdDisconnected extends Error {
  override name = 'NbdDisconnected'
  readonly request: NbdRequest

  constructor(request: NbdRequest, cause: unknown) {
    super(`disconnected with command ${request.command} at ${request.offset} unanswered`, { cause })
    this.request = request
  }
}

export interface Disconnection {
  /** a socket error or a violation of the protocol; undefined: the server closed in an orderly way */
  readonly reason: Error | undefined
  /** in the order in which they were sent */
  readonly unanswered: readonly NbdRequest[]
}

interface Pending {
  readonly request: NbdRequest
  readonly resolve: (data: Buffer) => void
  readonly reject: (error: Error) => void
  readonly data: Buffer
  /** bytes that chunks have brought so far */
  covered: number
  readonly statuses: Statuses
  failed: NbdReplyError | undefined
}

/** Part of the answer to a BLOCK_STATUS; flags: 1 hole, 2 zero. */
export interface Extent {
  readonly byteLength: number
  readonly flags: number
}

/** What each context tells, by its identity. */
export type Statuses = Map<number, Extent[]>

const NOTHING = Buffer.alloc(0)

/** One session in transmission. Requests may be sent without waiting; each has its promise. */
export class NbdClient {
  readonly channel: ByteChannel
  readonly details: ExportDetails
  readonly structured: boolean
  readonly extended: boolean
  readonly disconnected: Promise<Disconnection>
  #pending = new Map<bigint, Pending>()
  #cookie = 0n

  constructor(session: OptionSession, details: ExportDetails) {
    this.channel = session.channel
    this.structured = session.structured
    this.extended = session.extended
    this.details = details
    this.disconnected = this.#receive()
  }

  get byteLength(): number {
    return this.details.byteLength
  }

  /** Requests that have no answer yet. */
  get inFlight(): number {
    return this.#pending.size
  }

  read(offset: number, length: number, flags = 0): Promise<Buffer> {
    return this.submit({ command: command.read, flags, offset, length })
  }

  async write(offset: number, payload: Uint8Array, flags: WriteFlags = {}): Promise<void> {
    const length = payload.length
    await this.submit({ command: command.write, flags: encodeFlags(flags), offset, length, payload })
  }

  async writeZeroes(offset: number, length: number, flags: WriteFlags = {}): Promise<void> {
    await this.submit({ command: command.writeZeroes, flags: encodeFlags(flags), offset, length })
  }

  async trim(offset: number, length: number, flags: WriteFlags = {}): Promise<void> {
    await this.submit({ command: command.trim, flags: encodeFlags(flags), offset, length })
  }

  async cache(offset: number, length: number): Promise<void> {
    await this.submit({ command: command.cache, flags: 0, offset, length })
  }

  async flush(): Promise<void> {
    await this.submit({ command: command.flush, flags: 0, offset: 0, length: 0 })
  }

  /** What the first of the selected contexts tells. */
  async blockStatus(offset: number, length: number, flags = 0): Promise<Extent[]> {
    const statuses: Statuses = new Map()
    await this.submit({ command: command.blockStatus, flags, offset, length }, statuses)
    const [first] = statuses.values()
    return first ?? []
  }

  /** Sends any request, legal or not. The payload goes out as it is, whatever `length` says. */
  submit(request: NbdRequest, statuses: Statuses = new Map()): Promise<Buffer> {
    const cookie = this.#cookie
    this.#cookie += 1n
    const answer = new Promise<Buffer>((resolve, reject) => {
      if (this.channel.isOver || this.channel.socket.destroyed) {
        return reject(new NbdDisconnected(request, undefined))
      }
      const expectsData = request.command === command.read && request.length <= 2 ** 26
      const data = expectsData ? Buffer.alloc(request.length) : NOTHING
      this.#pending.set(cookie, { request, resolve, reject, data, covered: 0, statuses, failed: undefined })
      this.channel.send(this.#encode(request, cookie), request.payload ?? NOTHING)
    })
    // who does not wait for an answer is not to be punished with an unhandled rejection
    answer.catch(() => undefined)
    return answer
  }

  #encode(request: NbdRequest, cookie: bigint): Buffer {
    if (!this.extended) return encodeRequest({ ...request, cookie })
    const carries = request.payload === undefined ? 0 : commandFlag.payloadLength
    return encodeExtendedRequest({ ...request, flags: request.flags | carries, cookie })
  }

  /** Says goodbye (DISC) and waits for the end of the connection. */
  close(): Promise<Disconnection> {
    const goodbye = { command: command.disconnect, flags: 0, offset: 0, length: 0 }
    this.channel.send(this.#encode(goodbye, this.#cookie))
    return this.disconnected
  }

  /** Cuts the connection without a word. */
  destroy(): Promise<Disconnection> {
    this.channel.destroy()
    return this.disconnected
  }

  async #receive(): Promise<Disconnection> {
    let violation: Error | undefined
    try {
      for (;;) await this.#receiveOne()
    } catch (error) {
      if (!this.channel.isOver) violation = error as Error
    }
    this.channel.destroy()
    const reason = violation ?? (await this.channel.ended)
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    for (const { reject, request } of pending) reject(new NbdDisconnected(request, reason))
    return { reason, unanswered: pending.map(({ request }) => request) }
  }

  async #receiveOne(): Promise<void> {
    const start = await this.channel.take(16)
    const magic = start.readUInt32BE()
    const cookie = start.readBigUInt64BE(8)
    const pending = this.#pending.get(cookie)
    if (!pending) throw new Error(`a reply to no request: magic ${magic.toString(16)}, cookie ${cookie}`)
    if (magic === EXTENDED_REPLY && this.extended) return this.#extendedReply(pending, cookie, start)
    if (this.extended) throw new Error(`a reply without extended header: ${magic.toString(16)}`)
    if (magic === SIMPLE_REPLY) return this.#simpleReply(pending, cookie, start.readUInt32BE(4))
    if (magic !== STRUCTURED_REPLY || !this.structured)
      throw new Error(`magic of a reply ${magic.toString(16)}`)
    const isLast = (start.readUInt16BE(4) & 1) !== 0
    const payload = await this.channel.take((await this.channel.take(4)).readUInt32BE())
    readChunk(pending, start.readUInt16BE(6), payload)
    if (isLast) this.#settle(pending, cookie)
  }

  async #extendedReply(pending: Pending, cookie: bigint, start: Buffer): Promise<void> {
    const rest = await this.channel.take(16)
    const offset = rest.readBigUInt64BE()
    if (offset !== BigInt(pending.request.offset)) throw new Error(`a reply with another offset: ${offset}`)
    const payload = await this.channel.take(Number(rest.readBigUInt64BE(8)))
    readChunk(pending, start.readUInt16BE(6), payload)
    if ((start.readUInt16BE(4) & 1) !== 0) this.#settle(pending, cookie)
  }

  async #simpleReply(pending: Pending, cookie: bigint, error: number): Promise<void> {
    const isRead = pending.request.command === command.read
    if (isRead && this.structured)
      throw new Error('a simple reply to READ after structured replies were agreed')
    if (error !== 0) pending.failed = new NbdReplyError(error, pending.request, '')
    else if (isRead) {
      const data = await this.channel.take(pending.request.length)
      data.copy(pending.data)
      pending.covered = data.length
    }
    this.#settle(pending, cookie)
  }

  #settle(pending: Pending, cookie: bigint): void {
    const isComplete = pending.failed !== undefined || pending.covered === pending.data.length
    if (!isComplete) throw new Error('the chunks do not cover the request')
    this.#pending.delete(cookie)
    if (pending.failed) pending.reject(pending.failed)
    else pending.resolve(pending.data)
  }
}

/** One chunk of a structured reply: data, a hole, an error, or nothing. */
function readChunk(pending: Pending, type: number, payload: Buffer): void {
  const { request } = pending
  if (type === 0) return
  if ((type & 0x8000) !== 0) {
    const text = payload.toString('utf8', 6, 6 + payload.readUInt16BE(4))
    pending.failed ??= new NbdReplyError(payload.readUInt32BE(), request, text)
    return
  }
  if (type === 5 || type === 6) return readExtents(pending.statuses, type, payload)
  if (type !== 1 && type !== 2) throw new Error(`a chunk of unknown type ${type}`)
  const at = Number(payload.readBigUInt64BE()) - Number(request.offset)
  const byteLength = type === 1 ? payload.length - 8 : payload.readUInt32BE(8)
  const isInside = at >= 0 && byteLength > 0 && at + byteLength <= pending.data.length
  if (!isInside) throw new Error(`a chunk of ${byteLength} bytes at ${at} of a request of ${request.length}`)
  if (type === 1) payload.copy(pending.data, at, 8)
  pending.covered += byteLength
}

/** Those of one context. */
function readExtents(statuses: Statuses, type: number, payload: Buffer): void {
  const context = payload.readUInt32BE()
  if (statuses.has(context)) throw new Error(`a second status of context ${context}`)
  const extents: Extent[] = []
  statuses.set(context, extents)
  if (type === 6 && payload.readUInt32BE(4) * 16 + 8 !== payload.length) throw new Error('a wrong count')
  for (let at = type === 6 ? 8 : 4; at < payload.length; at += type === 6 ? 16 : 8) {
    const byteLength = type === 6 ? Number(payload.readBigUInt64BE(at)) : payload.readUInt32BE(at)
    const flags = type === 6 ? Number(payload.readBigUInt64BE(at + 8)) : payload.readUInt32BE(at + 4)
    extents.push({ byteLength, flags })
  }
}

function encodeFlags(flags: WriteFlags): number {
  return (
    (flags.fua ? commandFlag.fua : 0) |
    (flags.noHole ? commandFlag.noHole : 0) |
    (flags.fastZero ? commandFlag.fastZero : 0)
  )
}

/** Opens an export. Rejects if the server refuses it, closes, or takes longer than `timeoutMs`. */
export async function connect(target: NbdTarget, options: ConnectOptions = {}): Promise<NbdClient> {
  const name = options.exportName ?? parseTarget(target).exportName
  return withSession(target, options.timeoutMs, async (session) => {
    if (options.structured ?? true) await session.askForStructuredReplies()
    if (options.extended) await session.askForExtendedHeaders()
    const { blockStatus: wanted } = options
    if (wanted) await session.selectContexts(name, wanted === true ? ['base:allocation'] : wanted)
    const details = options.oldWay ? await session.exportName(name) : await session.go(name)
    return new NbdClient(session, details)
  })
}

/** All exports that the server tells of. */
export function list(target: NbdTarget): Promise<ListedExport[]> {
  return withSession(target, undefined, async (session) => {
    const exports = await session.list()
    await session.abort()
    return exports
  })
}

/** What the server says about one export. */
export function info(target: NbdTarget, exportName?: string): Promise<ExportDetails> {
  return withSession(target, undefined, async (session) => {
    const details = await session.info(exportName ?? parseTarget(target).exportName)
    await session.abort()
    return details
  })
}

/** A connection on which anything can be sent, and everything that comes back be looked at. */
export function connectRaw(target: NbdTarget, timeoutMs?: number): Promise<ByteChannel> {
  return ByteChannel.connect(target, timeoutMs)
}

async function withSession<T>(
  target: NbdTarget,
  timeoutMs: number | undefined,
  use: (session: OptionSession) => Promise<T>,
): Promise<T> {
  const session = await OptionSession.open(target, timeoutMs)
  const timer = setTimeout(() => session.channel.destroy(), timeoutMs ?? 10_000)
  try {
    return await use(session)
  } catch (error) {
    session.channel.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Compares what a test expects with an error that a client got. */
export function errnoOf(error: unknown): number {
  assert(error instanceof NbdReplyError, `an error reply was expected, not ${String(error)}`)
  return error.errno
}
