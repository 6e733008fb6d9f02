import { setTimeout as sleep } from 'node:timers/promises'
import { closeDescriptor, isHungUp, sendTimeoutMs, shutdownSocket } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import { TransmissionFlag } from '../format/nbd.ts'
import type { OpenedExport } from '../nbd/opener.ts'
import { type Dialed, dial } from './dial.ts'
import { isConnected, KernelNbd } from './kernel-device.ts'
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
  readonly adopted: number | undefined
}

/** What it has made. */
export interface Watched {
  readonly index: number
  readonly byteLength: number
  readonly connections: number
  readonly isReadOnly: boolean
}

/**
 * How long a request may be without an answer before its connection counts as dead, and it is sent again over
 * another one. An owner that is stopped without ending keeps its connections open, so there has to be a limit.
 * But the first copy of such a request may still reach an owner that was only slow, after newer writes: so the
 * limit is far above what a write waits for room in the log.
 */
const REQUEST_TIMEOUT_S = 120
/** Messages of the kernel can be lost; connections are looked at that often without one. */
const LOOK_MS = 1000
const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1000
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
  #device: Watched | undefined
  /** whether the kernel can be asked if it uses a socket */
  #canTell = false
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
    return this.#device
  }

  /** Until it is stopped, or somebody else has disconnected the device. */
  async watch(): Promise<void> {
    const { index } = this.#device!
    while (!this.#isStopping) {
      const dead = await this.#nbd.deadLinks()
      if (dead.includes(index)) this.#someIsDead = true
      if (!isConnected(index, this.#plan.backend)) return this.#say(`nbd${index} was disconnected`)
      for (let slot = 0; slot < this.#sockets.length && !this.#isStopping; slot += 1) {
        const socket = this.#sockets[slot]
        if (socket === undefined || isHungUp(socket)) await this.#replace(slot)
      }
      if (this.#someIsDead) await this.#fill()
    }
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
    const wanted = (flags & TransmissionFlag.CAN_MULTI_CONN) === 0 ? 1 : this.#plan.connections
    const dialed = [first]
    while (dialed.length < wanted) dialed.push(await dial(target))
    this.#sockets = dialed.map(({ descriptor }) => descriptor)
    const index = this.#nbd.connect({
      byteLength,
      blockByteLength: Math.max(blockByteLength, SECTOR_BYTE_LENGTH),
      requestTimeoutS: REQUEST_TIMEOUT_S,
      deadConnectionTimeoutS: outageS,
      serverFlags: flags,
      sockets: dialed.map(({ descriptor }) => descriptor),
      backend,
    })
    this.#canTell = this.#isUsed(first.descriptor)
    this.#say(`nbd${index} is ${target.uri}, over ${wanted} connections`)
    return { index, byteLength, connections: wanted, isReadOnly: (flags & TransmissionFlag.READ_ONLY) !== 0 }
  }

  #flagsFor({ flags }: OpenedExport): number {
    return this.#plan.isReadOnly ? flags | TransmissionFlag.READ_ONLY : flags
  }

  /** The connections of a watcher that has ended are in the kernel, but no descriptor of theirs is ours. */
  async #adopt(index: number): Promise<Watched> {
    const { target, connections } = this.#plan
    const { descriptor, opened } = await dial(target)
    closeDescriptor(descriptor)
    this.#say(`nbd${index}, ${target.uri}, is watched again`)
    const isReadOnly = (this.#flagsFor(opened) & TransmissionFlag.READ_ONLY) !== 0
    this.#device = { index, byteLength: opened.byteLength, connections, isReadOnly }
    this.#canTell = true
    this.#unknown = connections
    this.#someIsDead = true
    return this.#device
  }

  /** Which of the unknown connections is dead, the kernel does not say: it takes sockets as long as one is. */
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

  /** Tries until it has succeeded: requests wait for it, for as long as the plan lets them. */
  async #replace(slot: number): Promise<void> {
    const { index } = this.#device!
    const fromMs = performance.now()
    this.#say(`connection ${slot + 1} of nbd${index} has ended`)
    let told = ''
    for (let delayMs = RETRY_MS_MIN; !this.#isStopping; delayMs = Math.min(2 * delayMs, RETRY_MS_MAX)) {
      try {
        // the old socket first: the kernel gives nothing to a connection that is not dead
        this.#drop(slot)
        await this.#dialFor(slot)
        return this.#say(
          `connection ${slot + 1} stands again after ${Math.round(performance.now() - fromMs)} ms`,
        )
      } catch (error) {
        const { message } = error as Error
        if (message !== told) this.#say(`connection ${slot + 1}: ${message}`)
        told = message
      }
      await sleep(delayMs)
      if (!isConnected(index, this.#plan.backend)) return
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
    const { index } = this.#device!
    const dialed = await dial(this.#plan.target)
    try {
      this.#check(dialed)
      const { byteLength } = dialed.opened
      this.#nbd.reconnect(index, { byteLength, socket: dialed.descriptor, backend: this.#plan.backend })
      if (this.#canTell && !this.#isUsed(dialed.descriptor)) {
        throw new NotDead('ATTACH_FAILED', 'to the kernel, no connection is dead')
      }
      this.#sockets[slot] = dialed.descriptor
    } catch (error) {
      shutdownSocket(dialed.descriptor)
      closeDescriptor(dialed.descriptor)
      throw error
    }
  }

  /** A volume that shrank, or may not be written any more, is not what the file system on it knows. */
  #check({ opened }: Dialed): void {
    const { byteLength, isReadOnly } = this.#device!
    if (opened.byteLength < byteLength) {
      throw new StoreError('ATTACH_FAILED', `the volume has shrunk to ${opened.byteLength} bytes`)
    }
    if (!isReadOnly && (opened.flags & TransmissionFlag.READ_ONLY) !== 0) {
      throw new StoreError('ATTACH_FAILED', 'the volume has become read-only')
    }
  }

  /** The kernel gives the time-out of requests to the sockets that it takes: that tells them from others. */
  #isUsed(socket: number): boolean {
    return sendTimeoutMs(socket) === REQUEST_TIMEOUT_S * 1000
  }
}
