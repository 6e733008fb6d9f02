import { SUPERBLOCK_COPIES_AT } from '../../ts/disk/superblock.ts'
import { LABEL_ZONE_BYTES } from '../../ts/disk/zones.ts'
import { SUPERBLOCK_SLOTS } from '../../ts/format/superblock.ts'

/*
 * What the stories of promises have in common.
 */

export const block = (value: number): Uint8Array => new Uint8Array(4096).fill(value)
/** The blocks of a disk that hold superblocks. */
export const superblocks = SUPERBLOCK_COPIES_AT.flatMap((at) =>
  Array.from({ length: SUPERBLOCK_SLOTS }, (_, slot) => (LABEL_ZONE_BYTES + at) / 4096 + slot),
)
/** No consistency point comes by itself. */
export const NO_POINTS = { cpIntervalMs: 1e7, cpFillMark: 0.9 }
