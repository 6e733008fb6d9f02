import type { Plex } from '../plex/plex.ts'
import { Backoff } from './backoff.ts'

const BACKOFF = { firstMs: 200, maxMs: 4000, forgivenAfterMs: 20_000 }

/**
 * A disk that failed a write or a flush refuses all others (disk/guarded-disk.ts), because nobody knows
 * what of them it holds. It may be written again when everybody who wrote to it has given up what was
 * under way, and will write all of it anew: a consistency point from its frozen changes, the vault from
 * the last entry that is durable. So a failure that passes costs time, and nothing else.
 */
export class Readmission {
  count = 0
  #dueMs = Number.POSITIVE_INFINITY
  readonly #backoff = new Backoff(BACKOFF)
  readonly #plex: Plex

  constructor(plex: Plex) {
    this.#plex = plex
  }

  /** `mayReadmit`: nobody has writes or flushes under way. */
  step(nowMs: number, mayReadmit: boolean): void {
    if (this.#plex.failure === undefined) return
    if (this.#dueMs === Number.POSITIVE_INFINITY) this.#dueMs = nowMs + this.#backoff.failed(nowMs)
    if (nowMs < this.#dueMs || !mayReadmit) return
    this.#dueMs = Number.POSITIVE_INFINITY
    this.#backoff.good(nowMs)
    this.count += 1
    for (const { disk } of this.#plex.disks) disk.readmit()
  }

  /** When a disk may be readmitted at the earliest; a completion has to come first if that is in the past. */
  nextWakeMs(nowMs: number): number {
    return this.#dueMs > nowMs ? this.#dueMs : Number.POSITIVE_INFINITY
  }
}
