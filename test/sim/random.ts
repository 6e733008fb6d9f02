/** A small deterministic generator (xoshiro128**): the whole world of a seed comes from one of these. */
export class Random {
  readonly #state = new Uint32Array(4)

  constructor(seed: number) {
    let mixed = seed >>> 0
    for (let i = 0; i < 4; i += 1) {
      mixed = (mixed + 0x9e3779b9) >>> 0
      let word = mixed
      word = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
      word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
      this.#state[i] = word ^ (word >>> 16)
    }
  }

  u32(): number {
    const s = this.#state
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0
    const shifted = s[1]! << 9
    s[2]! ^= s[0]!
    s[3]! ^= s[1]!
    s[1]! ^= s[2]!
    s[0]! ^= s[3]!
    s[2]! ^= shifted
    s[3] = rotate(s[3]!, 11)
    return result
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    return Math.floor((this.u32() / 2 ** 32) * below)
  }

  between(low: number, high: number): number {
    return low + (this.u32() / 2 ** 32) * (high - low)
  }

  chance(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}

const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by))
