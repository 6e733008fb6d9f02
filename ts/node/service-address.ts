import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AddressPlace, hostAddresses, InterfaceState } from '../adapters/addresses.ts'
import { StoreError } from '../base/errors.ts'
import { addressBytes, claimantOf, encodeAnnouncement, encodeProbe, macText } from '../format/neighbour.ts'
import type { EventLog } from './events.ts'
import { RivalClaims } from './rival-claims.ts'

/** What is done with addresses of this host. */
export type AddressTools = typeof hostAddresses

/** An address that is on an interface of the host whose node serves. */
export interface AddressPlan {
  /** in numbers, in the one way that `canonicalHost` writes them */
  readonly address: string
  readonly interface: string
  readonly prefixLength: number
  /** names of the aggregates whose clients come there */
  readonly aggregates: readonly string[]
}

export interface AddressStatus {
  readonly address: string
  readonly interface: string
  readonly isSet: boolean
  /** why clients may not reach it, in words; empty if there is no reason known */
  readonly problem: string
}

/** What a node leaves with an address that it sets: the `proto` (IFA_PROTO) that a newer `ip` shows. */
export const ORIGIN = 0x70

/** In as many ticks after it was set: hosts that have missed one hear the next one. */
const ANNOUNCEMENTS = 12
/** More than the buffer of a socket holds. */
const FRAMES_MAX = 4096

/** So long an address stays after its connections have ended: whatever still comes is refused, not lost. */
export const PARTING_MS = 10

const ours = (address: string, tools: AddressTools): readonly AddressPlace[] =>
  tools.find(address).filter(({ origin }) => origin === ORIGIN)

/**
 * The first step of removing what a node has set: without the address nothing reaches clients, and one that
 * only waits for an answer would wait on. A kernel that cannot do that gives a complaint. Returns whether it
 * was set.
 */
export function endClients(address: string, tools: AddressTools, complain: (text: string) => void): boolean {
  if (ours(address, tools).length === 0) return false
  try {
    tools.resetConnections(address)
  } catch (error) {
    complain((error as Error).message)
  }
  return true
}

/** The second step, `PARTING_MS` later: a client that had half a connection would take it for a whole one. */
export function removeAddress(address: string, tools: AddressTools): void {
  for (const place of ours(address, tools)) tools.remove(address, place)
}

/**
 * One service address on its interface. It is set with a lifetime and has to be kept, so that the kernel
 * removes it when this process does not run any more. Who else claims it is told, not waited for: who may
 * have it is decided by the arbiter, and hosts that are told otherwise hear the announcement once more.
 */
export class ServiceAddress {
  readonly plan: AddressPlan
  /** Listeners at the address have been ended from outside: node does not notice by itself. */
  listenersEnded: () => void = () => {}
  readonly #tools: AddressTools
  readonly #events: EventLog
  readonly #lifetimeSeconds: number
  readonly #bytes: Uint8Array
  readonly #frames = { descriptor: -1, index: -1 }
  #isWanted = false
  #isSet = false
  /** at some time since it was raised: then there have been listeners at it */
  #wasSet = false
  #wasRunning = true
  #announcements = 0
  #mac = ''
  #failure = ''
  readonly #claims = new RivalClaims()
  #removal: NodeJS.Timeout | undefined

  constructor(plan: AddressPlan, tools: AddressTools, events: EventLog, lifetimeSeconds: number) {
    this.plan = plan
    this.#tools = tools
    this.#events = events
    this.#lifetimeSeconds = lifetimeSeconds
    this.#bytes = addressBytes(plan.address)
  }

  get isWanted(): boolean {
    return this.#isWanted
  }

  get status(): AddressStatus {
    const { address, interface: name } = this.plan
    return { address, interface: name, isSet: this.#isSet, problem: this.#problem }
  }

  /**
   * Before anything is served: removes what a node that died has left behind. Throws ADDRESS_UNUSABLE if the
   * address could not be set when that is needed.
   */
  prepare(): void {
    const { address, interface: name } = this.plan
    const state = this.#tools.stateOf(name)
    if (state === undefined) {
      const there = Object.keys(networkInterfaces()).join(', ')
      throw new StoreError(
        'ADDRESS_UNUSABLE',
        `${address} cannot be set on ${name}: this host has no such interface; it has ${there}`,
      )
    }
    if (this.#endClients()) {
      removeAddress(address, this.#tools)
      const text = `${address} was left behind by a node that died, and is removed`
      this.#say('warn', 'service-address-left', text)
    }
    if (this.#tools.find(address).length > 0)
      throw new StoreError(
        'ADDRESS_UNUSABLE',
        `${address} is on this host already, and not set by Pollux; take it out of the settings of the host, ` +
          'or interface out of those of the node',
      )
    const { prefixLength } = this.plan
    if (isIP(address) === 4 && prefixLength < 32 && !this.#tools.promotesSecondaries(name))
      throw new StoreError(
        'ADDRESS_UNUSABLE',
        `with prefix_length ${prefixLength}, removing ${address} could remove other addresses of ${name}, too; ` +
          'leave prefix_length out, or set net.ipv4.conf.all.promote_secondaries=1 (sysctl) on this host',
      )
    this.#tools.tryOut(address, { index: state.index, prefixLength, origin: ORIGIN })
    this.#openFrames(state)
  }

  /** This node serves: clients are to come here from now on. */
  raise(nowMs: number): void {
    if (this.#isWanted) return
    const isParting = this.#removal !== undefined
    clearTimeout(this.#removal)
    this.#removal = undefined
    this.#isWanted = true
    this.#wasRunning = true
    this.#wasSet = false
    this.#claims.forget()
    // of a time when it was somebody else's
    this.#takeClaims()
    this.tick(nowMs, true)
    if (isParting) this.listenersEnded()
  }

  /** It serves no more: clients are told at once, and a moment later the address is gone. */
  lower(): void {
    if (!this.#isWanted) return
    this.#isWanted = false
    this.#isSet = false
    this.#failure = ''
    this.#carefully(() => this.#endClients())
    this.#removal = setTimeout(() => this.#remove(), PARTING_MS)
  }

  /** It serves no more, and its process is about to end. Resolves when the address is gone. */
  async close(): Promise<void> {
    this.lower()
    if (this.#removal === undefined) return
    await sleep(PARTING_MS)
    this.#remove()
  }

  /** Several times in the lifetime of the address. `isSure`: that this node still serves. */
  tick(nowMs: number, isSure: boolean): void {
    if (!this.#isWanted) return
    try {
      const state = this.#tools.stateOf(this.plan.interface)
      this.#look(state)
      if (state === undefined) throw new StoreError('ADDRESS_UNUSABLE', `there is no ${this.plan.interface}`)
      if (isSure) this.#hold(state)
      this.#listen(nowMs, state)
      if (isSure) this.#announce(state)
      this.#failure = ''
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  get #problem(): string {
    const { interface: name } = this.plan
    if (!this.#isWanted) return ''
    if (this.#failure !== '') return this.#failure
    if (!this.#wasRunning) return `${name} is down`
    const rivals = this.#claims.text
    return rivals === '' ? '' : `another host claims it, too: ${rivals}`
  }

  #endClients(): boolean {
    const complain = (text: string) => this.#say('warn', 'service-clients-left', text)
    return endClients(this.plan.address, this.#tools, complain)
  }

  #remove(): void {
    if (this.#removal === undefined) return
    clearTimeout(this.#removal)
    this.#removal = undefined
    const { address, interface: name } = this.plan
    this.#carefully(() => {
      // of somebody who was let in since
      this.#endClients()
      removeAddress(address, this.#tools)
      this.#say('info', 'service-address-removed', `${address} is not on ${name} any more`)
    })
    this.listenersEnded()
  }

  #carefully(step: () => void): void {
    try {
      step()
    } catch (error) {
      const text = `${(error as Error).message}; the kernel removes it within ${this.#lifetimeSeconds} s`
      this.#say('error', 'service-address-stays', text)
    }
  }

  #look(state: InterfaceState | undefined): void {
    const { address, interface: name } = this.plan
    const isRunning = state?.isRunning ?? false
    if (isRunning === this.#wasRunning) return
    this.#wasRunning = isRunning
    if (isRunning) {
      this.#announcements = ANNOUNCEMENTS
      this.#say('info', 'service-link-up', `${name} is up again: clients reach ${address}`)
    } else {
      const how = state === undefined ? 'gone' : state.isUp ? 'without a link' : 'down'
      this.#say('error', 'service-link-down', `${name} is ${how}: clients cannot reach ${address}`)
    }
  }

  #hold({ index }: InterfaceState): void {
    const { address, interface: name, prefixLength } = this.plan
    const isThere = this.#tools.find(address).some((place) => place.index === index)
    const place: AddressPlace = { index, prefixLength, origin: ORIGIN }
    this.#tools.set(address, place, this.#lifetimeSeconds)
    if (isThere && this.#isSet) return
    if (this.#isSet)
      this.#say('warn', 'service-address-lost', `${address} was taken off ${name}, and is set again`)
    else this.#say('info', 'service-address-set', `${address} is on ${name}`)
    this.#isSet = true
    this.#announcements = ANNOUNCEMENTS
    // whoever removed it may have ended them; it may have been told as a failure then, not as a loss
    if (!isThere && this.#wasSet) this.listenersEnded()
    this.#wasSet = true
  }

  #announce({ index, mac }: InterfaceState): void {
    if (mac === undefined) return
    // a bond may go on with another one
    if (macText(mac) !== this.#mac) this.#announcements = ANNOUNCEMENTS
    this.#mac = macText(mac)
    if (this.#announcements === 0 || !this.#isSet) return
    if (this.#frames.index !== index) return
    const { descriptor } = this.#frames
    this.#tools.sendFrame(descriptor, index, encodeAnnouncement(mac, this.#bytes))
    if (this.#bytes.length === 4 && this.#announcements === ANNOUNCEMENTS)
      this.#tools.sendFrame(descriptor, index, encodeProbe(mac, this.#bytes))
    this.#announcements -= 1
  }

  #listen(nowMs: number, state: InterfaceState): void {
    if (this.#frames.index !== state.index) this.#openFrames(state)
    const { address } = this.plan
    const macs = this.#takeClaims()
    if (macs.length > 0) this.#announcements = ANNOUNCEMENTS
    if (this.#claims.hear(nowMs, macs)) {
      const text = `${address} is claimed by another host, too (${this.#claims.text}): it is announced again`
      this.#say('warn', 'service-address-claimed', text)
    }
    if (this.#claims.hasEnded(nowMs))
      this.#say('info', 'service-address-alone', `nobody else claims ${address} any more`)
  }

  /** The hardware of others that have claimed the address since this was asked last. */
  #takeClaims(): string[] {
    const { descriptor } = this.#frames
    if (descriptor < 0) return []
    const heard = new Set<string>()
    for (let count = 0; count < FRAMES_MAX; count += 1) {
      const frame = this.#tools.receiveFrame(descriptor)
      if (frame === undefined) break
      const mac = claimantOf(frame)
      if (mac !== undefined) heard.add(macText(mac))
    }
    if (heard.size === 0) return []
    const ours = this.#tools.macsHere()
    return ours === undefined ? [] : [...heard].filter((mac) => !ours.includes(mac))
  }

  #openFrames({ index, mac }: InterfaceState): void {
    if (mac === undefined) return
    if (this.#frames.descriptor >= 0) this.#tools.closeFrames(this.#frames.descriptor)
    this.#frames.descriptor = this.#tools.openFrames(index, this.plan.address)
    this.#frames.index = index
  }

  #fail({ message }: Error): void {
    if (this.#failure === message) return
    this.#failure = message
    this.#isSet = false
    const { address, interface: name } = this.plan
    this.#say('error', 'service-address-failed', `${address} is not on ${name}, trying on: ${message}`)
  }

  #say(level: 'info' | 'warn' | 'error', event: string, text: string): void {
    this.#events.addSparingly(level, event, text, { facts: { address: this.plan.address } })
  }
}
