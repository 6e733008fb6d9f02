import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { heightFor } from '../../ts/format/block-pointer.ts'
import { reachOf } from '../../ts/volume/tree.ts'

/**
 * Blocks of a volume that one consistency point writes for each of so many random writes of a block: what is
 * hit several times is written once, be it data or a pointer block above.
 */
export function blocksPerWrite(byteLength: number, writes: number): number {
  const blocks = byteLength / BLOCK_SIZE
  let written = 0
  for (let level = 0; level <= heightFor(blocks); level += 1)
    written += hit(Math.ceil(blocks / reachOf(level)), writes)
  return written / writes
}

/** How many of some places are hit at least once, on average. */
function hit(places: number, times: number): number {
  return -places * Math.expm1(times * Math.log1p(-1 / places))
}
