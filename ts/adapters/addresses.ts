import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { StoreError } from '../base/errors.ts'
import { FRAME_BYTES_MAX } from '../format/neighbour.ts'
import { closeDescriptor, errnoName, native } from './native.ts'

/** How an interface of this host is now. */
export interface InterfaceState {
  readonly index: number
  /** set to be used, whatever is at its other end */
  readonly isUp: boolean
  /** packets get out */
  readonly isRunning: boolean
  /** of an Ethernet and what looks like one; undefined: no frames of it are known here */
  readonly mac: Uint8Array | undefined
}

/** Where an address is on this host, and who put it there. */
export interface AddressPlace {
  readonly index: number
  readonly prefixLength: number
  /** a number between 0 and 255 that whoever sets an address leaves with it */
  readonly origin: number
}

const IFF_UP = 1
const IFF_RUNNING = 64
const ARPHRD_ETHER = 1

const REMEDY =
  'the node needs CAP_NET_ADMIN and CAP_NET_RAW: run it as root, or with ' +
  'AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW in its systemd unit'

/** Undefined: there is no such interface. */
function stateOf(name: string): InterfaceState | undefined {
  const state = native.interfaceState(name)
  if (typeof state === 'number') {
    if (errnoName(state) === 'ENODEV') return undefined
    throw failed(`look at interface ${name}`, state)
  }
  const { index, flags, hardware, mac } = state
  return {
    index,
    isUp: (flags & IFF_UP) !== 0,
    isRunning: (flags & IFF_UP) !== 0 && (flags & IFF_RUNNING) !== 0,
    mac: hardware === ARPHRD_ETHER ? mac : undefined,
  }
}

/** On all interfaces. */
function find(address: string): readonly AddressPlace[] {
  const places = native.findAddress(address)
  if (typeof places === 'number') throw failed(`look for ${address}`, places)
  return places
}

/** Sets an address, or its lifetime anew: when that is over, the kernel removes it. */
function set(address: string, place: AddressPlace, lifetimeSeconds: number): void {
  const { index, prefixLength, origin } = place
  const result = native.setAddress(address, index, prefixLength, origin, lifetimeSeconds)
  if (result < 0) throw failed(`set ${address}`, result)
}

/** It may be gone already. */
function remove(address: string, { index, prefixLength, origin }: AddressPlace): void {
  const result = native.removeAddress(address, index, prefixLength, origin)
  const isGone = result < 0 && ['EADDRNOTAVAIL', 'ENODEV'].includes(errnoName(result))
  if (result < 0 && !isGone) throw failed(`remove ${address}`, result)
}

/** Throws if this process may not set an address. It changes nothing, as long as the address is not there. */
function tryOut(address: string, { index, prefixLength, origin }: AddressPlace): void {
  const result = native.removeAddress(address, index, prefixLength, origin)
  if (result < 0 && isRefusal(result)) throw failed(`set ${address}`, result)
}

/** Ends the listeners at an address of this host, then all its TCP connections: the other ends hear of it. */
function resetConnections(address: string): void {
  const result = native.resetConnections(address)
  if (result < 0) throw failed(`end the connections of ${address}`, result)
}

/** A descriptor that frames leave an interface by. For IPv4 it hears who claims the address. */
function openFrames(index: number, address: string): number {
  const result = native.openFrameSocket(address, index)
  if (result < 0) throw failed(`open a packet socket for ${address}`, result)
  return result
}

/** A frame that does not get out is lost, like any other. */
function sendFrame(descriptor: number, index: number, frame: Uint8Array): void {
  native.sendFrame(descriptor, index, frame)
}

/** Undefined: nothing more has been heard. */
function receiveFrame(descriptor: number): Uint8Array | undefined {
  const frame = new Uint8Array(FRAME_BYTES_MAX)
  const count = native.receiveFrame(descriptor, frame)
  return count < 0 ? undefined : frame.subarray(0, count)
}

/** The hardware of all interfaces that have an address. Undefined: the host is short of descriptors. */
function macsHere(): string[] | undefined {
  try {
    return Object.values(networkInterfaces()).flatMap((all) => all?.map(({ mac }) => mac) ?? [])
  } catch {
    return undefined
  }
}

/**
 * Whether another IPv4 address of an interface takes the place of one that is removed, instead of going with
 * it: the kernel removes all others of its network. What cannot be read is taken for good.
 */
function promotesSecondaries(name: string): boolean {
  return ['all', name].some((which) => {
    try {
      return readFileSync(`/proc/sys/net/ipv4/conf/${which}/promote_secondaries`, 'latin1').trim() !== '0'
    } catch {
      return true
    }
  })
}

function failed(what: string, result: number): StoreError {
  const why = isRefusal(result) ? REMEDY : errnoName(result)
  return new StoreError('ADDRESS_UNUSABLE', `cannot ${what}: ${why}`)
}

const isRefusal = (result: number): boolean => ['EPERM', 'EACCES'].includes(errnoName(result))

/** Addresses of this host's interfaces. Whatever fails throws ADDRESS_UNUSABLE. */
export const hostAddresses = {
  stateOf,
  find,
  set,
  remove,
  tryOut,
  resetConnections,
  openFrames,
  closeFrames: closeDescriptor,
  sendFrame,
  receiveFrame,
  macsHere,
  promotesSecondaries,
}
