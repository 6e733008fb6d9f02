/** Answer of `find`: no frame holds the block. */
export const NO_FRAME = -1

const EMPTY = 0

/**
 * physical block -> frame. Open addressing at most half full, with places moved up on removal, so
 * that looking up stays short for ever.
 */
export class FrameTable {
  /** frame + 1, or EMPTY */
  readonly #places: Int32Array
  readonly #mask: number
  readonly #physical: Uint32Array

  constructor(frameCount: number) {
    const places = 2 ** Math.ceil(Math.log2(frameCount * 2))
    this.#places = new Int32Array(places)
    this.#mask = places - 1
    this.#physical = new Uint32Array(frameCount)
  }

  find(physical: number): number {
    const places = this.#places
    let place = this.#home(physical)
    for (;;) {
      const there = places[place]!
      if (there === EMPTY) return NO_FRAME
      if (this.#physical[there - 1] === physical) return there - 1
      place = (place + 1) & this.#mask
    }
  }

  /** The block of a frame that is in the table. */
  physical(frame: number): number {
    return this.#physical[frame]!
  }

  insert(physical: number, frame: number): void {
    let place = this.#home(physical)
    while (this.#places[place] !== EMPTY) place = (place + 1) & this.#mask
    this.#places[place] = frame + 1
    this.#physical[frame] = physical
  }

  remove(frame: number): void {
    let hole = this.#home(this.#physical[frame]!)
    while (this.#places[hole] !== frame + 1) hole = (hole + 1) & this.#mask
    let place = hole
    for (;;) {
      place = (place + 1) & this.#mask
      const there = this.#places[place]!
      if (there === EMPTY) break
      const home = this.#home(this.#physical[there - 1]!)
      if (((place - home) & this.#mask) >= ((place - hole) & this.#mask)) {
        this.#places[hole] = there
        hole = place
      }
    }
    this.#places[hole] = EMPTY
  }

  #home(physical: number): number {
    const mixed = Math.imul(physical ^ (physical >>> 15), 0x2c1b3c6d)
    return (mixed ^ (mixed >>> 13)) & this.#mask
  }
}
