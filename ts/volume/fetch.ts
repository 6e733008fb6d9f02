import { Gather } from '../base/gather.ts'
import type { Copy } from '../plex/copies.ts'
import type { Completion } from '../ports/completion.ts'

/** Neighbours are read together up to this many blocks. */
export const FETCH_BLOCKS_MAX = 256

/** A read on its way that brings neighbours into frames of the cache. */
export class Fetch implements Completion {
  readonly gather = new Gather()
  readonly frames = new Int32Array(FETCH_BLOCKS_MAX)
  count = 0
  first = 0
  /** the one plex that is read; undefined: there is only one */
  copy: Copy | undefined
  readonly #cache: { fetched(fetch: Fetch, result: number): void }

  constructor(cache: { fetched(fetch: Fetch, result: number): void }) {
    this.#cache = cache
  }

  complete(result: number): void {
    this.#cache.fetched(this, result)
  }
}
