/** Bits of a word that are set. */
export function popCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555)
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}

export const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

export function hasBit(words: Uint32Array, bit: number): boolean {
  return ((words[bit >>> 5]! >>> (bit & 31)) & 1) === 1
}

export function setBit(words: Uint32Array, bit: number): void {
  words[bit >>> 5] = words[bit >>> 5]! | (1 << (bit & 31))
}

export function clearBit(words: Uint32Array, bit: number): void {
  words[bit >>> 5] = words[bit >>> 5]! & ~(1 << (bit & 31))
}

/** The bits [from, to) of one word, 0 <= from < to <= 32. */
export function wordMask(from: number, to: number): number {
  const below = to === 32 ? -1 : (1 << to) - 1
  return below & (-1 << from)
}

/** Sets or clears `count` bits from `first` on. */
export function fillBits(words: Uint32Array, first: number, count: number, value: boolean): void {
  let bit = first
  const end = first + count
  while (bit < end) {
    const from = bit & 31
    const to = Math.min(32, from + end - bit)
    const mask = wordMask(from, to)
    const word = bit >>> 5
    words[word] = value ? words[word]! | mask : words[word]! & ~mask
    bit += to - from
  }
}
