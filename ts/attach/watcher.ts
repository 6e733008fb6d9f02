import { setTimeout as sleep } from 'node:timers/promises'
import { closeDescriptor, isHungUp, sendTimeoutMs, shutdownSocket } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import { TransmissionFlag } from '../format/nbd.ts'
import type { OpenedExport } from '../nbd/opener.ts'
import { Backoff } from './backoff.ts'
import { dial } from './dial.ts'
import { endingMs, endSessions } from './ending.ts'
import {
  byteLengthOf,
  isConnected,
  KernelNbd,
  markOf,
  requestsOf,
  setTimer,
  signsOf,
} from './kernel-device.ts'
import { SILENCE_S, Silence } from './silence.ts'
import type { Target } from './target.ts'

/** What a watcher is to make and to keep. */
export interface WatchPlan {
  readonly target: Target
  readonly connections: number
  readonly isReadOnly: boolean
  readonly outageS: number
  /** what the kernel is told that the device belongs to */
  readonly backend: string
  /** a device that another watcher has made, and that nobody watches any more */
  readonly adopted: { readonly index: number; readonly connectorPid: number | null } | undefined
}

/** What it has made. */
export interface Watched {
  readonly index: number
  /** see DeviceMark */
  readonly connectorPid: number | null
  readonly byteLength: number
  readonly connections: number
  readonly isReadOnly: boolean
}

/**
 * The kernel sends a request again when its connection was replaced, but looks at that only when the timer of
 * the request ends. With one connection, that is all the timer does, so it can be short. It writes a line to
 * the kernel's log each time, so it should not be shorter than what a disk may take.
 */
const TIMER_MS = 2000
/** Messages of the kernel can be lost; connections are looked at that often without one. */
const LOOK_MS = 1000
const SECTOR_BYTE_LENGTH = 512

/** The kernel has dropped a socket, because it has use for all that it has. */
class NotDead extends StoreError {}

/** Keeps the connections of one device of the kernel's NBD client. */
export class Watcher {
  readonly #plan: WatchPlan
  readonly #say: (line: string) => void
  readonly #nbd: KernelNbd
  /** descriptors of ours for sockets that the kernel uses; undefined while a connection is being replaced */
  #sockets: (number | undefined)[] = []
  /** connections of the kernel that an earlier watcher has made */
  #unknown = 0
  #someIsDead = false
  /** for what an earlier watcher has connected, the end of a session cannot be seen, only waited for */
  #fillsFromMs = 0
  /** for each slot */
  readonly #backoffs: Backoff[] = []
  #device: Watched | undefined
  readonly #silence = new Silence(performance.now())
  /** whether the kernel is told to take back what is in flight */
  #takesBack = false
  #isStopping = false

  constructor(plan: WatchPlan, say: (line: string) => void) {
    this.#plan = plan
    this.#say = say
    this.#nbd = new KernelNbd(LOOK_MS)
  }

  /** Makes the device, or takes over the one that is there. Throws ATTACH_FAILED. */
  async start(): Promise<Watched> {
    this.#nbd.listen()
    const { adopted } = this.#plan
    this.#device = adopted === undefined ? await this.#connect() : await this.#adopt(adopted)
    this.#takeBack(false)
    return this.#device
  }

  /** Until it is stopped, or somebody else has disconnected the device. */
  async watch(): Promise<void> {
    const { index } = this.#device!
    while (!this.#isStopping) {
      const dead = await this.#deadLinks()
      if (!this.#isOurs()) return this.#say(`nbd${index} was disconnected`)
      if (this.#silence.isTooLong(requestsOf(index), performance.now())) this.#hangUp()
      if (dead.includes(index)) this.#someIsDead = true
      await this.#replaceEnded()
      if (this.#someIsDead && performance.now() >= this.#fillsFromMs) await this.#fill()
    }
  }

  #isOurs(): boolean {
    const { index, connectorPid } = this.#device!
    return isConnected(index, { backend: this.#plan.backend, connectorPid })
  }

  /** The device stays as it is. */
  stop(): void {
    this.#isStopping = true
  }

  async #connect(): Promise<Watched> {
    const { target, outageS, backend } = this.#plan
    const first = await dial(target)
    const { byteLength, blockByteLength } = first.opened
    const flags = this.#flagsFor(first.opened)
    const connections = (flags & TransmissionFlag.CAN_MULTI_CONN) === 0 ? 1 : this.#plan.connections
    const sockets = [first.descriptor]
    while (sockets.length < connections) sockets.push((await dial(target)).descriptor)
    const index = this.#nbd.connect({
      byteLength,
      blockByteLength: Math.max(blockByteLength, SECTOR_BYTE_LENGTH),
      requestTimeoutS: connections === 1 ? 0 : SILENCE_S,
      deadConnectionTimeoutS: outageS,
      serverFlags: flags,
      sockets,
      backend,
    })
    const { connectorPid } = markOf(signsOf(index), backend)
    this.#sockets = sockets
    for (const slot of sockets.keys()) this.#backoffOf(slot).begin(performance.now())
    this.#say(`nbd${index} is ${target.uri}, connections: ${connections}`)
    return {
      index,
      connectorPid,
      byteLength,
      connections,
      isReadOnly: (flags & TransmissionFlag.READ_ONLY) !== 0,
    }
  }

  /** What cannot be heard is no reason to leave the device alone: its connections are looked at anyway. */
  async #deadLinks(): Promise<number[]> {
    try {
      return await this.#nbd.deadLinks()
    } catch (error) {
      this.#say((error as Error).message)
      await sleep(LOOK_MS)
      return []
    }
  }

  #flagsFor({ flags }: OpenedExport): number {
    return this.#plan.isReadOnly ? flags | TransmissionFlag.READ_ONLY : flags
  }

  /** The connections of a watcher that has ended are in the kernel, but no descriptor of theirs is ours. */
  async #adopt(adopted: NonNullable<WatchPlan['adopted']>): Promise<Watched> {
    const { target, connections, isReadOnly } = this.#plan
    const { index } = adopted
    this.#device = { ...adopted, byteLength: byteLengthOf(index), connections, isReadOnly }
    const { descriptor, opened } = await dial(target)
    this.#check(opened)
    const { byteLength } = opened
    // it is dropped, or takes the place of a dead one
    this.#give(descriptor, byteLength)
    closeDescriptor(descriptor)
    this.#say(`nbd${index}, ${target.uri}, is watched again`)
    this.#unknown = connections
    this.#someIsDead = connections > 1
    return { ...this.#device, byteLength }
  }

  /** A device that somebody else has connected since would have our volume behind another file system. */
  #give(socket: number, byteLength: number): void {
    const { index } = this.#device!
    if (!this.#isOurs()) throw new StoreError('ATTACH_FAILED', `nbd${index} is not ours any more`)
    this.#nbd.reconnect(index, { byteLength, socket, backend: this.#plan.backend })
  }

  /** Which of the unknown connections is dead, the kernel does not say: it takes sockets while one is. */
  async #fill(): Promise<void> {
    while (this.#unknown > 0 && !this.#isStopping) {
      const slot = this.#sockets.push(undefined) - 1
      try {
        await this.#dialFor(slot)
        this.#unknown -= 1
      } catch (error) {
        this.#sockets.pop()
        this.#someIsDead = !(error instanceof NotDead)
        return
      }
    }
    this.#someIsDead = false
  }

  /** For connections that are open and answer nothing. The kernel says then that they are dead. */
  #hangUp(): void {
    this.#say(`nbd${this.#device!.index} waits for answers that do not come`)
    for (const socket of this.#sockets) if (socket !== undefined) shutdownSocket(socket)
    // what is not ours to end, the kernel ends
    if (this.#unknown === 0) return
    this.#takeBack(true)
    this.#fillsFromMs = performance.now() + endingMs(this.#plan.outageS)
  }

  async #replaceEnded(): Promise<void> {
    const isOver = (socket: number | undefined) => socket === undefined || isHungUp(socket)
    const slots = [...this.#sockets.keys()].filter((slot) => isOver(this.#sockets[slot]))
    await this.#awaitEnd(slots.flatMap((slot) => this.#sockets[slot] ?? []))
    for (const slot of slots) if (!this.#isStopping) await this.#replace(slot)
  }

  /** No new connection before the server knows that the old one has ended: see endSessions. */
  async #awaitEnd(sockets: readonly number[]): Promise<void> {
    const withinMs = endingMs(this.#plan.outageS)
    if (await endSessions(sockets, withinMs, () => this.#isStopping)) return
    if (!this.#isStopping) this.#say(`its server has not ended a connection within ${withinMs / 1000} s`)
  }

  #backoffOf(slot: number): Backoff {
    this.#backoffs[slot] ??= new Backoff()
    return this.#backoffs[slot]
  }

  /** Tries until it has succeeded: requests wait for it, for as long as the plan lets them. */
  async #replace(slot: number): Promise<void> {
    const { index } = this.#device!
    const name = `connection ${slot + 1} of nbd${index}`
    const fromMs = performance.now()
    this.#say(`${name} has ended`)
    const backoff = this.#backoffOf(slot)
    let told = ''
    for (let delayMs = backoff.end(fromMs); !this.#isStopping; delayMs = backoff.grow()) {
      await sleep(delayMs)
      if (!this.#isOurs()) return
      try {
        // the old socket first: the kernel gives nothing to a connection that is not dead
        this.#drop(slot)
        await this.#dialFor(slot)
        const tookMs = Math.round(performance.now() - fromMs)
        return this.#say(`${name} stands again after ${tookMs} ms`)
      } catch (error) {
        const { message } = error as Error
        if (message !== told) this.#say(`${name}: ${message}`)
        told = message
        this.#takeBack(true)
      }
    }
  }

  /**
   * With one connection, requests that were in flight wait for the next one, and for no end. When it does not
   * come at once, the kernel takes them back, and they wait as long as others. With several, it always does.
   */
  #takeBack(takesBack: boolean): void {
    const { index, connections } = this.#device!
    if (connections > 1 || (takesBack && this.#takesBack) || !this.#isOurs()) return
    try {
      this.#nbd.setTimeout(index, { requestTimeoutS: takesBack ? 1 : 0, backend: this.#plan.backend })
      if (!takesBack) setTimer(index, TIMER_MS)
      this.#takesBack = takesBack
    } catch (error) {
      this.#say((error as Error).message)
    }
  }

  #drop(slot: number): void {
    const socket = this.#sockets[slot]
    if (socket === undefined) return
    this.#sockets[slot] = undefined
    shutdownSocket(socket)
    closeDescriptor(socket)
  }

  async #dialFor(slot: number): Promise<void> {
    const { descriptor, opened } = await dial(this.#plan.target)
    try {
      this.#check(opened)
      // before requests begin that would have another timer
      if (this.#takesBack) this.#takeBack(false)
      const { byteLength } = opened
      this.#give(descriptor, byteLength)
      if (!this.#isTaken(descriptor)) throw new NotDead('ATTACH_FAILED', 'to the kernel, none is dead')
      this.#sockets[slot] = descriptor
      // one that has grown since is that large now
      this.#device = { ...this.#device!, byteLength }
      this.#silence.begin(performance.now())
      this.#backoffOf(slot).begin(performance.now())
    } catch (error) {
      shutdownSocket(descriptor)
      closeDescriptor(descriptor)
      throw error
    }
  }

  /** A volume that shrank, or may not be written any more, is not what the file system on it knows. */
  #check(opened: OpenedExport): void {
    const { byteLength, isReadOnly } = this.#device!
    if (opened.byteLength < byteLength) {
      throw new StoreError('ATTACH_FAILED', `the volume has shrunk to ${opened.byteLength} bytes`)
    }
    if (!isReadOnly && (opened.flags & TransmissionFlag.READ_ONLY) !== 0) {
      throw new StoreError('ATTACH_FAILED', 'the volume has become read-only')
    }
  }

  /**
   * The kernel drops a socket without a word if it has no dead connection. Those that it takes get the
   * time-out for requests, if there is one; else the silence of the new connection tells.
   */
  #isTaken(socket: number): boolean {
    return this.#device!.connections === 1 || sendTimeoutMs(socket) === SILENCE_S * 1000
  }
}
