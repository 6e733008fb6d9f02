import { StoreError } from '../base/errors.ts'
import {
  type Address,
  addressText,
  canonicalHost,
  type ListenAddress,
  listenText,
} from '../config/address.ts'
import { engineSettings, type NodeConfig } from '../config/node-config.ts'
import {
  type AggregateView,
  isSilent,
  type NodeControl,
  type NodeStatus,
  type SilentEngine,
} from '../control/node-control.ts'
import { identityFromText, sameIdentity } from '../format/identity.ts'
import type { ArbiterPort } from '../ports/arbiter.ts'
import type { GreetedClient } from './client-handshake.ts'
import { EngineHost, type EngineHostUser } from './engine-host.ts'
import type { EventLog } from './events.ts'
import { LinkDialer } from './link-dialer.ts'
import { LinkListener, type LinkRoute } from './link-listener.ts'
import type { EngineStatus, RequestBody, RequestName, RequestResult, ToEngine } from './messages.ts'
import type { ServiceAddresses } from './service-addresses.ts'
import { ServiceListener, type ServicePlace } from './service-listener.ts'
import type { SocketTools } from './sockets.ts'
import { isThisHost } from './this-host.ts'
import type { TlsGate } from './tls-gate.ts'

export interface NodeParts {
  readonly arbiter: ArbiterPort
  readonly events: EventLog
  readonly tools: SocketTools
  readonly workerFile: URL
  readonly boot: string
  readonly version: string
  readonly nvramPersistent: boolean
  readonly tls?: TlsGate | undefined
  /** addresses that this node sets itself */
  readonly addresses?: ServiceAddresses | undefined
  /** an engine has died of a bug: the process must end, so that the partner takes over */
  readonly died: (message: string) => void
  /** somebody asked over the API to stop */
  readonly stopAsked: (pair: boolean) => void
}

const STATUS_TIMEOUT_MS = 500
const EVENTS_IN_STATUS = 20

/** The main thread of one node: engines in their workers, sockets on their way to them, control. */
export class PolluxNode implements EngineHostUser, NodeControl {
  readonly #config: NodeConfig
  readonly #parts: NodeParts
  readonly #engines: EngineHost[]
  readonly #services: readonly ServiceListener[]
  readonly #dialers = new Map<EngineHost, LinkDialer>()
  readonly #linkListener: LinkListener
  readonly #startedMs = Date.now()
  #stopping: 'alone' | 'with its partner' | undefined

  constructor(config: NodeConfig, parts: NodeParts) {
    this.#config = config
    this.#parts = parts
    const { events, tools, tls } = parts
    const greeted = (client: GreetedClient) => this.#takeClient(client)
    this.#services = servicePlaces(config).map(
      (place) => new ServiceListener(place, tools, events, greeted, tls),
    )
    this.#linkListener = new LinkListener(events, tools, (hello) => this.#routeLink(hello))
    this.#engines = []
  }

  get name(): string {
    return this.#config.node.name
  }

  get linkPort(): number {
    return this.#linkListener.port
  }

  /** Opens the link's address, then starts the engines. */
  async start(): Promise<void> {
    const { addresses, boot } = this.#parts
    await this.#linkListener.open(this.#config.linkListen)
    addresses?.start(
      (aggregate) => this.#serves(aggregate),
      (address) => this.#listenAgain(address),
    )
    const arbiter = addresses?.watched(this.#parts.arbiter, boot) ?? this.#parts.arbiter
    for (const aggregate of this.#config.aggregates) {
      const settings = engineSettings(this.#config, aggregate, this.#parts)
      const engine = new EngineHost(settings, { ...this.#parts, arbiter, user: this })
      this.#engines.push(engine)
      if (this.#dials) this.#dialers.set(engine, this.#dialerFor(engine))
    }
    for (const service of this.#services) service.standBy()
    this.#parts.events.add('info', 'node-started', `node ${this.name} runs as process ${process.pid}`)
  }

  /** Stops all engines in an orderly way; resolves when their workers have ended. */
  async shutDown(pair: boolean): Promise<void> {
    this.#stopping = pair ? 'with its partner' : 'alone'
    this.#parts.events.add('info', 'node-stopping', `node ${this.name} stops ${this.#stopping}`)
    for (const service of this.#services) this.#settle(service)
    await Promise.all(this.#engines.map((engine) => engine.stop(pair)))
    for (const dialer of this.#dialers.values()) dialer.want(false)
    await this.#parts.addresses?.close()
    for (const service of this.#services) service.close()
    this.#linkListener.close()
    this.#parts.events.add('info', 'node-stopped', `node ${this.name} has stopped`)
  }

  // --- what engines say ------------------------------------------------------------------------------

  serving(engine: EngineHost): void {
    const { name, state } = engine
    // clients find the listener when the address is there, and no address when the listener is gone
    if (!state.serves) this.#parts.addresses?.serving(name, false)
    this.#updateServices(engine)
    if (state.serves) this.#parts.addresses?.serving(name, true)
    else this.#parts.tls?.proxies.end(name)
  }

  #updateServices(engine: EngineHost): void {
    for (const service of this.#services) {
      if (!service.place.aggregates.includes(engine.name)) continue
      service.catalogue.update(engine.name, engine.state)
      this.#settle(service)
    }
  }

  /** Has a service taken clients, hold them, or do neither. */
  #settle(service: ServiceListener): void {
    const { aggregates } = service.place
    // if the partner goes on, it will serve, and clients are to find it by trying again
    if (this.#stopping === 'with its partner') service.refuse()
    else if (this.#engines.some(({ name, state }) => state.serves && aggregates.includes(name)))
      service.open()
    else if (this.#stopping) service.close()
    else service.standBy()
  }

  #listenAgain(host: string): void {
    for (const service of this.#services) {
      const { address } = service.place
      if ('host' in address && canonicalHost(address.host) === host) service.listenAgain()
    }
  }

  wantLink(engine: EngineHost): void {
    if (!this.#stopping) this.#dialers.get(engine)?.want(engine.linkWanted)
  }

  died(engine: EngineHost, message: string): void {
    const text = `the engine of aggregate ${engine.name} has died: ${message}`
    this.#parts.events.add('error', 'engine-died', text, { aggregate: engine.name })
    this.#parts.died(text)
  }

  // --- control ---------------------------------------------------------------------------------------

  async status(): Promise<NodeStatus> {
    const { boot, version, events } = this.#parts
    const aggregates = await Promise.all(this.#engines.map((engine) => this.#engineStatus(engine)))
    return {
      name: this.name,
      pid: process.pid,
      version,
      boot,
      startedMs: this.#startedMs,
      partner: this.#config.partner.name,
      api: this.#config.apiSocket,
      state: this.#stopping ? 'stopping' : 'running',
      services: this.#services.map(({ place: { address, aggregates }, isOpen, tls, forwarded }) => ({
        address: listenText(address),
        aggregates,
        open: isOpen,
        tls,
        forwarded,
      })),
      addresses: this.#parts.addresses?.status ?? [],
      aggregates,
      events: events.recent(EVENTS_IN_STATUS),
    }
  }

  events(afterNumber: number): ReturnType<EventLog['after']> {
    return this.#parts.events.after(afterNumber)
  }

  aggregates(): AggregateView[] {
    return this.#engines.map(({ name, settings, state }) => ({
      name,
      home: settings.aggregate.home,
      serves: state.serves,
      because: state.because,
      volumes: state.serves ? state.volumes : [],
    }))
  }

  async request<N extends RequestName>(
    aggregate: string,
    name: N,
    body: RequestBody<N>,
    timeoutMs: number,
  ): Promise<RequestResult<N>> {
    const engine = this.#engines.find((candidate) => candidate.name === aggregate)
    if (!engine) throw new StoreError('USAGE', `node ${this.name} has no aggregate ${aggregate}`)
    return engine.request(name, body, timeoutMs)
  }

  stop(pair: boolean): void {
    this.#parts.stopAsked(pair)
  }

  /** As of now; an engine that does not answer does not. */
  async #serves(aggregate: string): Promise<boolean> {
    const engine = this.#engines.find(({ name }) => name === aggregate)
    const status = engine && (await this.#engineStatus(engine))
    return status !== undefined && !isSilent(status) && status.serves
  }

  async #engineStatus(engine: EngineHost): Promise<EngineStatus | SilentEngine> {
    try {
      return await engine.request('status', {}, STATUS_TIMEOUT_MS)
    } catch (error) {
      return {
        aggregate: engine.name,
        home: engine.settings.aggregate.home,
        silent: (error as Error).message,
      }
    }
  }

  // --- sockets ---------------------------------------------------------------------------------------

  #takeClient({ exportInfo, terms, descriptor, peer, leftover }: GreetedClient): void {
    const engine = this.#engines.find((candidate) => candidate.name === exportInfo.aggregate)
    const { volume, readOnly } = exportInfo
    const message: ToEngine = {
      kind: 'client',
      descriptor,
      peer,
      volume,
      terms,
      readOnly,
      leftover,
    }
    this.#pass(engine, descriptor, message)
  }

  /** A descriptor goes to an engine that still listens, or is closed. */
  #pass(engine: EngineHost | undefined, descriptor: number, message: ToEngine): void {
    if (engine && !engine.isOver) engine.post(message)
    else this.#parts.tools.closeDescriptor(descriptor)
  }

  #routeLink: LinkRoute = (hello) => {
    const who = `node '${hello.nodeName}'`
    const pair = identityFromText(this.#config.pair)!
    if (!sameIdentity(hello.pair, pair)) return `${who} belongs to another pair than '${this.name}'`
    const engine = this.#engines.find(({ settings }) =>
      sameIdentity(identityFromText(settings.aggregate.identity)!, hello.aggregate),
    )
    if (!engine) return `node '${this.name}' knows no aggregate '${hello.aggregateName}' of that identity`
    if (engine.isOver) return `node '${this.name}' is stopping`
    return (link) => this.#pass(engine, link.descriptor, { kind: 'link', dialed: false, ...link })
  }

  /** One of the two dials, so that a pair has one connection for each aggregate. */
  get #dials(): boolean {
    return this.name > this.#config.partner.name
  }

  #dialerFor(engine: EngineHost): LinkDialer {
    const { linkPartner } = this.#config
    return new LinkDialer(linkPartner, this.#parts.tools, (link) =>
      this.#pass(engine, link.descriptor, { kind: 'link', dialed: true, ...link }),
    )
  }
}

/** The addresses that move with their aggregates, then those of this node alone. */
function servicePlaces({ aggregates, listeners, linkPartner }: NodeConfig): ServicePlace[] {
  // on different hosts a client may know an address of each, and goes on to the next only if it is refused
  const isOneHost = isThisHost(linkPartner.host)
  const moving = aggregates.flatMap(({ service, serviceInterface }) =>
    serviceInterface === undefined ? [] : [canonicalHost(service.host)],
  )
  const moves = (address: ListenAddress) => 'host' in address && moving.includes(canonicalHost(address.host))
  const places = new Map<string, ServicePlace>()
  for (const { service: address } of aggregates) {
    const here = aggregates.filter(({ service }) => addressText(service) === addressText(address))
    const names = here.map(({ name }) => name)
    const place = { address, aggregates: names, readOnly: false, isShared: isOneHost, moves: moves(address) }
    places.set(addressText(address), place)
  }
  const serviceOf = (name: string): Address => aggregates.find((one) => one.name === name)!.service
  const more = listeners.map(({ address, aggregates: names, readOnly, forwards }): ServicePlace => {
    const forwardTo = forwards ? serviceOf(names[0]!) : undefined
    return { address, aggregates: names, readOnly, isShared: false, moves: moves(address), forwardTo }
  })
  return [...places.values(), ...more]
}
