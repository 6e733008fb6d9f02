import { assert } from '../base/assert.ts'
import { BLOCK_SIZE, isMultiple, roundUp } from '../base/units.ts'
import { bytes, struct, u16, u32, u64 } from './struct.ts'

/**
 * The log ring: one file per aggregate and node, the same bytes on the owner, on the keeper and in
 * the vault on disk.
 *
 *   page 0         header: who this ring belongs to; written once per incarnation
 *   page 1, 2      marks: what may have been acknowledged; written in turn, so one is always whole
 *   page 3         the header again: with it alone, a flipped bit would make the only copy of a log unknown
 *   descriptors    64 bytes each; entry `sequence` lies at index `sequence mod descriptorCount`
 *   checksums      u32 each: CRC32C of each data page
 *   pages          4 KiB each: the data. An entry's pages are consecutive and never wrap
 */
export const logRingVersions = [{ version: 1, why: 'first format' }] as const
export const LOG_RING_VERSION = logRingVersions[0].version

export const LOG_RING_MAGIC = 0x52_58_4c_50 // 'PLXR'
export const LOG_MARKS_MAGIC = 0x4d_58_4c_50 // 'PLXM'
export const LOG_ENTRY_MAGIC = 0x45_58_4c_50 // 'PLXE'

export const LogRingHeader = struct('LogRingHeader', 128, {
  magic: u32,
  version: u32,
  seal: u32,
  descriptorCount: u32,
  pageCount: u32,
  reserved: u32,
  /** random, new whenever the ring is made or emptied: a ring that lost its memory is not the old one */
  incarnation: bytes(16),
  aggregate: bytes(16),
  pair: bytes(16),
  node: bytes(16),
  rest: bytes(40),
})

/** Written before an acknowledgement leaves: on the owner to the client, on the keeper to the owner. */
export const LogMarks = struct('LogMarks', 64, {
  magic: u32,
  version: u32,
  seal: u32,
  /** of the two marks, the higher counter counts */
  counter: u32,
  /** the epoch in which this copy was last known to be complete */
  epoch: u32,
  /**
   * 1: complete from `base` to `acknowledged` for the epoch; 0: being filled, not usable for takeover.
   * In the vault also 2: suspended, since promises rest on the memory of two nodes
   */
  complete: u32,
  /** entries before this sequence were never in this copy */
  base: u64,
  /** every entry up to here may have been acknowledged: one that does not check is damage */
  acknowledged: u64,
  rest: bytes(24),
})

export const LogEntry = struct('LogEntry', 64, {
  magic: u32,
  /** CRC32C of the bytes from `epoch` on, continued over the checksums of its data pages */
  seal: u32,
  epoch: u32,
  kind: u16,
  flags: u16,
  sequence: u64,
  volume: u32,
  /** the generation that the next consistency point had when the entry was logged */
  generation: u32,
  /** in bytes, as the client asked */
  offset: u64,
  length: u64,
  firstPage: u32,
  pageCount: u32,
  /** the client's NBD cookie, opaque */
  cookie: bytes(8),
})

/** Where the sealed part of an entry begins, and how long it is without the checksums. */
export const ENTRY_SEALED_FROM = LogEntry.at.epoch
export const ENTRY_SEALED_BYTES = LogEntry.byteLength - ENTRY_SEALED_FROM

/** Block changes are below 16, requests to the server from 16 on; both replay through the same code. */
export const EntryKind = {
  WRITE: 1,
  WRITE_ZEROES: 2,
  TRIM: 3,
  CREATE: 16,
  DELETE: 17,
  RESIZE: 18,
  RENAME: 19,
  /** changes nothing: closes a hole, or marks a change of owner */
  NOTHING: 32,
} as const

export const entryKindNames: Record<number, string> = {
  [EntryKind.WRITE]: 'write',
  [EntryKind.WRITE_ZEROES]: 'write-zeroes',
  [EntryKind.TRIM]: 'trim',
  [EntryKind.CREATE]: 'create',
  [EntryKind.DELETE]: 'delete',
  [EntryKind.RESIZE]: 'resize',
  [EntryKind.RENAME]: 'rename',
  [EntryKind.NOTHING]: 'nothing',
}

export const ENTRY_FLAG_FUA = 1
export const ENTRY_FLAG_NO_HOLE = 2

/** No log comes to so many entries, and up to here their numbers are exact, and those next to them. */
export const SEQUENCE_MAX = 2 ** 52

/** Most data pages of one entry; longer writes become several entries. */
export const ENTRY_PAGES_MAX = 64

/** The data page of a CREATE, RESIZE or RENAME entry. */
export const VolumeRequest = struct('VolumeRequest', 160, {
  /** bytes: the size for CREATE and RESIZE */
  size: u64,
  nameByteLength: u32,
  reserved: u32,
  /** the new name for CREATE and RENAME, UTF-8 */
  name: bytes(128),
  /** CREATE: the identity of the new volume */
  identity: bytes(16),
})

export interface LogLayout {
  readonly descriptorCount: number
  readonly pageCount: number
  readonly descriptorsAt: number
  readonly checksumsAt: number
  readonly pagesAt: number
  readonly byteLength: number
}

export const LOG_PAGES_MIN = 256
export const HEADERS_AT = [0, 3 * BLOCK_SIZE] as const
export const MARKS_AT = [BLOCK_SIZE, 2 * BLOCK_SIZE] as const

/**
 * The vault has room for two copies of the ring. Owners take turns: a new one fills the copy that is not
 * the newest complete one, so neither its crash nor a late write of the one before costs what was promised.
 */
export const VAULT_HALVES = 2

/** How large the vault of a ring is; each half begins on a page. */
export const vaultByteLengthOf = (layout: LogLayout): number => VAULT_HALVES * layout.byteLength

/** The ring for a power-of-two number of data pages; there is a descriptor for each page. */
export function logLayout(pageCount: number): LogLayout {
  assert(pageCount >= LOG_PAGES_MIN && Number.isInteger(Math.log2(pageCount)), 'a ring has 2^n pages')
  const descriptorsAt = 4 * BLOCK_SIZE
  const checksumsAt = descriptorsAt + pageCount * LogEntry.byteLength
  const pagesAt = roundUp(checksumsAt + pageCount * 4, BLOCK_SIZE)
  assert(isMultiple(checksumsAt, BLOCK_SIZE), 'the checksums begin on a page')
  const byteLength = pagesAt + pageCount * BLOCK_SIZE
  return { descriptorCount: pageCount, pageCount, descriptorsAt, checksumsAt, pagesAt, byteLength }
}
