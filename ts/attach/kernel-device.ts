import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { GenericNetlink, NetlinkRefusal } from '../adapters/netlink.ts'
import { StoreError } from '../base/errors.ts'
import {
  connectAttributes,
  indexAttributes,
  indexIn,
  NBD_FAMILY,
  NBD_GROUP,
  NbdCommand,
  type NbdDeviceRequest,
  reconfigureAttributes,
  timeoutAttributes,
} from '../format/nbd-netlink.ts'

/** The unit of sizes in sysfs, whatever the blocks of a device are. */
const SECTOR_BYTE_LENGTH = 512

/** The kernel's NBD client, over netlink. All of it is synchronous; what fails throws ATTACH_FAILED. */
export class KernelNbd {
  readonly #netlink = new GenericNetlink()
  /** apart from the other one, where a message may come between a request and its answer */
  readonly #events: GenericNetlink
  readonly #family: number
  readonly #group: number

  /** Whoever listens for dead connections hears at least every `waitMs` that there was none. */
  constructor(waitMs?: number) {
    this.#events = new GenericNetlink(waitMs)
    const family = this.#netlink.family(NBD_FAMILY)
    const group = family?.groups.get(NBD_GROUP)
    if (!family || group === undefined) {
      this.close()
      throw new StoreError('HOST_LACKS', 'this host lacks the kernel module nbd (modprobe nbd)')
    }
    this.#family = family.id
    this.#group = group
  }

  /** From now on `deadLinks` hears of connections that have ended. */
  listen(): void {
    this.#events.join(this.#group)
  }

  /** The index of the new device. */
  connect(device: NbdDeviceRequest): number {
    const answer = this.#ask('connect a device', NbdCommand.CONNECT, connectAttributes(device))
    if (!answer)
      throw new StoreError('ATTACH_FAILED', 'the kernel does not say which device it has connected')
    return indexIn(answer.attributes)
  }

  /** The kernel drops the socket, without a word, if no connection of the device is dead. */
  reconnect(index: number, what: { byteLength: number; socket: number; backend: string }): void {
    this.#ask(`give nbd${index} a new connection`, NbdCommand.RECONFIGURE, reconfigureAttributes(index, what))
  }

  /** Seconds after which a request without an answer is taken from its connection; 0: never. */
  setTimeout(index: number, what: { requestTimeoutS: number; backend: string }): void {
    this.#ask(`give nbd${index} a time-out`, NbdCommand.RECONFIGURE, timeoutAttributes(index, what))
  }

  disconnect(index: number): void {
    this.#ask(`disconnect nbd${index}`, NbdCommand.DISCONNECT, indexAttributes(index))
  }

  /** Indexes of devices that have lost a connection; empty if none has for a while. */
  async deadLinks(): Promise<number[]> {
    const messages = await this.#events.receive(this.#family)
    return messages
      .filter(({ command }) => command === NbdCommand.LINK_DEAD)
      .map(({ attributes }) => indexIn(attributes))
  }

  close(): void {
    this.#netlink.close()
    this.#events.close()
  }

  #ask(what: string, command: number, attributes: readonly Uint8Array[]) {
    try {
      return this.#netlink.request(this.#family, command, attributes)
    } catch (error) {
      if (!(error instanceof NetlinkRefusal)) throw error
      throw new StoreError('ATTACH_FAILED', `the kernel does not ${what}: ${error.message}`, { cause: error })
    }
  }
}

/** '/dev/nbd3' is 3. */
export const indexOf = (device: string): number => Number(basename(device).slice('nbd'.length))

/** What tells a device of ours from one that somebody else has connected since, under the same number. */
export interface DeviceMark {
  /** what the kernel was told that the device belongs to */
  readonly backend: string
  /**
   * the process that has connected it, for kernels that forget the backend (those before 5.14); null if the
   * kernel keeps it: a device without it is not ours then
   */
  readonly connectorPid: number | null
}

/** What sysfs has of a device: the process that has connected it, and its backend. */
export interface DeviceSigns {
  readonly pid: string | undefined
  readonly backend: string | undefined
}

/** Whether these are the signs of the device with this mark. Without a process, nothing is connected. */
export function isMarked({ pid, backend }: DeviceSigns, mark: DeviceMark): boolean {
  if (pid === undefined) return false
  if (mark.connectorPid === null) return backend === mark.backend
  return backend === undefined && pid === String(mark.connectorPid)
}

/** The mark of a device that was connected a moment ago, by this process. */
export function markOf({ pid, backend }: DeviceSigns, told: string): DeviceMark {
  if (backend === told) return { backend: told, connectorPid: null }
  if (backend === undefined && Number(pid) > 0) return { backend: told, connectorPid: Number(pid) }
  throw new StoreError('ATTACH_FAILED', 'somebody else has disconnected the new device at once')
}

export function signsOf(index: number): DeviceSigns {
  const folder = `/sys/class/block/nbd${index}`
  return { pid: read(`${folder}/pid`), backend: read(`${folder}/backend`) }
}

/** Whether the kernel has this device connected, and it is still the one with this mark. */
export const isConnected = (index: number, mark: DeviceMark): boolean => isMarked(signsOf(index), mark)

/** Devices that are connected for this backend, or that one of these processes has connected. */
export function devicesOf(backend: string, pids: readonly number[]): { index: number; mark: DeviceMark }[] {
  const marks = [null, ...pids].map((connectorPid) => ({ backend, connectorPid }))
  return readdirSync('/sys/class/block')
    .filter((name) => /^nbd[0-9]+$/.test(name))
    .map(indexOf)
    .flatMap((index) => {
      const mark = marks.find((each) => isConnected(index, each))
      return mark ? [{ index, mark }] : []
    })
}

/** Sets the timer of new requests. Kernels before 5.0 have 30 s and nothing to set. */
export function setTimer(index: number, timerMs: number): void {
  try {
    writeFileSync(`/sys/class/block/nbd${index}/queue/io_timeout`, String(timerMs))
  } catch {
    // then requests wait longer until they are sent again
  }
}

/** The size of a device, as the kernel has it. */
export const byteLengthOf = (index: number): number => {
  return Number(read(`/sys/class/block/nbd${index}/size`)) * SECTOR_BYTE_LENGTH
}

/** How many requests the device has had answers to, and how many it waits for. */
export function requestsOf(index: number): { answered: number; waiting: number } {
  return parseStat(read(`/sys/class/block/nbd${index}/stat`) ?? '')
}

/** A line of the kernel's Documentation/block/stat.rst: reads, writes, discards and flushes are counted. */
export function parseStat(text: string): { answered: number; waiting: number } {
  const fields = text.trim().split(/\s+/).map(Number)
  const at = (index: number): number => fields[index] ?? 0
  return { answered: at(0) + at(4) + at(11) + at(15), waiting: at(8) }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}
