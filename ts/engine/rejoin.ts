import type { Ownership } from '../ha/ownership.ts'
import type { HostPort } from '../ports/host.ts'
import type { LogHealth } from './log-health.ts'

const REJOIN_AFTER_MS = 100

/** After a fence everything was let go of; a moment later this node comes back as a keeper. */
export class Rejoin {
  /** when it comes back; infinity while it is not fenced */
  atMs = Number.POSITIVE_INFINITY
  readonly #ownership: Ownership
  readonly #health: LogHealth
  readonly #host: HostPort

  constructor(ownership: Ownership, health: LogHealth, host: HostPort) {
    this.#ownership = ownership
    this.#health = health
    this.#host = host
  }

  step(nowMs: number): void {
    const ownership = this.#ownership
    if (ownership.state !== 'fenced') {
      this.atMs = Number.POSITIVE_INFINITY
    } else if (this.atMs === Number.POSITIVE_INFINITY) {
      this.atMs = nowMs + REJOIN_AFTER_MS
      const text = `this node was fenced: ${ownership.reason}; it writes nothing more as owner`
      this.#host.event('error', 'fenced', text)
    } else if (nowMs >= this.atMs) {
      this.atMs = Number.POSITIVE_INFINITY
      // its copy of the log is as good as before, until the new owner says in the record that it is not
      ownership.rejoin(nowMs, this.#health.facts())
    }
  }
}
