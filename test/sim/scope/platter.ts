import { BLOCK_SIZE } from '../../../ts/base/units.ts'

const SECTOR = 512
const ZEROES = new Uint8Array(BLOCK_SIZE)

/** What a loss of power leaves of the writes that no flush has followed. */
export const fates = ['kept', 'dropped', 'torn', 'newest alone'] as const
export type Fate = (typeof fates)[number]

/** A disk with a write cache: blocks are never changed in place, so that a copy is cheap. */
export class Platter {
  readonly byteLength: number
  durable = new Map<number, Uint8Array>()
  /** written and visible, but not flushed */
  cache = new Map<number, Uint8Array>()
  /** the blocks of the newest write */
  #newest: number[] = []

  constructor(byteLength: number) {
    this.byteLength = byteLength
  }

  block(number: number): Uint8Array {
    return this.cache.get(number) ?? this.durable.get(number) ?? ZEROES
  }

  blocks(at: number, byteLength: number): Uint8Array[] {
    const first = at / BLOCK_SIZE
    return Array.from({ length: byteLength / BLOCK_SIZE }, (_, place) => this.block(first + place))
  }

  write(at: number, bytes: Uint8Array): void {
    this.#newest = []
    for (let offset = 0; offset < bytes.length; offset += BLOCK_SIZE) {
      const number = (at + offset) / BLOCK_SIZE
      this.cache.set(number, bytes.subarray(offset, offset + BLOCK_SIZE))
      this.#newest.push(number)
    }
  }

  flush(): void {
    for (const [number, bytes] of this.cache) this.durable.set(number, bytes)
    this.cache.clear()
    this.#newest = []
  }

  /** The fates that lead to different disks now. */
  get possibleFates(): readonly Fate[] {
    return this.cache.size === 0 ? ['kept'] : fates
  }

  /** Another disk, as power that comes back finds it. */
  afterPowerLoss(fate: Fate): Platter {
    const after = new Platter(this.byteLength)
    after.durable = new Map(this.durable)
    const newest = new Set(this.#newest)
    let torn = 0
    for (const [number, bytes] of this.cache) {
      if (fate === 'kept' || (fate === 'newest alone' && newest.has(number))) after.durable.set(number, bytes)
      else if (fate === 'torn') {
        torn += 1
        after.durable.set(number, tornBlock(this.durable.get(number) ?? ZEROES, bytes, torn))
      }
    }
    return after
  }
}

/** One to seven of its eight sectors are new, from the front or from the back. */
function tornBlock(before: Uint8Array, bytes: Uint8Array, which: number): Uint8Array {
  const cut = SECTOR * (1 + (which % 7))
  const block = (which % 2 === 0 ? before : bytes).slice()
  block.set((which % 2 === 0 ? bytes : before).subarray(0, cut))
  return block
}
