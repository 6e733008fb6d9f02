import {
  type Attribute,
  attributeText,
  attributeU32,
  attributeU64,
  decodeAttributes,
  nested,
  numberIn,
  valueIn,
} from './netlink.ts'

/*
 * The generic netlink family of the kernel's NBD client, as linux/nbd-netlink.h has it.
 */

export const NBD_FAMILY = 'nbd'
export const NBD_GROUP = 'nbd_mc_group'

export const NbdCommand = { CONNECT: 1, DISCONNECT: 2, RECONFIGURE: 3, LINK_DEAD: 4, STATUS: 5 } as const

export const NbdAttribute = {
  INDEX: 1,
  BYTE_LENGTH: 2,
  BLOCK_BYTE_LENGTH: 3,
  TIMEOUT: 4,
  SERVER_FLAGS: 5,
  SOCKETS: 7,
  DEAD_CONNECTION_TIMEOUT: 8,
  DEVICES: 9,
  BACKEND: 10,
} as const

const SOCKET_ITEM = 1
const SOCKET_DESCRIPTOR = 1
const DEVICE_ITEM = 1
const DeviceAttribute = { INDEX: 1, CONNECTED: 2 } as const

/** What a device is made of. Without `index`, the kernel takes the first device that is free. */
export interface NbdDeviceRequest {
  readonly byteLength: number
  /** the logical block size */
  readonly blockByteLength: number
  /** seconds after which a request without an answer counts as lost together with its connection */
  readonly requestTimeoutS: number
  /** seconds that requests wait while there is no connection */
  readonly deadConnectionTimeoutS: number
  /** transmission flags, as the server has told them */
  readonly serverFlags: number
  readonly sockets: readonly number[]
  /** sockets of another backend are refused later; kernels before 5.14 do not look at it */
  readonly backend: string
}

export function connectAttributes(device: NbdDeviceRequest): Uint8Array[] {
  return [
    attributeU64(NbdAttribute.BYTE_LENGTH, device.byteLength),
    attributeU64(NbdAttribute.BLOCK_BYTE_LENGTH, device.blockByteLength),
    attributeU64(NbdAttribute.TIMEOUT, device.requestTimeoutS),
    attributeU64(NbdAttribute.SERVER_FLAGS, device.serverFlags),
    socketsAttribute(device.sockets),
    attributeU64(NbdAttribute.DEAD_CONNECTION_TIMEOUT, device.deadConnectionTimeoutS),
    attributeText(NbdAttribute.BACKEND, device.backend),
  ]
}

/** One new socket in the place of a dead one. A size that is not the device's changes it. */
export function reconfigureAttributes(
  index: number,
  { byteLength, socket, backend }: { byteLength: number; socket: number; backend: string },
): Uint8Array[] {
  return [
    attributeU32(NbdAttribute.INDEX, index),
    attributeU64(NbdAttribute.BYTE_LENGTH, byteLength),
    socketsAttribute([socket]),
    attributeText(NbdAttribute.BACKEND, backend),
  ]
}

/** Another time-out for requests; 0 is none. */
export function timeoutAttributes(
  index: number,
  { requestTimeoutS, backend }: Pick<NbdDeviceRequest, 'requestTimeoutS' | 'backend'>,
): Uint8Array[] {
  return [
    attributeU32(NbdAttribute.INDEX, index),
    attributeU64(NbdAttribute.TIMEOUT, requestTimeoutS),
    attributeText(NbdAttribute.BACKEND, backend),
  ]
}

export const indexAttributes = (index: number): Uint8Array[] => [attributeU32(NbdAttribute.INDEX, index)]

const socketsAttribute = (sockets: readonly number[]): Uint8Array =>
  nested(
    NbdAttribute.SOCKETS,
    sockets.map((socket) => nested(SOCKET_ITEM, [attributeU32(SOCKET_DESCRIPTOR, socket)])),
  )

/** The device that an answer or a message to the group is about. */
export const indexIn = (attributes: readonly Attribute[]): number =>
  numberIn(valueIn(attributes, NbdAttribute.INDEX))

/** What STATUS tells of each device. */
export function devicesIn(attributes: readonly Attribute[]): { index: number; isConnected: boolean }[] {
  return decodeAttributes(valueIn(attributes, NbdAttribute.DEVICES))
    .filter(({ kind }) => kind === DEVICE_ITEM)
    .map(({ value }) => {
      const device = decodeAttributes(value)
      return {
        index: numberIn(valueIn(device, DeviceAttribute.INDEX)),
        isConnected: numberIn(valueIn(device, DeviceAttribute.CONNECTED)) !== 0,
      }
    })
}
