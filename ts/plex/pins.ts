/**
 * Blocks that are being copied from one plex to another, by the generation that reaches them. What the two
 * newest generations reach is never overwritten, so such a copy harms nothing as long as no later consistency
 * point uses the places of its blocks again: that one waits.
 */
export class Pins {
  readonly #generations: number[] = []

  pin(generation: number): void {
    this.#generations.push(generation)
  }

  unpin(generation: number): void {
    this.#generations.splice(this.#generations.indexOf(generation), 1)
  }

  /** Whether the consistency point after the generation `published` may write to blocks that are free. */
  mayOverwrite(published: number): boolean {
    for (const generation of this.#generations) if (generation < published) return false
    return true
  }
}

/** A generation before all: for blocks of which only the content is known. */
export const ANY_GENERATION = -1
