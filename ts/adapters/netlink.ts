import { closeSync, read, readSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { StoreError } from '../base/errors.ts'
import {
  type Attribute,
  attributeText,
  ControlAttribute,
  ControlCommand,
  decodeAttributes,
  decodeErrno,
  decodeGeneric,
  decodeMessages,
  encodeRequest,
  GENERIC_PROTOCOL,
  GroupAttribute,
  MessageType,
  numberIn,
  textIn,
  valueIn,
} from '../format/netlink.ts'
import { errnoName, joinNetlinkGroup, openNetlink } from './native.ts'

/** Larger than any message that the kernel sends without being asked for more. */
const DATAGRAM_BYTE_LENGTH = 64 * 1024
const ANSWER_MS = 30_000

const readAsync = promisify(read)

/** The kernel has refused a request; `errno` is positive. */
export class NetlinkRefusal extends Error {
  override name = 'NetlinkRefusal'
  readonly errno: number

  constructor(errno: number) {
    super(`the kernel says ${errnoName(errno)}`)
    this.errno = errno
  }
}

export interface GenericFamily {
  readonly id: number
  /** multicast groups by name */
  readonly groups: ReadonlyMap<string, number>
}

export interface GenericMessage {
  readonly command: number
  readonly attributes: readonly Attribute[]
}

/** A socket to the families of generic netlink. It answers in order, and one request at a time. */
export class GenericNetlink {
  readonly #descriptor: number
  readonly #buffer = Buffer.alloc(DATAGRAM_BYTE_LENGTH)
  #sequence = 0

  /** A wait for messages ends after `waitMs`. */
  constructor(waitMs = ANSWER_MS) {
    this.#descriptor = openNetlink(GENERIC_PROTOCOL, waitMs)
  }

  /** undefined if the kernel has no such family. */
  family(name: string): GenericFamily | undefined {
    try {
      const attributes = [attributeText(ControlAttribute.FAMILY_NAME, name)]
      const answer = this.request(MessageType.CONTROL, ControlCommand.GET_FAMILY, attributes)
      return decodeFamily(answer?.attributes ?? [])
    } catch (error) {
      if (error instanceof NetlinkRefusal && errnoName(error.errno) === 'ENOENT') return undefined
      throw error
    }
  }

  join(group: number): void {
    joinNetlinkGroup(this.#descriptor, group)
  }

  /** What the family answers, if it has more to say than yes. Throws NetlinkRefusal if it says no. */
  request(type: number, command: number, attributes: readonly Uint8Array[]): GenericMessage | undefined {
    this.#sequence += 1
    writeSync(this.#descriptor, encodeRequest({ type, sequence: this.#sequence, command, attributes }))
    let answer: GenericMessage | undefined
    for (;;) {
      for (const message of decodeMessages(this.#readSync())) {
        if (message.sequence !== this.#sequence) continue
        if (message.type === MessageType.ERROR) {
          const errno = decodeErrno(message)
          if (errno !== 0) throw new NetlinkRefusal(errno)
          return answer
        }
        if (message.type === type) answer = decodeGeneric(message)
      }
    }
  }

  /** The next messages to the groups that were joined; none if there were none for a while, or too many. */
  async receive(type: number): Promise<GenericMessage[]> {
    try {
      const { bytesRead } = await readAsync(this.#descriptor, this.#buffer, 0, this.#buffer.length, null)
      const messages = decodeMessages(this.#copy(bytesRead))
      return messages.filter((message) => message.type === type).map(decodeGeneric)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN' || code === 'EINTR' || code === 'ENOBUFS') return []
      throw error
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  /** What is decoded of a message are views of it, and the next one comes into the same buffer. */
  #copy(byteLength: number): Uint8Array {
    return Uint8Array.from(this.#buffer.subarray(0, byteLength))
  }

  #readSync(): Uint8Array {
    try {
      return this.#copy(readSync(this.#descriptor, this.#buffer))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      throw new StoreError('ATTACH_FAILED', 'the kernel does not answer over netlink', { cause: error })
    }
  }
}

function decodeFamily(attributes: readonly Attribute[]): GenericFamily {
  const groups = attributes
    .filter(({ kind }) => kind === ControlAttribute.GROUPS)
    .flatMap(({ value }) => decodeAttributes(value))
    .map(({ value }): [string, number] => {
      const group = decodeAttributes(value)
      return [textIn(valueIn(group, GroupAttribute.NAME)), numberIn(valueIn(group, GroupAttribute.ID))]
    })
  return { id: numberIn(valueIn(attributes, ControlAttribute.FAMILY_ID)), groups: new Map(groups) }
}
