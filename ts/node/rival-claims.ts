/** A claim is over when nothing was heard of it for so long. */
const SILENCE_MS = 10_000
/** So many are told apart: whoever makes them up does not run out of them. */
const MACS_MAX = 100
const MACS_SHOWN = 3

/** Other hosts that claim an address: all of them from the first claim to a silence are one episode. */
export class RivalClaims {
  readonly #macs = new Set<string>()
  #heardMs = 0

  /** Returns whether an episode begins. */
  hear(nowMs: number, macs: readonly string[]): boolean {
    if (macs.length === 0) return false
    const isFirst = this.#macs.size === 0
    this.#heardMs = nowMs
    for (const mac of macs) if (this.#macs.size < MACS_MAX) this.#macs.add(mac)
    return isFirst
  }

  /** Forgets an episode, and returns whether there was one that is over. */
  hasEnded(nowMs: number): boolean {
    if (this.#macs.size === 0 || nowMs - this.#heardMs < SILENCE_MS) return false
    this.forget()
    return true
  }

  forget(): void {
    this.#macs.clear()
  }

  /** Their hardware, in words; empty: there are none. */
  get text(): string {
    const shown = [...this.#macs].slice(0, MACS_SHOWN).join(', ')
    const more = this.#macs.size - MACS_SHOWN
    if (more <= 0) return shown
    return `${shown} and ${this.#macs.size === MACS_MAX ? 'at least ' : ''}${more} more`
  }
}
