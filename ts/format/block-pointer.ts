import { BLOCK_SIZE } from '../base/units.ts'

/**
 * A block pointer: 16 bytes as four u32. A pointer of zeroes is a hole.
 * Everything in an aggregate is reached, and checked, through one.
 */
export const POINTER_WORDS = 4
export const POINTER_BYTES = 16
export const POINTERS_PER_BLOCK = BLOCK_SIZE / POINTER_BYTES
export const POINTERS_SHIFT = 8

/** Words of a pointer. `PHYSICAL` counts 4 KiB blocks from the start of the aggregate's block space. */
export const PHYSICAL = 0
export const FLAGS = 1
export const BIRTH = 2
export const CHECKSUM = 3

export const POINTER_PRESENT = 1

/** No tree is higher: with this height every block number has its place. */
export const TREE_HEIGHT_MAX = 4

/** Height 0: the root pointer is the data block itself; each level multiplies by 256. */
export function heightFor(blockCount: number): number {
  let height = 0
  for (let reach = 1; reach < blockCount; reach *= POINTERS_PER_BLOCK) height += 1
  return height
}
