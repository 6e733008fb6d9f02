import { bytes, struct, text, u16, u32, u64 } from './struct.ts'

/**
 * What partners say to each other about one aggregate, over one TCP connection. Every frame is a
 * header of 64 bytes and a payload. HELLO's layout is frozen: any version can read any other's.
 */
export const linkVersions = [{ version: 1, why: 'first format' }] as const
export const LINK_VERSION = linkVersions[0].version
export const LINK_MAGIC = 0x4b_58_4c_50 // 'PLXK'

export const LinkFrame = struct('LinkFrame', 64, {
  magic: u32,
  /** CRC32C of the rest of the header; entries have seals of their own, other payloads `payloadSeal` */
  seal: u32,
  kind: u16,
  version: u16,
  payloadByteLength: u32,
  epoch: u32,
  payloadSeal: u32,
  /** ENTRIES: first of the batch; ACKNOWLEDGE: received through; RELEASE: on the disks through */
  sequence: u64,
  /** ENTRIES: number of entries; others: see the kind */
  count: u32,
  firstPage: u32,
  pageCount: u32,
  /** RELEASE: generation of the superblock; ACKNOWLEDGE, HEARTBEAT: counter that is echoed */
  generation: u32,
  /** incarnation of the sender's ring: an acknowledgement of another incarnation counts for nothing */
  incarnation: bytes(16),
})

export const FRAME_SEALED_FROM = LinkFrame.at.kind

export const FrameKind = {
  HELLO: 1,
  /** refusal of a hello or the end of a session; payload: reason, UTF-8 */
  GOODBYE: 2,
  /** payload: descriptors, then checksums of the pages, then pages, exactly as in the ring */
  ENTRIES: 3,
  ACKNOWLEDGE: 4,
  RELEASE: 5,
  HEARTBEAT: 6,
  /** owner to keeper: your copy starts afresh at `sequence`, in this epoch */
  BASE: 7,
  /** owner to keeper: the record names you owner now. `count`: 1 if the sender stays, and keeps your log */
  HANDOVER: 8,
  /** owner to keeper: open the disks of the plex on your host. `count`: slot, which the answer names */
  DISK_OPEN: 9,
  /** `firstPage`: which disk; `sequence`: byte offset; `pageCount`: blocks */
  DISK_READ: 10,
  /** the same; payload: for each block the page of the ring that has it, or NO_PAGE; then the other blocks */
  DISK_WRITE: 11,
  /** `firstPage`: which disk */
  DISK_FLUSH: 12,
  /** keeper to owner: `count`: slot; `generation`: 0 or errno; payload: what was read, or the opened disks */
  DISK_DONE: 13,
} as const

/** In the payload of DISK_WRITE: the block is not in the log, it follows. */
export const NO_PAGE = 0xffff_ffff
/** Blocks of one DISK_READ or DISK_WRITE. */
export const DISK_BLOCKS_MAX = 128
/** Requests to the disks of a remote plex that are under way at once. */
export const DISK_SLOTS = 32

/** Payload of the answer to DISK_OPEN, one for each disk. */
export const OpenedDisk = struct('OpenedDisk', 280, {
  byteLength: u64,
  /** by its label; zeroes: it has none */
  disk: bytes(16),
  path: text(256),
})

export const LinkHello = struct('LinkHello', 448, {
  pair: bytes(16),
  aggregate: bytes(16),
  node: bytes(16),
  boot: bytes(16),
  nodeName: text(64),
  aggregateName: text(64),
  logRingVersion: u32,
  superblockVersion: u32,
  pageCount: u32,
  /** 0 nothing usable, 1 a ring being filled, 2 a complete one */
  logState: u32,
  /** 0 keeper, 1 owner */
  role: u32,
  epoch: u32,
  lastSequence: u64,
  incarnation: bytes(16),
  rest: bytes(208),
})

/** Longest payload of a frame: a batch of entries. A receive buffer holds one frame and more. */
export const FRAME_PAYLOAD_MAX = 1024 * 1024
