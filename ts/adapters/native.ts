import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getSystemErrorName } from 'node:util'
import { StoreError } from '../base/errors.ts'

/** What native/binding exports. Arguments are checked here and in the adapters; C++ trusts them. */
interface Addon {
  runBatch(steps: Float64Array, count: number): 0 | { failures: number; firstFailure: number }
  checksum(address: number, byteLength: number, seed: number): number
  allocate(byteLength: number): MappedMemory | number
  mapShared(path: string, byteLength: number): (MappedMemory & { found: 'kept' | 'new' | 'resized' }) | number
  uringCreate(entries: number): NativeRing | number
  uringEnter(
    ring: unknown,
    toSubmit: number,
    consumed: number,
    timeoutMs: number,
    notAfterMs: number,
    report: Float64Array,
    spinUs: number,
  ): number
  uringDestroy(ring: unknown): void
  monotonicMs(): number
  keepOnCpu(cpu: number): number
  openDisk(path: string): OpenedDisk | number
  isPersistent(directory: string): boolean
  preallocate(path: string, byteLength: number): number
  lockFile(descriptor: number): number
  takeSocket(descriptor: number): number
  socketPair(): [number, number] | number
  listenNewest(host: string, port: number, backlog: number, mayBeAbsent: boolean): number
  listenBehind(host: string, port: number, backlog: number): number
  countListeners(host: string, port: number): number
  portOf(descriptor: number): number
  makeEventfd(): number
  signalEventfd(descriptor: number): number
  shutdownSocket(descriptor: number): number
  resetSocket(descriptor: number): number
  closeDescriptor(descriptor: number): number
  interfaceState(name: string): NativeInterface | number
  findAddress(address: string): NativePlace[] | number
  setAddress(address: string, index: number, prefix: number, origin: number, lifetimeSeconds: number): number
  removeAddress(address: string, index: number, prefix: number, origin: number): number
  resetConnections(address: string): number
  openFrameSocket(address: string, index: number): number
  sendFrame(descriptor: number, index: number, frame: Uint8Array): number
  receiveFrame(descriptor: number, frame: Uint8Array): number
  openNetlink(protocol: number, receiveTimeoutMs: number): number
  joinNetlinkGroup(descriptor: number, group: number): number
  isHungUp(descriptor: number): number
  hasPeerEnded(descriptor: number): number
  sendTimeoutMs(descriptor: number): number
  limitUnanswered(descriptor: number, timeoutMs: number): number
}

interface NativeInterface {
  readonly index: number
  readonly flags: number
  readonly hardware: number
  readonly mac: Uint8Array
}

interface NativePlace {
  readonly index: number
  readonly prefixLength: number
  readonly origin: number
}

export interface MappedMemory {
  readonly buffer: ArrayBuffer
  readonly address: number
}

export interface NativeRing {
  readonly ring: unknown
  readonly sqes: ArrayBuffer
  readonly completions: ArrayBuffer
  readonly completionsOffset: number
  readonly submissionEntries: number
  readonly completionEntries: number
}

export interface OpenedDisk {
  readonly descriptor: number
  readonly byteLength: number
  readonly sectorByteLength: number
  readonly isBlockDevice: boolean
  readonly isDirect: boolean
  /** device and inode: two paths to the same disk have the same one */
  readonly identity: string
}

function findAddon(): string {
  const fromEnvironment = process.env['POLLUX_NATIVE']
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const candidate = join(directory, 'build', 'Release', 'pollux.node')
    if (existsSync(candidate)) return candidate
    if (directory === dirname(directory)) {
      throw new StoreError(
        'USAGE',
        'the addon is not built (build/Release/pollux.node): run `npm ci` in the project',
      )
    }
  }
}

export const native = createRequire(import.meta.url)(findAddon()) as Addon

/** The name of an errno, for messages: 'ENOSPC'. */
export function errnoName(errno: number): string {
  return getSystemErrorName(-Math.abs(errno))
}

/** A descriptor of our own for a connected socket; the given one may be closed afterwards. */
export function takeSocket(descriptor: number): number {
  return mustSucceed('take over a socket', native.takeSocket(descriptor))
}

/** Two blocking sockets of our own, connected to each other. */
export function socketPair(): [number, number] {
  const result = native.socketPair()
  if (typeof result !== 'number') return result
  throw new StoreError('USAGE', `cannot make a pair of sockets: ${errnoName(result)}`)
}

/**
 * Listens so that all new connections come here, even if a stopped process still holds the address.
 * `mayBeAbsent`: this host may get the address later.
 */
export function listenSocket(host: string, port: number, mayBeAbsent = false, backlog = 511): number {
  return listening(native.listenNewest(host, port, backlog, mayBeAbsent), host, port)
}

/** Listens so that connections come here only while no `listenSocket` is there; IPv4 addresses only. */
export function standbySocket(host: string, port: number, backlog = 511): number {
  return listening(native.listenBehind(host, port, backlog), host, port)
}

/** Whether anybody on this host has a `listenSocket` at this address. */
export function isListenedAt(host: string, port: number): boolean {
  return native.countListeners(host, port) > 0
}

function listening(result: number, host: string, port: number): number {
  if (result >= 0) return result
  const why = errnoName(result)
  const remedy =
    why === 'EADDRINUSE' ? 'another process has it; choose another port or end that process' : why
  throw new StoreError('PORT_IN_USE', `cannot listen on ${host}:${port}: ${remedy}`)
}

export function portOf(descriptor: number): number {
  return mustSucceed('ask for the port of a socket', native.portOf(descriptor))
}

export function makeEventfd(): number {
  return mustSucceed('make an eventfd', native.makeEventfd())
}

/** Wakes an engine that is blocked in the kernel. */
export function signalEventfd(descriptor: number): void {
  native.signalEventfd(descriptor)
}

export function closeDescriptor(descriptor: number): void {
  native.closeDescriptor(descriptor)
}

/** A netlink socket. A wait to receive on it ends after `receiveTimeoutMs`, with EAGAIN. */
export function openNetlink(protocol: number, receiveTimeoutMs: number): number {
  return mustSucceed('open a netlink socket', native.openNetlink(protocol, receiveTimeoutMs))
}

export function joinNetlinkGroup(descriptor: number, group: number): void {
  mustSucceed('join a group of netlink', native.joinNetlinkGroup(descriptor, group))
}

/** Whether a connection has ended, by either side; nothing is read from it. */
export function isHungUp(descriptor: number): boolean {
  return native.isHungUp(descriptor) !== 0
}

/**
 * Whether the other end has ended its side as well, after this one has. A Unix socket does not tell: there,
 * whether the other end has read all that was sent, or closed. A descriptor that is none has no other end.
 */
export function hasPeerEnded(descriptor: number): boolean {
  return native.hasPeerEnded(descriptor) !== 0
}

/** How long a send on a socket waits, in ms; 0: for ever. */
export function sendTimeoutMs(descriptor: number): number {
  return mustSucceed("ask for a socket's time-out", native.sendTimeoutMs(descriptor))
}

/** Ends a TCP connection whose other end has acknowledged nothing for so long. Of no effect on others. */
export function limitUnanswered(descriptor: number, timeoutMs: number): void {
  native.limitUnanswered(descriptor, timeoutMs)
}

export function shutdownSocket(descriptor: number): void {
  native.shutdownSocket(descriptor)
}

/**
 * Resets a TCP connection: what it has not sent yet is not sent any more, whoever else has it open. Of no
 * effect on others.
 */
export function resetSocket(descriptor: number): void {
  native.resetSocket(descriptor)
}

/** Takes the exclusive lock of an open file for as long as it is open. False: somebody has it. */
export function flock(descriptor: number): boolean {
  return native.lockFile(descriptor) === 0
}

/** Allocates all blocks of a file, so that writing it cannot run out of space later. */
export function preallocate(path: string, byteLength: number): void {
  const result = native.preallocate(path, byteLength)
  if (result === 0) return
  throw new StoreError('DISK_UNUSABLE', `${path}: cannot allocate ${byteLength} bytes: ${errnoName(result)}`)
}

export function monotonicMs(): number {
  return native.monotonicMs()
}

function mustSucceed(what: string, result: number): number {
  if (result >= 0) return result
  throw new StoreError('USAGE', `cannot ${what}: ${errnoName(result)}`)
}
