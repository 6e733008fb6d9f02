import { createServer, type Server, type Socket } from 'node:net'
import { type ListenAddress, listenText } from '../config/address.ts'
import { Catalogue } from './catalogue.ts'
import { ClientHandshake, type GreetedClient } from './client-handshake.ts'
import type { EventLog } from './events.ts'
import type { SocketTools } from './sockets.ts'
import { removeStaleSocket } from './unix-socket.ts'

const HANDSHAKE_TIMEOUT_MS = 10_000
const HANDSHAKES_MAX = 1000
const RETRY_MS = 20

/** Where clients are taken, for which aggregates, and what they may do. */
export interface ServicePlace {
  readonly address: ListenAddress
  /** names */
  readonly aggregates: readonly string[]
  readonly readOnly: boolean
}

/**
 * One service address: open while this node serves an aggregate that clients look for there. It
 * moves between nodes with ownership, so opening is retried until the former holder lets go.
 */
export class ServiceListener {
  readonly place: ServicePlace
  readonly catalogue: Catalogue
  readonly #tools: SocketTools
  readonly #events: EventLog
  readonly #greeted: (client: GreetedClient) => void
  readonly #handshakes = new Set<ClientHandshake>()
  #wanted = false
  #server: Server | undefined
  #retry: NodeJS.Timeout | undefined
  #complained = false

  constructor(
    place: ServicePlace,
    tools: SocketTools,
    events: EventLog,
    greeted: (client: GreetedClient) => void,
  ) {
    this.place = place
    this.catalogue = new Catalogue(place.readOnly)
    this.#tools = tools
    this.#events = events
    this.#greeted = greeted
  }

  get isOpen(): boolean {
    return this.#server?.listening ?? false
  }

  open(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.#complained = false
    this.#tryToOpen()
  }

  /** Stops listening and drops clients that are not through with the handshake. */
  close(): void {
    this.#wanted = false
    clearTimeout(this.#retry)
    const open = this.isOpen
    this.#server?.close()
    this.#server = undefined
    for (const handshake of [...this.#handshakes]) handshake.close()
    if (open) this.#events.add('info', 'service-closed', `clients are not taken at ${this.#name} any more`)
  }

  get #name(): string {
    return listenText(this.place.address)
  }

  #tryToOpen(): void {
    if (!this.#wanted) return
    const { address } = this.place
    let where: { path: string } | { fd: number }
    try {
      where = 'path' in address ? address : { fd: this.#tools.listenSocket(address.host, address.port) }
    } catch (error) {
      this.#tryAgain(error as Error)
      return
    }
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    server.on('error', (error) => {
      if (this.#server !== server) return
      this.#server = undefined
      server.close()
      this.#tryAgain(error)
    })
    server.once('listening', () => {
      if (this.#server === server)
        this.#events.add('info', 'service-open', `clients are taken at ${this.#name}`)
    })
    this.#server = server
    server.listen(where)
  }

  #tryAgain(error: Error): void {
    if (!this.#complained) {
      const text = `cannot listen at ${this.#name}, trying on: ${error.message}`
      this.#events.add('warn', 'service-address-busy', text)
      this.#complained = true
    }
    const { address } = this.place
    if ('path' in address) removeStaleSocket(address.path)
    this.#retry = setTimeout(() => this.#tryToOpen(), RETRY_MS)
  }

  #accept(socket: Socket): void {
    if (this.#handshakes.size >= HANDSHAKES_MAX) {
      socket.destroy()
      return
    }
    const handshake: ClientHandshake = new ClientHandshake(socket, {
      catalogue: this.catalogue,
      tools: this.#tools,
      timeoutMs: HANDSHAKE_TIMEOUT_MS,
      greeted: this.#greeted,
      ended: () => this.#handshakes.delete(handshake),
    })
    this.#handshakes.add(handshake)
  }
}
