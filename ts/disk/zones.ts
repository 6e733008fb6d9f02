import { StoreError } from '../base/errors.ts'
import { BLOCK_SIZE, isMultiple, MIB, roundDown, roundUp } from '../base/units.ts'
import {
  AGGREGATE_BLOCKS_MAX,
  BITS_PER_MAP_BLOCK,
  mapBlocksFor,
  mapIndexBlocksFor,
} from '../format/free-map.ts'
import { MAP_INDEX_ENTRIES_MAX } from '../format/superblock.ts'

/** Zones of a fixed size at both ends of a disk. */
export const LABEL_ZONE_BYTES = MIB
export const SUPERBLOCK_ZONE_BYTES = MIB
export const TAIL_ZONE_BYTES = MIB

/**
 * Where everything is on one disk:
 *
 *   label         1 MiB; the label in its first 4 KiB
 *   superblocks   1 MiB; 16 slots of 4 KiB, and the same again in the second half
 *   map index     two sides
 *   map           two sides
 *   vault         the log ring's bytes, on the first disk of a plex
 *   blocks        everything that a superblock reaches
 *   tail          1 MiB; the second label in its last 4 KiB
 */
export interface DiskZones {
  readonly byteLength: number
  readonly superblocksAt: number
  readonly mapIndexAt: number
  readonly mapAt: number
  readonly vaultAt: number
  readonly vaultByteLength: number
  readonly blocksAt: number
  readonly blockCount: number
}

/** Fewer blocks than this are not worth an aggregate. */
const BLOCKS_MIN = 1024
/** The free map of each disk consists of whole words. */
const BLOCKS_MULTIPLE = 32

/** Lays out a disk. Throws DISK_TOO_SMALL, naming what is there and what is needed. */
export function layOutZones(path: string, diskByteLength: number, vaultByteLength: number): DiskZones {
  const byteLength = roundDown(diskByteLength, BLOCK_SIZE)
  const minimum = minimumDiskByteLength(vaultByteLength)
  if (byteLength < minimum) {
    throw new StoreError(
      'DISK_TOO_SMALL',
      `${path} has ${diskByteLength} bytes, and at least ${minimum} are needed; ` +
        'take a larger disk or a smaller log',
    )
  }
  const mapIndexAt = LABEL_ZONE_BYTES + SUPERBLOCK_ZONE_BYTES
  const wholeDisk = byteLength / BLOCK_SIZE
  const mapAt = mapIndexAt + 2 * mapIndexBlocksFor(wholeDisk) * BLOCK_SIZE
  const vaultAt = roundUp(mapAt + 2 * mapBlocksFor(wholeDisk) * BLOCK_SIZE, MIB)
  const vaultBytes = roundUp(vaultByteLength, BLOCK_SIZE)
  const blocksAt = roundUp(vaultAt + vaultBytes, MIB)
  const room = (byteLength - TAIL_ZONE_BYTES - blocksAt) / BLOCK_SIZE
  return {
    byteLength,
    superblocksAt: LABEL_ZONE_BYTES,
    mapIndexAt,
    mapAt,
    vaultAt,
    vaultByteLength: vaultBytes,
    blocksAt,
    blockCount: roundDown(Math.min(Math.floor(room), AGGREGATE_BLOCKS_MAX), BLOCKS_MULTIPLE),
  }
}

/** The smallest disk that can be laid out with a vault of this size. */
export function minimumDiskByteLength(vaultByteLength: number): number {
  const maps = MIB
  const blocks = BLOCKS_MIN * BLOCK_SIZE
  const fixed = LABEL_ZONE_BYTES + SUPERBLOCK_ZONE_BYTES + maps + TAIL_ZONE_BYTES
  return fixed + roundUp(vaultByteLength, MIB) + roundUp(blocks, MIB)
}

/** What is wrong with zones that were read from a disk; undefined if nothing is. */
export function zonesMistake(zones: DiskZones): string | undefined {
  const places = [zones.superblocksAt, zones.mapIndexAt, zones.mapAt, zones.vaultAt, zones.blocksAt]
  const lengths = [zones.byteLength, zones.vaultByteLength]
  if (![...places, ...lengths].every((place) => isMultiple(place, BLOCK_SIZE))) return 'a zone is not aligned'
  if (places.some((place, index) => index > 0 && place < places[index - 1]!)) return 'zones are out of order'
  if (zones.superblocksAt < BLOCK_SIZE) return 'the superblocks overlap the label'
  if (zones.mapIndexAt - zones.superblocksAt < SUPERBLOCK_ZONE_BYTES) return 'the superblocks have no room'
  if (!isMultiple(zones.blockCount, BLOCKS_MULTIPLE) || zones.blockCount === 0)
    return 'its block count is odd'
  if (zones.blockCount > AGGREGATE_BLOCKS_MAX) return 'it has more blocks than can be counted'
  if (zones.mapAt - zones.mapIndexAt < 2 * mapIndexBlocksFor(zones.blockCount) * BLOCK_SIZE)
    return 'short map index'
  if (zones.vaultAt - zones.mapAt < 2 * mapBlocksFor(zones.blockCount) * BLOCK_SIZE) return 'short map'
  if (zones.blocksAt - zones.vaultAt < zones.vaultByteLength) return 'the vault has no room'
  const end = zones.blocksAt + zones.blockCount * BLOCK_SIZE
  return end > zones.byteLength - BLOCK_SIZE ? 'the blocks reach beyond the disk' : undefined
}

export const tailLabelAt = (byteLength: number): number => roundDown(byteLength, BLOCK_SIZE) - BLOCK_SIZE

export function mapBlockAt(zones: DiskZones, side: number, mapBlock: number): number {
  return zones.mapAt + (side * mapBlocksFor(zones.blockCount) + mapBlock) * BLOCK_SIZE
}

export function mapIndexBlockAt(zones: DiskZones, side: number, indexBlock: number): number {
  return zones.mapIndexAt + (side * mapIndexBlocksFor(zones.blockCount) + indexBlock) * BLOCK_SIZE
}

/** Blocks [first, end) of a plex. */
export interface BlockRange {
  readonly first: number
  readonly end: number
}

/**
 * Which blocks of a plex lie on each of its disks: one behind the other, each from a multiple of a map
 * block's reach on, so that each has map blocks of its own. A disk that is added moves nothing.
 */
export function blockRanges(disks: readonly DiskZones[]): BlockRange[] {
  let next = 0
  return disks.map(({ blockCount }) => {
    const first = next
    const end = first + blockCount
    next = roundUp(end, BITS_PER_MAP_BLOCK)
    return { first, end }
  })
}

/** On how many of these disks an image of so many blocks lies; 0: it does not end where one of them does. */
export const diskCountOf = (disks: readonly DiskZones[], blockCount: number): number =>
  blockRanges(disks).findIndex(({ end }) => end === blockCount) + 1

/** Why these disks cannot be one plex; undefined: they can. */
export function spaceMistake(disks: readonly DiskZones[]): string | undefined {
  const blocks = blockRanges(disks).at(-1)?.end ?? 0
  const indexBlocks = disks.reduce((sum, { blockCount }) => sum + mapIndexBlocksFor(blockCount), 0)
  if (blocks <= AGGREGATE_BLOCKS_MAX && indexBlocks <= MAP_INDEX_ENTRIES_MAX) return undefined
  return 'they have more blocks than an aggregate can count; take fewer disks, or lay out less of them'
}
