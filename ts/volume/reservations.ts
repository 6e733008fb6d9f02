import { assert } from '../base/assert.ts'

/**
 * Promises of free space. An entry reserves its worst case when it is logged; whoever reserved it
 * releases it when the consistency point that wrote the entry is on disk.
 */
export class Reservations {
  /** promised to entries that are not on disk yet */
  promised = 0
  /** of that, taken already by the consistency point that runs */
  spent = 0
  /** what the consistency point that runs may take */
  budget = 0
  /** every consistency point may write the volume directory anew */
  overhead = 0

  /** Free blocks that must stay free for what has been promised. */
  get total(): number {
    return Math.max(0, this.promised - this.spent) + this.overhead
  }

  /** The changes of the next consistency point are settled. */
  freeze(): void {
    this.budget = this.promised + this.overhead
    this.spent = 0
  }

  release(blocks: number): void {
    assert(blocks <= this.promised, 'only what was reserved is released')
    this.promised -= blocks
  }
}
