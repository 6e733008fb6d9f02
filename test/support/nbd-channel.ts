import { once } from 'node:events'
import net from 'node:net'

/** Keep-alive of TCP begins with the connection: the handshake may be what waits for nobody. */
export type NbdTarget =
  | string
  | { host: string; port: number; keepAlive?: boolean; keepAliveInitialDelay?: number }
  | { path: string }

/** Where to connect and which export, from `nbd://host:port/name` or `nbd+unix:///name?socket=path`. */
export function parseTarget(target: NbdTarget): { connect: net.NetConnectOpts; exportName: string } {
  if (typeof target !== 'string') return { connect: target, exportName: '' }
  const uri = new URL(target)
  const exportName = decodeURIComponent(uri.pathname.slice(1))
  if (uri.protocol === 'nbd+unix:') return { connect: { path: uri.searchParams.get('socket')! }, exportName }
  if (uri.protocol !== 'nbd:') throw new Error(`not an NBD URI that this client knows: ${target}`)
  const host = uri.hostname.replace(/^\[|\]$/g, '') || 'localhost'
  return { connect: { host, port: uri.port === '' ? 10809 : Number(uri.port) }, exportName }
}

/** The connection has ended; `reason` is the socket's error, if there was one. */
export class ChannelEnded extends Error {
  override name = 'ChannelEnded'
}

interface Waiting {
  readonly byteLength: number
  readonly resolve: (bytes: Buffer) => void
  readonly reject: (error: Error) => void
}

/** A socket that is read in exact amounts. One reader at a time. */
export class ByteChannel {
  readonly socket: net.Socket
  /** Resolves, never rejects, when the connection is over. */
  readonly ended: Promise<Error | undefined>
  #chunks: Buffer[] = []
  #byteLength = 0
  #waiting: Waiting | undefined
  #error: Error | undefined
  #isOver = false

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#byteLength += chunk.length
      this.#serve()
    })
    socket.on('error', (error) => {
      this.#error = error
    })
    this.ended = new Promise((resolve) => {
      socket.once('end', () => this.#end())
      socket.once('close', () => {
        this.#end()
        resolve(this.#error)
      })
    })
  }

  static async connect(target: NbdTarget, timeoutMs = 10_000): Promise<ByteChannel> {
    const socket = net.connect(parseTarget(target).connect)
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)),
      timeoutMs,
    )
    try {
      await once(socket, 'connect')
    } finally {
      clearTimeout(timer)
    }
    return new ByteChannel(socket)
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** What has come and was not taken. */
  get bufferedByteLength(): number {
    return this.#byteLength
  }

  send(...pieces: Uint8Array[]): void {
    if (this.socket.destroyed) return
    this.socket.cork()
    for (const piece of pieces) this.socket.write(piece)
    this.socket.uncork()
  }

  /** The next `byteLength` bytes; rejects with ChannelEnded if the connection ends before. */
  take(byteLength: number): Promise<Buffer> {
    if (this.#waiting) throw new Error('a channel has one reader at a time')
    return new Promise((resolve, reject) => {
      this.#waiting = { byteLength, resolve, reject }
      this.#serve()
    })
  }

  /** Everything until the server closes the connection. */
  async takeRest(): Promise<Buffer> {
    await this.ended
    const rest = Buffer.concat(this.#chunks)
    this.#chunks = []
    this.#byteLength = 0
    return rest
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Ends the connection with RST, as a host that crashed would. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  #end(): void {
    this.#isOver = true
    this.#serve()
  }

  #serve(): void {
    const waiting = this.#waiting
    if (!waiting) return
    if (waiting.byteLength <= this.#byteLength) {
      this.#waiting = undefined
      waiting.resolve(this.#cut(waiting.byteLength))
    } else if (this.#isOver) {
      this.#waiting = undefined
      waiting.reject(new ChannelEnded('the server has closed the connection', { cause: this.#error }))
    }
  }

  #cut(byteLength: number): Buffer {
    const first = this.#chunks[0]
    this.#byteLength -= byteLength
    if (first && first.length > byteLength) {
      this.#chunks[0] = first.subarray(byteLength)
      return first.subarray(0, byteLength)
    }
    const taken: Buffer[] = []
    let missing = byteLength
    while (missing > 0) {
      const chunk = this.#chunks[0]!
      taken.push(chunk.subarray(0, missing))
      if (chunk.length > missing) this.#chunks[0] = chunk.subarray(missing)
      else this.#chunks.shift()
      missing -= Math.min(chunk.length, missing)
    }
    return taken.length === 1 ? taken[0]! : Buffer.concat(taken, byteLength)
  }
}
