import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Random } from './random.ts'
import { forEachBlock, type VolumeModel } from './volume-model.ts'

/** A block that so many changes may have reached in so many orders is left alone until it is read. */
const PENDING_MAX = 3
const WAYS_MAX = 6

/** Where a request goes: mostly whole blocks, sometimes any bytes. */
export function drawRange(random: Random, byteLength: number): [offset: number, length: number] {
  const blockCount = byteLength / BLOCK_SIZE
  if (random.chance(0.75)) {
    const count = 1 + random.below(random.chance(0.1) ? 80 : 4)
    const first = random.below(blockCount)
    return [first * BLOCK_SIZE, Math.min(count, blockCount - first) * BLOCK_SIZE]
  }
  const unit = random.chance(0.5) ? 512 : 1
  const offset = random.below(byteLength / unit) * unit
  return [offset, Math.min((1 + random.below(10000 / unit)) * unit, byteLength - offset)]
}

/** Whether too much is open about some block of the range for one more change. */
export function isCrowded(model: VolumeModel, offset: number, length: number): boolean {
  let crowded = false
  forEachBlock(offset, length, (number) => {
    const block = model.block(number)
    crowded ||= block.pendingCount >= PENDING_MAX || block.wayCount >= WAYS_MAX
  })
  return crowded
}
