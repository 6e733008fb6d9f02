import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { assert } from '../base/assert.ts'
import type { ExportCatalog, ExportInfo } from '../nbd/export.ts'
import { Handshake } from '../nbd/handshake.ts'
import type { SessionTerms } from '../nbd/session-terms.ts'
import { peerText, type SocketTools, takeOffLoop } from './sockets.ts'
import type { SecuredClient, TlsGate } from './tls-gate.ts'

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
  /** where clients may or must come over TLS */
  readonly tls: TlsGate | undefined
  /** the descriptor belongs to whoever is told */
  readonly greeted: (client: GreetedClient) => void
  /** called exactly once, when the handshake is over in any way */
  readonly ended: () => void
}

/**
 * The NBD handshake of one client on the main thread; its socket then leaves node for good. A client is
 * held first: it hears nothing before `greet`. One that goes over to TLS stays in node's hands, in front of a
 * proxy.
 */
export class ClientHandshake {
  /** from STARTTLS on, the TLS socket */
  #socket: Socket
  #securedName: string | undefined
  readonly #options: HandshakeOptions
  readonly #handshake: Handshake
  #timer: NodeJS.Timeout
  #greeted = false
  #over = false

  constructor(socket: Socket, options: HandshakeOptions) {
    this.#socket = socket
    this.#options = options
    this.#handshake = new Handshake(options.catalogue, { tls: options.tls?.stage ?? 'none' })
    this.#timer = setTimeout(() => this.close(), HOLD_MS)
    socket.on('data', this.#hear)
    this.#watch(socket)
  }

  #watch(socket: Socket): void {
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
    this.#timer = setTimeout(() => this.#expire(), HANDSHAKE_TIMEOUT_MS)
    this.#socket.write(this.#handshake.greeting())
    this.#socket.resume()
  }

  /** Gives away a client that is held, with everything that it has said; undefined: it is held no more. */
  release(): Socket | undefined {
    if (!this.isHeld || this.#socket.destroyed) return undefined
    this.#socket.off('data', this.#hear)
    this.#socket.pause()
    this.#end()
    return this.#socket
  }

  /** Nobody will serve: from now on every option is answered so. A client that is held is dropped. */
  refuse(): void {
    if (this.isHeld) this.close()
    else this.#handshake.stop()
  }

  #expire(): void {
    // the reason is told if TLS was about to begin
    this.#socket.destroy(new Error(`the handshake took more than ${HANDSHAKE_TIMEOUT_MS} ms`))
    this.#end()
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
      case 'tls':
        this.#socket.off('data', this.#hear)
        this.#socket.pause()
        this.#socket.write(step.send, () => this.#options.tls!.turns.take(this.#startTls))
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

  #startTls = (): TLSSocket | undefined => {
    const { tls, catalogue } = this.#options
    assert(tls, 'TLS is agreed on only where there is a gate')
    if (this.#over || this.#socket.destroyed) return undefined
    const secure = tls.begin(this.#socket, catalogue, (client) => this.#secured(client))
    this.#socket = secure
    this.#watch(secure)
    return secure
  }

  #secured({ name, catalogue, barred }: SecuredClient): void {
    if (this.#over) return
    this.#securedName = name
    this.#handshake.secured(catalogue, barred)
    this.#socket.on('data', this.#hear)
  }

  #takeOff(exportInfo: ExportInfo, terms: SessionTerms, already: Uint8Array): void {
    if (this.#over) return
    const peer = peerText(this.#socket)
    const name = this.#securedName
    if (name !== undefined) return this.#proxy({ exportInfo, terms, peer: `${peer} (${name})` }, already)
    const taken = takeOffLoop(this.#socket, already, this.#options.tools)
    this.#end()
    if (taken) this.#options.greeted({ exportInfo, terms, peer, ...taken })
  }

  #proxy(client: Omit<GreetedClient, 'descriptor' | 'leftover'>, already: Uint8Array): void {
    const { tls, tools, greeted } = this.#options
    const descriptor = tls!.proxies.open(this.#socket, client.exportInfo.aggregate, tools)
    this.#end()
    // a copy: a pooled buffer would be transferred whole
    if (descriptor !== undefined) greeted({ ...client, descriptor, leftover: Uint8Array.from(already) })
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.#options.tls?.turns.leave(this.#startTls)
    this.#options.ended()
  }
}
