import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Random } from '../sim/random.ts'
import type { NbdClient } from './nbd-client.ts'

const EITHER = 2

/** What a volume holds, and which of its blocks hold data, by all that was done to it. */
export class SparseModel {
  readonly bytes: Buffer
  /** of each block: 0 hole, 1 data, 2 either is right */
  readonly #blocks: Uint8Array

  constructor(byteLength: number) {
    this.bytes = Buffer.alloc(byteLength)
    this.#blocks = new Uint8Array(byteLength / BLOCK_SIZE)
  }

  get dataBlocksMax(): number {
    return this.#blocks.filter((block) => block !== 0).length
  }

  /** One random change, to the volume and to the model alike. */
  async change(client: NbdClient, random: Random): Promise<void> {
    const at = this.#place(random)
    const length = Math.min(1 + random.below(random.chance(0.2) ? 2 ** 21 : 60_000), this.bytes.length - at)
    const kind = random.below(10)
    if (kind < 6) {
      const payload = Buffer.alloc(length, 1 + random.below(255))
      await client.write(at, payload, { fua: random.chance(0.1) })
      this.bytes.fill(payload[0]!, at, at + length)
      this.#mark(at, length, 1, 1)
    } else if (kind < 8) {
      await client.trim(at, length)
      const [first, end] = [Math.ceil(at / BLOCK_SIZE), Math.floor((at + length) / BLOCK_SIZE)]
      if (first < end) this.bytes.fill(0, first * BLOCK_SIZE, end * BLOCK_SIZE)
      if (first < end) this.#blocks.fill(0, first, end)
    } else {
      await client.writeZeroes(at, length, { noHole: kind === 8, fastZero: random.chance(0.3) })
      this.bytes.fill(0, at, at + length)
      this.#mark(at, length, 0, EITHER)
    }
  }

  /** Half of all places begin a block. */
  #place(random: Random): number {
    const at = random.below(this.bytes.length - 1)
    return random.chance(0.5) ? Math.floor(at / BLOCK_SIZE) * BLOCK_SIZE : at
  }

  /** What whole blocks are from now on, and those of which only a part was changed. */
  #mark(at: number, length: number, whole: number, part: number): void {
    for (let block = Math.floor(at / BLOCK_SIZE); block * BLOCK_SIZE < at + length; block += 1) {
      const isWhole = block * BLOCK_SIZE >= at && (block + 1) * BLOCK_SIZE <= at + length
      // a block of data of which a part is zeroed stays one
      if (isWhole) this.#blocks[block] = whole
      else if (part !== EITHER || this.#blocks[block] !== 1) this.#blocks[block] = part
    }
  }

  /** The same for a map that has to be about all of the volume. */
  mistakesInWhole(map: readonly (readonly [length: number, isData: boolean])[]): string[] {
    const length = map.reduce((sum, [each]) => sum + each, 0)
    if (length !== this.bytes.length) return [`it is about ${length} bytes`]
    return this.mistakesInMap(0, map)
  }

  /** Where a map, which begins at a byte and goes on by lengths, says what is not so. */
  mistakesInMap(from: number, map: readonly (readonly [length: number, isData: boolean])[]): string[] {
    const mistakes: string[] = []
    let at = from
    for (const [length, isData] of map) {
      const end = at + length
      for (let block = Math.floor(at / BLOCK_SIZE); block * BLOCK_SIZE < end; block += 1) {
        const is = this.#blocks[block]
        if (is !== EITHER && (is === 1) !== isData) mistakes.push(`block ${block} is ${is}, not ${isData}`)
      }
      at = end
    }
    return mistakes.slice(0, 5)
  }
}
