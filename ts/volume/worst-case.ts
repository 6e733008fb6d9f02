import { POINTERS_SHIFT } from '../format/block-pointer.ts'

/** Blocks of a tree, of pointers, that lie above `blockCount` data blocks, at most. */
function pathBlocks(firstBlock: number, blockCount: number, height: number): number {
  const last = firstBlock + blockCount - 1
  let blocks = 0
  let reach = 1
  for (let level = 1; level <= height; level += 1) {
    reach *= 2 ** POINTERS_SHIFT
    blocks += Math.floor(last / reach) - Math.floor(firstBlock / reach) + 1
  }
  return blocks
}

/** What writing these blocks of a volume can take from the free space, at most: to reserve when it is logged. */
export function worstCaseBlocks(firstBlock: number, blockCount: number, height: number): number {
  return blockCount === 0 ? 0 : blockCount + pathBlocks(firstBlock, blockCount, height)
}

/** The same for zeroing or trimming: only the paths at both ends are written again. */
export function worstCaseFreeing(blockCount: number, height: number): number {
  return blockCount === 0 ? 0 : Math.min(2, blockCount) * height
}
