import { createServer, type Server, type Socket } from 'node:net'
import { StoreError } from '../base/errors.ts'
import { type Address, addressText } from '../config/address.ts'
import type { EventLog } from './events.ts'
import { encodeGoodbye, type Greeting, readGreeting } from './link-greeting.ts'
import { peerText, type SocketTools, takeOffLoop } from './sockets.ts'

const GREETING_TIMEOUT_MS = 5000
const GREETINGS_MAX = 64

export interface LinkConnection {
  readonly descriptor: number
  readonly peer: string
  readonly leftover: Uint8Array
}

/** Decides where a partner's connection goes: a place for it, or the reason why there is none. */
export type LinkRoute = (hello: Greeting & { kind: 'hello' }) => ((link: LinkConnection) => void) | string

/** Where the partner connects. Reads the hello to learn which engine a connection is for. */
export class LinkListener {
  readonly #events: EventLog
  readonly #tools: SocketTools
  readonly #route: LinkRoute
  readonly #greetings = new Set<Socket>()
  #server: Server | undefined

  constructor(events: EventLog, tools: SocketTools, route: LinkRoute) {
    this.#events = events
    this.#tools = tools
    this.#route = route
  }

  /** The port that is listened on, once `open` has resolved. */
  get port(): number {
    const address = this.#server?.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  open(address: Address): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        const text = `the link cannot listen at ${addressText(address)}: ${error.message}`
        reject(new StoreError('PORT_IN_USE', `${text}; change link.listen or end the other process`))
      })
      server.listen(address.port, address.host, resolve)
    })
  }

  close(): void {
    this.#server?.close()
    for (const socket of this.#greetings) socket.destroy()
  }

  #accept(socket: Socket): void {
    if (this.#greetings.size >= GREETINGS_MAX) {
      socket.destroy()
      return
    }
    this.#greetings.add(socket)
    let received = new Uint8Array(0)
    const timer = setTimeout(() => this.#refuse(socket, 'it said nothing'), GREETING_TIMEOUT_MS)
    socket.on('error', () => {})
    socket.once('end', () => socket.destroy())
    socket.once('close', () => {
      clearTimeout(timer)
      this.#greetings.delete(socket)
    })
    const feed = (bytes: Uint8Array): void => {
      received = Uint8Array.from(Buffer.concat([received, bytes]))
      const greeting = readGreeting(received)
      if (greeting.kind === 'more') return
      socket.off('data', feed)
      clearTimeout(timer)
      if (greeting.kind === 'nonsense') return this.#refuse(socket, greeting.reason)
      this.#send(socket, received, greeting)
    }
    socket.on('data', feed)
  }

  #send(socket: Socket, received: Uint8Array, hello: Greeting & { kind: 'hello' }): void {
    const place = this.#route(hello)
    if (typeof place === 'string') return this.#refuse(socket, place)
    const peer = peerText(socket)
    const taken = takeOffLoop(socket, received, this.#tools)
    if (taken) place({ peer, ...taken })
  }

  #refuse(socket: Socket, reason: string): void {
    if (socket.destroyed) return
    this.#events.add('warn', 'link-refused', `a connection from ${peerText(socket)} is refused: ${reason}`)
    socket.resume()
    socket.end(encodeGoodbye(reason))
    // whoever does not hang up after that is hung up on
    setTimeout(() => socket.destroy(), 1000).unref()
  }
}
