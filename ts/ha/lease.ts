import type { OwnerRecord } from '../format/owner-record.ts'
import type { Register } from './register.ts'

type LeaseWords = NonNullable<OwnerRecord['lease']>

/** Judges leases by this node's own clock. */
export class Lease {
  readonly #register: Register
  readonly #boot: string
  readonly #durationMs: number
  readonly #marginMs: number

  constructor(register: Register, boot: string, durationMs: number, marginMs: number) {
    this.#register = register
    this.#boot = boot
    this.#durationMs = durationMs
    this.#marginMs = marginMs
  }

  /** When our own lease ends: counted from before the renewing swap was sent, and earlier by the margin. */
  get fenceAtMs(): number {
    return this.#register.ownSwapSentMs + this.#durationMs - this.#marginMs
  }

  get renewAtMs(): number {
    return this.#register.ownSwapSentMs + this.#durationMs / 4
  }

  /** When another's lease is over unless renewed: counted from when it was seen, later by the margin. */
  get othersEndMs(): number {
    const lease = this.#register.known?.lease
    return lease ? this.#register.seenAtMs + lease.durationMs + this.#marginMs : 0
  }

  /** Whether nobody serves by the known record: given up, its process gone, over, or our own from before. */
  isDead(now: number): boolean {
    const lease = this.#register.known?.lease
    if (!lease || this.#register.holderGone || lease.boot === this.#boot) return true
    return now >= this.othersEndMs
  }

  /** The words of a new lease; each renewal counts on. */
  words(node: string): LeaseWords {
    const before = this.#register.isLeaseOurs ? (this.#register.known?.lease?.counter ?? 0) : 0
    return { holder: node, boot: this.#boot, durationMs: this.#durationMs, counter: before + 1 }
  }
}
