import { createServer, type Server, type Socket } from 'node:net'
import { type Address, type ListenAddress, listenText } from '../config/address.ts'
import { Catalogue } from './catalogue.ts'
import { ClientHandshake, type GreetedClient } from './client-handshake.ts'
import type { EventLog } from './events.ts'
import { Forwarder } from './forwarder.ts'
import type { SocketTools } from './sockets.ts'
import { StandbyListener } from './standby-listener.ts'
import type { TlsGate } from './tls-gate.ts'
import { removeStaleSocket } from './unix-socket.ts'

const HANDSHAKES_MAX = 1000
const RETRY_MS = 20
/** How often to look for a partner that serves, while clients are held: that reads all of /proc/net/tcp. */
const LOOK_MS = 200

/** Where clients are taken, for which aggregates, and what they may do. */
export interface ServicePlace {
  readonly address: ListenAddress
  /** names */
  readonly aggregates: readonly string[]
  readonly readOnly: boolean
  /** the partner serves at the same address, of the same host, when this node does not */
  readonly isShared: boolean
  /** where the owner serves: clients are passed on to it while that is not this node */
  readonly forwardTo?: Address | undefined
  /** this node sets the address itself, while it serves: it may come after the listener */
  readonly moves?: boolean
}

/**
 * In all but `closed` it listens, or tries to. Clients are held (by the forwarder, which passes them on),
 * greeted, or greeted and told that the pair stops.
 */
type Stage = 'closed' | 'forwarding' | 'serving' | 'refusing'

/**
 * One service address: open while this node serves an aggregate that clients look for there. It
 * moves between nodes with ownership, so opening is retried until the former holder lets go. While this
 * node does not serve, clients that find nobody else at a shared address are held until it does.
 */
export class ServiceListener {
  readonly place: ServicePlace
  readonly catalogue: Catalogue
  readonly #tools: SocketTools
  readonly #events: EventLog
  readonly #greeted: (client: GreetedClient) => void
  /** only for who comes over a network: a Unix socket has its folder's permissions, and no ears on the way */
  readonly #tls: TlsGate | undefined
  readonly #handshakes = new Set<ClientHandshake>()
  readonly #standby: StandbyListener
  readonly #forwarder: Forwarder | undefined
  #stage: Stage = 'closed'
  #server: Server | undefined
  #retry: NodeJS.Timeout | undefined
  #look: NodeJS.Timeout | undefined
  #complained = false

  constructor(
    place: ServicePlace,
    tools: SocketTools,
    events: EventLog,
    greeted: (client: GreetedClient) => void,
    tls?: TlsGate,
  ) {
    this.place = place
    this.catalogue = new Catalogue(place.readOnly)
    this.#tools = tools
    this.#events = events
    this.#greeted = greeted
    this.#tls = 'path' in place.address ? undefined : tls
    this.#forwarder = place.forwardTo && new Forwarder(place.forwardTo)
    this.#standby = new StandbyListener(place.address, tools, (socket) => this.#accept(socket))
  }

  get tls(): 'none' | 'offered' | 'required' {
    return this.#tls?.stage ?? 'none'
  }

  get isOpen(): boolean {
    return this.#server?.listening ?? false
  }

  /** Clients that are passed on to the partner now. */
  get forwarded(): number {
    return this.#forwarder?.count ?? 0
  }

  /** Takes clients, the held ones, too. The standby stays: some may still be on their way through it. */
  open(): void {
    if (this.#greets) return
    this.#forwarder?.end()
    this.#listenAs('serving')
    for (const handshake of this.#handshakes) handshake.greet()
  }

  /**
   * Takes no clients, but holds those that find nobody else. A node that served has the youngest standby
   * from then on: the partner, which is about to serve, has an older one, and that is chosen.
   */
  standBy(): void {
    if (this.#forwarder) {
      if (this.#greets) this.#endHandshakes()
      this.#listenAs('forwarding')
      return
    }
    const listens = this.#stage !== 'closed'
    if (listens) this.#standby.close()
    if (this.place.isShared) this.#standby.open()
    // last, so that somebody listens all the time
    if (listens) this.#stopServing()
  }

  /**
   * The whole pair stops. Whoever comes, or is in the handshake, hears that until `close`, instead of a
   * connection that ends without a word. A node that does not serve takes nobody.
   */
  refuse(): void {
    if (!this.#greets) return this.close()
    this.#stage = 'refusing'
    this.#standby.close()
    for (const handshake of [...this.#handshakes]) handshake.refuse()
  }

  /** Its listener may have been ended from outside, which node does not tell. */
  listenAgain(): void {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    server.close()
    this.#tryToOpen()
  }

  /** Stops listening and drops clients that are not through with the handshake. */
  close(): void {
    this.#standby.close()
    this.#forwarder?.end()
    this.#stopServing()
  }

  get #greets(): boolean {
    return this.#stage === 'serving' || this.#stage === 'refusing'
  }

  #listenAs(stage: Stage): void {
    const listened = this.#stage !== 'closed'
    this.#stage = stage
    if (listened) return
    this.#complained = false
    this.#tryToOpen()
  }

  #endHandshakes(): void {
    for (const handshake of [...this.#handshakes]) handshake.close()
  }

  #stopServing(): void {
    this.#stage = 'closed'
    clearTimeout(this.#retry)
    const open = this.isOpen
    this.#server?.close()
    this.#server = undefined
    this.#endHandshakes()
    if (open) this.#events.add('info', 'service-closed', `clients are not taken at ${this.#name} any more`)
  }

  get #name(): string {
    return listenText(this.place.address)
  }

  #tryToOpen(): void {
    if (this.#stage === 'closed') return
    const { address, moves } = this.place
    let where: { path: string } | { fd: number }
    try {
      where =
        'path' in address ? address : { fd: this.#tools.listenSocket(address.host, address.port, moves) }
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
      if (this.#server !== server) return
      this.#events.addSparingly('info', 'service-open', `clients are taken at ${this.#name}`)
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
      tls: this.#tls,
      greeted: this.#greeted,
      ended: () => this.#handshakes.delete(handshake),
    })
    this.#handshakes.add(handshake)
    if (this.#greets) handshake.greet()
    else if (this.#forwarder) this.#forwarder.take(handshake)
    else this.#look ??= setTimeout(() => this.#lookForPartner(), LOOK_MS)
    if (this.#stage === 'refusing') handshake.refuse()
  }

  /** Whoever is held here while the partner serves finds that by trying again, and only so. */
  #lookForPartner(): void {
    this.#look = undefined
    const { address } = this.place
    const held = [...this.#handshakes].filter(({ isHeld }) => isHeld)
    if (held.length === 0 || 'path' in address) return
    if (this.#tools.isListenedAt(address.host, address.port)) for (const handshake of held) handshake.close()
    else this.#look = setTimeout(() => this.#lookForPartner(), LOOK_MS)
  }
}
