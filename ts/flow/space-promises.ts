import { BLOCK_SIZE } from '../base/units.ts'
import { EntryKind } from '../format/log-ring.ts'
import type { LogRing } from '../log/ring.ts'
import type { Volume } from '../volume/directory.ts'
import type { Image } from '../volume/image.ts'
import { worstCaseBlocks } from '../volume/space.ts'

/** Blocks a request to the server dirties at worst: a block of the directory, its tree, a grown root path. */
export const DIRECTORY_BLOCKS = 12

/**
 * Disk space promised to the changes that no consistency point has written yet. It is reserved before a
 * change is logged, for the worst case, so that ENOSPC never follows an acknowledgement.
 */
export class SpacePromises {
  readonly #image: Image
  /** blocks promised to changes that the next consistency point freezes, and to those it has frozen */
  #active = 0
  #frozen = 0

  constructor(image: Image) {
    this.#image = image
  }

  /** For a change of `pages` blocks; one without data frees space and may use what is kept from others. */
  forChange(volume: Volume, firstBlock: number, pages: number): boolean {
    const height = Math.max(volume.height, volume.heightNeeded)
    if (pages > 0) return this.blocks(worstCaseBlocks(firstBlock, pages, height), false)
    return this.blocks(2 * height, true)
  }

  blocks(count: number, frees: boolean): boolean {
    const { space } = this.#image
    const reserved = frees ? space.reserveForFreeing(count) : space.reserve(count)
    if (reserved) this.#active += count
    return reserved
  }

  /** What a logged entry was promised when it was logged, it is promised again. */
  forReplay(ring: LogRing, sequence: number): void {
    const kind = ring.kind(sequence)
    if (kind === EntryKind.NOTHING) return
    const pages = ring.pageCount(sequence)
    const height = this.#image.directory.get(ring.volume(sequence))?.heightNeeded ?? 0
    const first = Math.floor(ring.offset(sequence) / BLOCK_SIZE)
    const forBlocks = pages > 0 ? worstCaseBlocks(first, pages, height) : 2 * height
    const count = kind >= EntryKind.CREATE ? DIRECTORY_BLOCKS : forBlocks
    this.#image.space.reserveAlways(count)
    this.#active += count
  }

  freeze(): void {
    this.#frozen = this.#active
    this.#active = 0
  }

  /** What was frozen is on disk: the space it took is accounted for there. */
  kept(): void {
    this.#image.space.release(this.#frozen)
    this.#frozen = 0
  }
}
