import { isIP } from 'node:net'
import { StoreError } from '../base/errors.ts'
import { canonicalHost } from '../config/address.ts'
import type { NodeConfig } from '../config/node-config.ts'
import { AddressGuard } from './address-guard.ts'
import type { EventLog } from './events.ts'
import { type AddressPlan, type AddressStatus, type AddressTools, ServiceAddress } from './service-address.ts'
import { isThisHost } from './this-host.ts'

/** So many ticks in the time of a lease. */
const TICKS_PER_LEASE = 8
const TICK_MS_MAX = 250
const LIFETIME_SECONDS_MIN = 2
/** How long an aggregate may be served away from its address before that is said. */
const APART_MS = 5000

export interface AddressParts {
  readonly tools: AddressTools
  readonly events: EventLog
  /** the program of the guard */
  readonly guard: URL
  readonly nowMs: () => number
}

/** Asks an engine whether it serves. */
type Ask = (aggregate: string) => Promise<boolean>

interface Held {
  readonly address: ServiceAddress
  /**
   * The aggregate that the address goes with: the first one by name, so that both nodes mean the same one. It
   * has one owner at a time, and so the address is on one host at a time.
   */
  readonly leader: string
  /** this process has not run for a while: what the engine said before may not be so any more */
  isInDoubt: boolean
  isAsking: boolean
  apartSinceMs: number | undefined
  isApartSaid: boolean
}

/** The addresses that this node sets on interfaces of its host, while it serves what belongs to them. */
export class ServiceAddresses {
  readonly #parts: AddressParts
  readonly #held: readonly Held[]
  readonly #node: string
  readonly #partner: string
  readonly #leaseMs: number
  readonly #serving = new Set<string>()
  #guard: AddressGuard | undefined
  #timer: NodeJS.Timeout | undefined
  #ask: Ask = () => Promise.resolve(false)
  /** the last tick, and the last one that came late */
  #lastMs = 0
  #wokeMs = Number.NEGATIVE_INFINITY

  constructor(config: NodeConfig, parts: AddressParts) {
    this.#parts = parts
    this.#node = config.node.name
    this.#partner = config.linkPartner.host
    this.#leaseMs = config.timing.leaseMs
    const lifetimeSeconds = Math.max(LIFETIME_SECONDS_MIN, Math.ceil(this.#leaseMs / 1000))
    this.#held = addressPlans(config).map((plan) => ({
      address: new ServiceAddress(plan, parts.tools, parts.events, lifetimeSeconds),
      leader: [...plan.aggregates].sort()[0]!,
      isInDoubt: false,
      isAsking: false,
      apartSinceMs: undefined,
      isApartSaid: false,
    }))
  }

  get status(): AddressStatus[] {
    return this.#held.map((held) => {
      const { status } = held.address
      return { ...status, problem: status.problem || this.#apartText(held) }
    })
  }

  /**
   * Removes addresses that a dead predecessor has left on this host. Throws ADDRESS_UNUSABLE where one could
   * not be set when it is needed.
   */
  prepare(): void {
    for (const { address } of this.#held) {
      if (this.#isHere(this.#partner)) throw oneHost(address.plan)
      address.prepare()
    }
  }

  /** Also on an interface that is down. */
  #isHere(host: string): boolean {
    return isThisHost(host) || (isIP(host) !== 0 && this.#parts.tools.find(host).length > 0)
  }

  /**
   * From now on addresses are kept. `ask`: whether an engine serves, as of now. `listenersEnded`: those at an
   * address, by somebody outside of this thread.
   */
  start(ask: Ask, listenersEnded: (address: string) => void): void {
    if (this.#held.length === 0) return
    this.#ask = ask
    for (const { address } of this.#held) address.listenersEnded = () => listenersEnded(address.plan.address)
    this.#lastMs = this.#parts.nowMs()
    const addresses = this.#held.map(({ address }) => address.plan.address)
    // before anybody else may serve: the address is gone then, and its clients know
    const silenceMs = Math.floor((this.#leaseMs * 3) / 4)
    const args = { node: this.#node, silenceMs, addresses }
    this.#guard = new AddressGuard(this.#parts.guard, args, this.#parts.events)
    this.#timer = setInterval(() => this.tick(), Math.min(TICK_MS_MAX, this.#leaseMs / TICKS_PER_LEASE))
  }

  /** An engine has said whether it serves. */
  serving(aggregate: string, serves: boolean): void {
    if (serves) this.#serving.add(aggregate)
    else this.#serving.delete(aggregate)
    for (const held of this.#held) {
      if (held.leader !== aggregate) continue
      held.isInDoubt = serves && this.#mayBeLate(this.#parts.nowMs())
      if (!serves) held.address.lower()
      else if (!held.isInDoubt) held.address.raise(this.#parts.nowMs())
      else void this.#confirm(held)
    }
  }

  tick(): void {
    const nowMs = this.#parts.nowMs()
    if (this.#hasSlept(nowMs)) {
      this.#wokeMs = nowMs
      for (const held of this.#held) held.isInDoubt = this.#serving.has(held.leader)
    }
    this.#lastMs = nowMs
    this.#guard?.beat()
    for (const held of this.#held) {
      held.address.tick(nowMs, !held.isInDoubt)
      if (held.isInDoubt) void this.#confirm(held)
      this.#lookApart(held, nowMs)
    }
  }

  /** Resolves when no address is set any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#held.map(({ address }) => address.close()))
    this.#guard?.close()
  }

  /** For so long that the lease may have come near its end. */
  #hasSlept(nowMs: number): boolean {
    return nowMs - this.#lastMs > this.#leaseMs / 2
  }

  /** Whether what an engine says now may have been said before this process slept. */
  #mayBeLate(nowMs: number): boolean {
    return this.#hasSlept(nowMs) || nowMs - this.#wokeMs < this.#leaseMs / 2
  }

  /** An engine looks at its lease in every turn, and answers the second question in a later one. */
  async #confirm(held: Held): Promise<void> {
    if (held.isAsking) return
    held.isAsking = true
    const serves = (await this.#ask(held.leader)) && (await this.#ask(held.leader))
    held.isAsking = false
    // of a doubt that is over, or that a later sleep has made new, the next tick asks again
    const nowMs = this.#parts.nowMs()
    if (!serves || !held.isInDoubt || this.#hasSlept(nowMs)) return
    held.isInDoubt = false
    held.address.raise(nowMs)
  }

  #lookApart(held: Held, nowMs: number): void {
    const text = this.#apartText(held)
    if (text === '') {
      held.apartSinceMs = undefined
      held.isApartSaid = false
      return
    }
    held.apartSinceMs ??= nowMs
    if (held.isApartSaid || nowMs - held.apartSinceMs < APART_MS) return
    held.isApartSaid = true
    this.#parts.events.add('warn', 'service-address-apart', text)
  }

  /** What is served here and cannot be reached, since the address is with its leader; or nothing. */
  #apartText({ address: { plan }, leader }: Held): string {
    if (this.#serving.has(leader)) return ''
    const apart = plan.aggregates.filter((name) => this.#serving.has(name))
    if (apart.length === 0) return ''
    const goes = `${plan.address} goes with aggregate ${leader}, which is not`
    return `aggregate ${apart.join(', ')} is served here, but ${goes}: use takeover or giveback`
  }
}

const oneHost = ({ address, aggregates }: AddressPlan): StoreError =>
  new StoreError(
    'ADDRESS_UNUSABLE',
    `${address} cannot move between two nodes on one host, and partner.link is an address of this one: ` +
      `remove interface from aggregate ${aggregates[0]}`,
  )

function addressPlans({ aggregates }: NodeConfig): AddressPlan[] {
  const plans = new Map<string, AddressPlan>()
  for (const { name, service, serviceInterface } of aggregates) {
    if (serviceInterface === undefined) continue
    const address = canonicalHost(service.host)
    const { aggregates: others = [] } = plans.get(address) ?? {}
    const { name: on, prefixLength } = serviceInterface
    plans.set(address, { address, interface: on, prefixLength, aggregates: [...others, name] })
  }
  return [...plans.values()]
}
