import type { ArbiterPort } from '../ports/arbiter.ts'

/**
 * Until when engines of this process own what they serve, as far as the arbiter has said so to this thread.
 * An engine that hangs says nothing at all, and least of all that it serves no more.
 */
export class LeaseWatch {
  readonly #validMs: number
  readonly #nowMs: () => number
  readonly #endsMs = new Map<string, number>()
  readonly #newest = new Map<string, object>()

  /** `validMs`: how long a lease counts here after its swap was sent. */
  constructor(validMs: number, nowMs: () => number) {
    this.#validMs = validMs
    this.#nowMs = nowMs
  }

  /** Before any swap, and after one that gives the lease away: it has ended long ago. */
  endMs(aggregate: string): number {
    return this.#endsMs.get(aggregate) ?? Number.NEGATIVE_INFINITY
  }

  /** The same arbiter. `boot`: what leases of this process are known by. */
  through(arbiter: ArbiterPort, boot: string): ArbiterPort {
    return {
      read: (aggregate, done) => arbiter.read(aggregate, done),
      swap: (aggregate, expected, next, done) => {
        const sentMs = this.#nowMs()
        const isOurs = next.lease?.boot === boot
        const swap = {}
        this.#newest.set(aggregate, swap)
        // whoever comes next may serve as soon as this is applied, answered or not
        if (!isOurs) this.#endsMs.delete(aggregate)
        arbiter.swap(aggregate, expected, next, (answer) => {
          const isNews = isOurs && answer.kind === 'swapped' && this.#newest.get(aggregate) === swap
          if (isNews) this.#endsMs.set(aggregate, sentMs + this.#validMs)
          done(answer)
        })
      },
    }
  }
}
