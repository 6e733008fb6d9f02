const EMPTY = 0
const FILL_MAX = 0.6

/** Remembers texts by 53 bits of their hash: eight bytes for each, however many there are. */
export class StateSet {
  #table = new Float64Array(1 << 16)
  size = 0

  /** False: it was there already. */
  add(text: string): boolean {
    if (this.size > this.#table.length * FILL_MAX) this.#grow()
    const hash = hashOf(text)
    const at = this.#find(hash)
    if (this.#table[at] === hash) return false
    this.#table[at] = hash
    this.size += 1
    return true
  }

  has(text: string): boolean {
    const hash = hashOf(text)
    return this.#table[this.#find(hash)] === hash
  }

  #find(hash: number): number {
    const mask = this.#table.length - 1
    let at = hash % (mask + 1)
    while (this.#table[at] !== EMPTY && this.#table[at] !== hash) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const old = this.#table
    this.#table = new Float64Array(old.length * 2)
    for (const hash of old) if (hash !== EMPTY) this.#table[this.#find(hash)] = hash
  }
}

/** Two hashes of 32 bits, as one number below 2^53 that is never 0. */
function hashOf(text: string): number {
  let low = 0x811c9dc5
  let high = 0x9747b28c
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ code, 0x5bd1e995)
    high ^= high >>> 15
  }
  low ^= low >>> 13
  return (high >>> 11) * 2 ** 32 + (low >>> 0) + 1
}
