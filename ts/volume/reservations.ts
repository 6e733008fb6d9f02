import { assert } from '../base/assert.ts'

/**
 * Promises of free space. An entry reserves its worst case when it is logged; the consistency point
 * that it belongs to spends the promises that were frozen with it, and ends them.
 */
export class Reservations {
  /** promised to entries that the next consistency point will write */
  active = 0
  /** promised to the consistency point that runs */
  frozen = 0
  /** taken by the consistency point that runs */
  spent = 0
  /** every consistency point may write the volume directory anew */
  overhead = 0
  isFrozen = false

  /** Free blocks that must stay free for what has been promised. */
  get total(): number {
    return this.active + this.overhead + Math.max(0, this.frozen - this.spent)
  }

  freeze(): void {
    assert(!this.isFrozen, 'one consistency point at a time')
    this.isFrozen = true
    this.frozen = this.active + this.overhead
    this.active = 0
    this.spent = 0
  }

  /** The consistency point is on disk. */
  end(): void {
    this.isFrozen = false
    this.frozen = 0
    this.spent = 0
  }

  release(blocks: number): void {
    assert(blocks <= this.active, 'only what was reserved is released')
    this.active -= blocks
  }
}
