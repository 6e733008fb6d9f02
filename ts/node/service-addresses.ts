import { isIP } from 'node:net'
import { StoreError } from '../base/errors.ts'
import { canonicalHost } from '../config/address.ts'
import type { NodeConfig } from '../config/node-config.ts'
import type { ArbiterPort } from '../ports/arbiter.ts'
import { AddressGuard } from './address-guard.ts'
import type { EventLog } from './events.ts'
import { LeaseWatch } from './lease-watch.ts'
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
  /** this process, or the engine, has not run for a while: what the engine said may not be so any more */
  isInDoubt: boolean
  /** of the last doubt */
  doubt: number
  isAsking: boolean
  expiry: NodeJS.Timeout | undefined
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
  readonly #tickMs: number
  readonly #leases: LeaseWatch
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
    const { leaseMs, leaseMarginMs } = config.timing
    this.#leaseMs = leaseMs
    this.#tickMs = Math.min(TICK_MS_MAX, leaseMs / TICKS_PER_LEASE)
    this.#leases = new LeaseWatch(leaseMs - leaseMarginMs, parts.nowMs)
    const lifetimeSeconds = Math.max(LIFETIME_SECONDS_MIN, Math.ceil(leaseMs / 1000))
    this.#held = addressPlans(config).map((plan) => ({
      address: new ServiceAddress(plan, parts.tools, parts.events, lifetimeSeconds),
      leader: [...plan.aggregates].sort()[0]!,
      isInDoubt: false,
      doubt: 0,
      isAsking: false,
      expiry: undefined,
      apartSinceMs: undefined,
      isApartSaid: false,
    }))
  }

  get status(): AddressStatus[] {
    return this.#held.map((held) => {
      const { status } = held.address
      return { ...status, problem: status.problem || this.#doubtText(held) || this.#apartText(held) }
    })
  }

  /**
   * The arbiter that engines of this process are to ask, so that it is known here how long an address may
   * stay without a word of them. `boot`: what this process is known by in the record.
   */
  watched(arbiter: ArbiterPort, boot: string): ArbiterPort {
    return this.#leases.through(arbiter, boot)
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
    this.#timer = setInterval(() => this.tick(), this.#tickMs)
  }

  /** An engine has said whether it serves. */
  serving(aggregate: string, serves: boolean): void {
    if (serves) this.#serving.add(aggregate)
    else this.#serving.delete(aggregate)
    for (const held of this.#held) {
      if (held.leader !== aggregate) continue
      const nowMs = this.#parts.nowMs()
      held.isInDoubt = false
      if (!serves) held.address.lower()
      else if (!this.#mayBeLate(nowMs) && this.#leaseLeftMs(held) > 0) held.address.raise(nowMs)
      else {
        this.#doubt(held)
        void this.#confirm(held)
      }
    }
  }

  tick(): void {
    const nowMs = this.#parts.nowMs()
    if (this.#hasSlept(nowMs)) {
      this.#wokeMs = nowMs
      for (const held of this.#held) if (this.#serving.has(held.leader)) this.#doubt(held)
    }
    this.#lastMs = nowMs
    this.#guard?.beat()
    for (const held of this.#held) {
      this.#expire(held)
      held.address.tick(nowMs, !held.isInDoubt)
      if (held.isInDoubt) void this.#confirm(held)
      this.#lookApart(held, nowMs)
    }
  }

  /** Resolves when no address is set any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    for (const { expiry } of this.#held) clearTimeout(expiry)
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

  #leaseLeftMs({ leader }: Held): number {
    return this.#leases.endMs(leader) - this.#parts.nowMs()
  }

  /** An engine that hangs takes nothing back: its address goes when its lease does, at the latest. */
  #expire(held: Held): void {
    const { address, leader } = held
    clearTimeout(held.expiry)
    if (!address.isWanted) return
    const leftMs = this.#leaseLeftMs(held)
    if (leftMs > this.#tickMs) return
    if (leftMs > 0) {
      held.expiry = setTimeout(() => this.#expire(held), Math.ceil(leftMs)).unref()
      return
    }
    address.lower()
    this.#doubt(held)
    const { address: text, interface: name } = address.plan
    const why = `aggregate ${leader} has not renewed its lease: ${text} leaves ${name}`
    this.#parts.events.addSparingly('error', 'service-address-expired', why)
  }

  #doubt(held: Held): void {
    held.isInDoubt = true
    held.doubt += 1
  }

  /** An engine looks at its lease in every turn, and answers the second question in a later one. */
  async #confirm(held: Held): Promise<void> {
    // who hangs is not to find a heap of questions
    if (held.isAsking || this.#leaseLeftMs(held) <= 0) return
    const { leader, doubt } = held
    held.isAsking = true
    let serves = false
    try {
      serves = (await this.#ask(leader)) && (await this.#ask(leader))
    } catch {
      // no answer: the next tick asks again
    } finally {
      held.isAsking = false
    }
    // of a doubt that is over, or that a later stop has made new, the next tick asks again
    const nowMs = this.#parts.nowMs()
    if (!serves || !held.isInDoubt || held.doubt !== doubt) return
    if (this.#hasSlept(nowMs) || this.#leaseLeftMs(held) <= 0) return
    held.isInDoubt = false
    held.address.raise(nowMs)
  }

  /** Why an address is not there while its aggregate counts as served here; or nothing. */
  #doubtText({ leader, address }: Held): string {
    const isMissing = this.#serving.has(leader) && !address.isWanted
    return isMissing ? `aggregate ${leader} has not said yet, or not any more, that it serves` : ''
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
