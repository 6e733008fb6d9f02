import { assert } from '../base/assert.ts'
import type { Gather } from '../base/gather.ts'

/** Makes `into` the bytes [from, from + byteLength) of what `source` describes. */
export function sliceGather(source: Gather, from: number, byteLength: number, into: Gather): void {
  assert(from + byteLength <= source.byteLength, 'a slice lies within its gather list')
  into.clear()
  let skip = from
  let left = byteLength
  for (let piece = 0; piece < source.count && left > 0; piece += 1) {
    const length = source.lengths[piece]!
    if (skip >= length) {
      skip -= length
      continue
    }
    const take = Math.min(length - skip, left)
    into.add(source.addresses[piece]! + skip, take)
    left -= take
    skip = 0
  }
}
