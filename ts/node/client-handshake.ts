import type { Socket } from 'node:net'
import type { ExportCatalog, ExportInfo } from '../nbd/export.ts'
import { Handshake } from '../nbd/handshake.ts'
import type { SessionTerms } from '../nbd/session-terms.ts'
import { peerText, type SocketTools, takeOffLoop } from './sockets.ts'

/** A client that is through with the handshake, ready for its engine. */
export interface GreetedClient {
  readonly exportInfo: ExportInfo
  readonly terms: SessionTerms
  readonly descriptor: number
  readonly peer: string
  readonly leftover: Uint8Array
}

const HANDSHAKE_TIMEOUT_MS = 10_000
/**
 * How long a client waits to be greeted. A takeover from an owner whose end the arbiter cannot see takes a
 * lease with its margins, 2.8 s unless configured otherwise. Whoever waits longer is better off trying again.
 */
const HOLD_MS = 3000

export interface HandshakeOptions {
  readonly catalogue: ExportCatalog
  readonly tools: SocketTools
  /** the descriptor belongs to whoever is told */
  readonly greeted: (client: GreetedClient) => void
  /** called exactly once, when the handshake is over in any way */
  readonly ended: () => void
}

/**
 * The NBD handshake of one client on the main thread; its socket then leaves node for good. A client is
 * held first: it hears nothing before `greet`.
 */
export class ClientHandshake {
  readonly #socket: Socket
  readonly #options: HandshakeOptions
  readonly #handshake: Handshake
  #timer: NodeJS.Timeout
  #greeted = false
  #over = false

  constructor(socket: Socket, options: HandshakeOptions) {
    this.#socket = socket
    this.#options = options
    this.#handshake = new Handshake(options.catalogue)
    this.#timer = setTimeout(() => this.close(), HOLD_MS)
    socket.on('data', this.#hear)
    socket.once('end', () => this.close())
    socket.once('close', () => this.#end())
    // a client that resets the connection is no event: 'close' follows
    socket.on('error', () => {})
  }

  get isHeld(): boolean {
    return !this.#greeted && !this.#over
  }

  /** Begins the handshake. */
  greet(): void {
    if (!this.isHeld) return
    this.#greeted = true
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.close(), HANDSHAKE_TIMEOUT_MS)
    this.#socket.write(this.#handshake.greeting())
    this.#socket.resume()
  }

  /** Drops the client. */
  close(): void {
    if (!this.#over) this.#socket.destroy()
    this.#end()
  }

  #hear = (bytes: Uint8Array): void => {
    if (this.#greeted) return this.#feed(bytes)
    // a client that speaks first keeps what it has said, and is not listened to meanwhile
    this.#socket.pause()
    this.#socket.unshift(bytes)
  }

  #feed(bytes: Uint8Array): void {
    const step = this.#handshake.feed(bytes)
    switch (step.kind) {
      case 'more':
        if (step.send.length > 0) this.#socket.write(step.send)
        // a client that does not read what it asked for is not listened to meanwhile
        if (this.#socket.writableNeedDrain) this.#waitForDrain()
        return
      case 'close':
        this.#socket.off('data', this.#hear)
        this.#socket.end(step.send)
        return
      case 'transmission': {
        this.#socket.off('data', this.#hear)
        this.#socket.pause()
        // views of what was read stay valid: node allocates anew for each read
        const { exportInfo, terms, leftover } = step
        this.#socket.write(step.send, () => this.#takeOff(exportInfo, terms, leftover))
      }
    }
  }

  #waitForDrain(): void {
    this.#socket.pause()
    this.#socket.once('drain', () => this.#socket.resume())
  }

  #takeOff(exportInfo: ExportInfo, terms: SessionTerms, already: Uint8Array): void {
    if (this.#over) return
    const peer = peerText(this.#socket)
    const taken = takeOffLoop(this.#socket, already, this.#options.tools)
    this.#end()
    if (taken) this.#options.greeted({ exportInfo, terms, peer, ...taken })
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.#options.ended()
  }
}
