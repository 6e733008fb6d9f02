/**
 * What one consistency point writes: the frozen index of the log, as the consistency point sees it.
 */
export interface FrozenChanges {
  /** the last log entry whose changes are in here */
  readonly lastSequence: number
  /** changed blocks, sorted by volume and block; newest content of each, after all zero ranges */
  readonly count: number
  readonly volumes: Uint32Array
  readonly blocks: Uint32Array
  /** ring page that holds the block, or -1: the block is zero */
  readonly pages: Int32Array
  pageAddress(page: number): number
  pageChecksum(page: number): number
  /** ranges of blocks of a volume to punch before its blocks are applied: sorted, disjoint */
  zeroRanges(volume: number): readonly { readonly first: number; readonly end: number }[]
  /** volumes that have blocks or ranges, ascending */
  touchedVolumes(): readonly number[]
}
