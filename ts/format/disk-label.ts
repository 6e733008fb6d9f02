import { bytes, struct, text, u32, u64 } from './struct.ts'

/** The label: the first and the last 4 KiB of every disk. Magic and version never move. */
export const diskLabelVersions = [{ version: 1, why: 'first format' }] as const
export const DISK_LABEL_VERSION = diskLabelVersions[0].version
export const DISK_LABEL_MAGIC = 0x4c_58_4c_50 // 'PLXL'

export const DiskLabel = struct('DiskLabel', 512, {
  magic: u32,
  version: u32,
  seal: u32,
  blockSize: u32,
  pair: bytes(16),
  aggregate: bytes(16),
  disk: bytes(16),
  aggregateName: text(64),
  /** which plex of the aggregate, and which disk of how many in it */
  plex: u32,
  diskIndex: u32,
  diskCount: u32,
  reserved: u32,
  /** bytes that are laid out: the whole disk as it was labelled, or as much as its mirror has */
  byteLength: u64,
  /** zones, in bytes from the start of the disk; see disk/zones.ts */
  superblocksAt: u64,
  mapIndexAt: u64,
  mapAt: u64,
  vaultAt: u64,
  vaultByteLength: u64,
  blocksAt: u64,
  /** 4 KiB blocks in the blocks zone */
  blockCount: u64,
  labelledAtMs: u64,
  rest: bytes(296),
})
