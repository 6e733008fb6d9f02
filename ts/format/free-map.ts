import { BLOCK_SIZE } from '../base/units.ts'
import { MAP_INDEX_ENTRIES_MAX } from './superblock.ts'

/**
 * The free map: one bit per block, set = reachable from this generation. Map blocks and their index
 * blocks have two fixed places each (side 0 and 1); a consistency point writes the side not in use.
 * An index block is 512 times {CRC32C of the map block, side}.
 */
export const BITS_PER_MAP_BLOCK = BLOCK_SIZE * 8
export const MAP_ENTRIES_PER_INDEX = BLOCK_SIZE / 8
export const AGGREGATE_BLOCKS_MAX = 2 ** 32 - 1

export const mapBlocksFor = (blockCount: number): number => Math.ceil(blockCount / BITS_PER_MAP_BLOCK)
export const mapIndexBlocksFor = (blockCount: number): number =>
  Math.ceil(mapBlocksFor(blockCount) / MAP_ENTRIES_PER_INDEX)

/** The largest aggregate whose map index fits into the superblock. */
export const MAPPED_BLOCKS_MAX = MAP_INDEX_ENTRIES_MAX * MAP_ENTRIES_PER_INDEX * BITS_PER_MAP_BLOCK
