import { bytes, struct, u32, u64 } from './struct.ts'

/**
 * The root of one generation. Slots on every disk of a plex are chosen by epoch and generation
 * (`superblockSlot`), so that neither a torn write nor a late writer of an older epoch can hit the
 * newest root.
 */
export const superblockVersions = [{ version: 1, why: 'first format' }] as const
export const SUPERBLOCK_VERSION = superblockVersions[0].version
export const SUPERBLOCK_MAGIC = 0x53_58_4c_50 // 'PLXS'

export const SUPERBLOCK_SLOTS = 16
/** Index blocks of the free map that fit into a superblock; each stands for 512 map blocks. */
export const MAP_INDEX_ENTRIES_MAX = 256

export const Superblock = struct('Superblock', 4096, {
  magic: u32,
  version: u32,
  seal: u32,
  slot: u32,
  pair: bytes(16),
  aggregate: bytes(16),
  disk: bytes(16),
  /** who wrote it */
  node: bytes(16),
  epoch: u32,
  generation: u32,
  /** the last log entry that this generation contains: replay applies exactly those after it */
  lastSequence: u64,
  /** a digest of lastSequence's generation: CRC32C over directory root and map index */
  root: u32,
  nextVolume: u32,
  /** pointer to the top block of the volume directory, and the height of its tree */
  directory: bytes(16),
  directoryHeight: u32,
  directoryBlocks: u32,
  blockCount: u64,
  usedBlocks: u64,
  /**
   * What this generation knows of each plex: 0 in sync, 1 stale, 2 being filled. On the disks of a plex
   * that is being filled, a superblock says so of its own plex: nothing is opened with it.
   */
  plex0: u32,
  plex1: u32,
  mapIndexCount: u32,
  /** the block at which the sweep for free space of the next generation begins */
  cursor: u32,
  writtenAtMs: u64,
  /** per index block of the free map: CRC32C and side (0 or 1) */
  mapIndex: bytes(MAP_INDEX_ENTRIES_MAX * 8),
  /** per plex that is not in sync: the last generation of which it has everything; 0: of none */
  base0Epoch: u32,
  base0Generation: u32,
  base1Epoch: u32,
  base1Generation: u32,
  rest: bytes(1864),
})

/** What a generation knows of a plex. */
export const plexWord = (superblock: { plex0: number; plex1: number }, plex: number): number =>
  plex === 0 ? superblock.plex0 : superblock.plex1

export const PLEX_IN_SYNC = 0
export const PLEX_STALE = 1
export const PLEX_FILLING = 2

export function superblockSlot(epoch: number, generation: number): number {
  return ((epoch & 7) << 1) | (generation & 1)
}
