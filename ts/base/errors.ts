/**
 * Every failure that is expected and handled, by code. `nbd` is what a client hears if the failure
 * reaches it; `summary` is for the reference. Messages name the thing and the remedy.
 */
export const errorCodes = {
  CONFIG_INVALID: { nbd: 22, summary: 'the configuration has a mistake' },
  PORT_IN_USE: { nbd: 22, summary: 'another process listens on an address of this node' },
  ADDRESS_UNUSABLE: { nbd: 22, summary: 'an address for clients cannot be set on its interface' },
  DISK_MISSING: { nbd: 5, summary: 'the path of a disk does not exist' },
  DISK_AWAY: { nbd: 5, summary: 'the disk is attached to the partner, and the link does not reach it now' },
  DISK_BUSY: { nbd: 5, summary: 'the disk is mounted or claimed by something else' },
  DISK_UNUSABLE: { nbd: 5, summary: 'the disk cannot be opened or read' },
  DISK_TOO_SMALL: { nbd: 5, summary: 'the disk has no room for the zones of an aggregate' },
  DISK_FOREIGN: { nbd: 5, summary: 'the disk carries the data of somebody else' },
  DISK_UNLABELLED: { nbd: 5, summary: 'the disk has no label yet' },
  DISK_CORRUPT: { nbd: 5, summary: 'a block on disk does not match its checksum' },
  DISK_FAILED: {
    nbd: 5,
    summary: 'a write or flush failed; the disk is not used until it is admitted again',
  },
  IMAGE_UNREADABLE: { nbd: 5, summary: 'no valid superblock that the arbiter recognises' },
  NVRAM_FULL: { nbd: 5, summary: 'the NVRAM directory has no room for a log ring' },
  NVRAM_UNUSABLE: { nbd: 5, summary: 'the NVRAM file cannot be mapped' },
  LOG_DAMAGED: { nbd: 5, summary: 'acknowledged entries of the log do not check' },
  LOG_LOST: { nbd: 5, summary: 'this node has lost the log that the record calls in sync' },
  LINK_REFUSED: { nbd: 5, summary: 'the partner does not belong to this pair or speaks another version' },
  NOT_OWNER: { nbd: 108, summary: 'the partner owns the aggregate' },
  FENCED: { nbd: 108, summary: 'ownership was lost; this node writes nothing more' },
  NOT_READY: { nbd: 108, summary: 'the aggregate is not being served yet' },
  TAKEOVER_IMPOSSIBLE: { nbd: 5, summary: 'the partner cannot take over now' },
  GIVEBACK_IMPOSSIBLE: { nbd: 5, summary: 'ownership cannot be given back now' },
  ARBITER_UNREACHABLE: { nbd: 5, summary: 'the arbiter cannot be read or written' },
  ARBITER_CONFLICT: { nbd: 5, summary: 'the record has changed since it was read' },
  VOLUME_UNKNOWN: { nbd: 2, summary: 'no volume has this name' },
  VOLUME_EXISTS: { nbd: 22, summary: 'a volume with this name exists' },
  VOLUME_INVALID: { nbd: 22, summary: 'the name or the size of a volume is not allowed' },
  VOLUME_LIMIT: { nbd: 28, summary: 'the aggregate holds as many volumes as it can' },
  SPACE_EXHAUSTED: { nbd: 28, summary: 'the aggregate is full' },
  READ_FAILED: { nbd: 5, summary: 'the data cannot be read from any copy' },
  STOPPING: { nbd: 108, summary: 'the node is shutting down' },
  USAGE: { nbd: 22, summary: 'the command was used wrongly' },
  HOST_LACKS: { nbd: 5, summary: 'this host has no module, program or privilege that the command needs' },
  ATTACHED: { nbd: 22, summary: 'the volume is attached to this host already' },
  ATTACH_FAILED: { nbd: 5, summary: 'a volume cannot be attached or detached' },
  API_UNREACHABLE: { nbd: 5, summary: 'the node does not answer on its control socket' },
} as const satisfies Record<string, { nbd: number; summary: string }>

export type ErrorCode = keyof typeof errorCodes

/** An expected failure: the message names the thing and the remedy; the cause is kept. */
export class StoreError extends Error {
  override name = 'StoreError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }

  get nbdError(): number {
    return errorCodes[this.code].nbd
  }
}

export function isStoreError(error: unknown, code?: ErrorCode): error is StoreError {
  return error instanceof StoreError && (code === undefined || error.code === code)
}
