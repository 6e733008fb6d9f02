import type { Random } from '../sim/random.ts'
import type { Constant } from './instrument.ts'

const interesting = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 4095, 4096, 4097,
]
const large = [
  0x7fff,
  0x8000,
  0xffff,
  2 ** 20,
  2 ** 25,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 52,
  2 ** 53 - 1,
]
const EDITS_MAX = 8

/** What an input may have to contain, from constants of the sources: numbers come in every usual form. */
export function tokensOf(constants: Iterable<Constant>): Uint8Array[] {
  const tokens = new Map<string, Uint8Array>()
  for (const constant of constants) {
    const forms = typeof constant === 'string' ? [Buffer.from(constant)] : formsOf(constant)
    for (const form of forms) tokens.set(form.toString('hex'), new Uint8Array(form))
  }
  return [...tokens.values()]
}

function formsOf(value: number): Buffer[] {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  const lengths = [1, 2, 4, 8].filter((length) => value < 2 ** (8 * length))
  return lengths.flatMap((length) => {
    const form = Buffer.from(bytes.subarray(8 - length))
    return length === 1 ? [form] : [form, Buffer.from(form).reverse()]
  })
}

/** Changes inputs at random, up to eight times each; what comes out has at most `byteLengthMax` bytes. */
export class Mutator {
  readonly #random: Random
  readonly #tokens: readonly Uint8Array[]
  readonly #byteLengthMax: number

  constructor(random: Random, tokens: readonly Uint8Array[], byteLengthMax: number) {
    this.#random = random
    this.#tokens = tokens
    this.#byteLengthMax = byteLengthMax
  }

  /** `other`: an input that parts may be taken from. */
  change(input: Uint8Array, other: Uint8Array): Uint8Array {
    const random = this.#random
    let bytes: Uint8Array = Uint8Array.from(input)
    const edits = 1 << random.below(Math.log2(EDITS_MAX) + 1)
    for (let edit = 0; edit < edits; edit += 1) bytes = this.#edit(bytes, other)
    return bytes.subarray(0, this.#byteLengthMax)
  }

  #edit(bytes: Uint8Array, other: Uint8Array): Uint8Array {
    const random = this.#random
    const kind = random.below(bytes.length === 0 ? 4 : 12)
    const at = random.below(bytes.length + 1)
    switch (kind) {
      case 0:
        return spliced(bytes, at, 0, this.#some(1 + random.below(16)))
      case 1:
        return spliced(bytes, at, 0, this.#token())
      case 2: {
        const from = random.below(other.length)
        return spliced(bytes, at, 0, other.subarray(from, from + this.#length(other.length - from)))
      }
      case 3:
        return spliced(bytes, at, 0, new Uint8Array(1 + random.below(64)).fill(random.below(256)))
      case 4:
        return spliced(bytes, at, this.#length(bytes.length - at), new Uint8Array(0))
      case 5: {
        const from = random.below(bytes.length)
        return spliced(bytes, at, 0, bytes.slice(from, from + this.#length(bytes.length - from)))
      }
      case 6: {
        const token = this.#token()
        return spliced(bytes, at, Math.min(token.length, bytes.length - at), token)
      }
      case 7: {
        const from = random.below(other.length)
        const piece = other.subarray(from, from + this.#length(other.length - from))
        return spliced(bytes, at, Math.min(piece.length, bytes.length - at), piece)
      }
      default:
        return this.#number(bytes, random.below(bytes.length))
    }
  }

  /** A bit, a byte, or a number of some width and order, at a place. */
  #number(bytes: Uint8Array, at: number): Uint8Array {
    const random = this.#random
    const width = Math.min(random.pick([1, 1, 1, 2, 4, 8]), bytes.length - at)
    if (width === 1 && random.chance(0.4)) {
      bytes[at]! ^= 1 << random.below(8)
      return bytes
    }
    const isBig = random.chance(0.5)
    const order = (index: number): number => (isBig ? at + width - 1 - index : at + index)
    let value = 0n
    for (let index = width - 1; index >= 0; index -= 1) value = value * 256n + BigInt(bytes[order(index)]!)
    if (random.chance(0.5)) value += BigInt(random.below(35) - 17)
    else value = BigInt(random.chance(0.7) ? random.pick(interesting) : random.pick(large))
    for (let index = 0; index < width; index += 1, value >>= 8n) bytes[order(index)] = Number(value & 255n)
    return bytes
  }

  #token(): Uint8Array {
    return this.#tokens.length === 0 ? this.#some(4) : this.#random.pick(this.#tokens)
  }

  #some(byteLength: number): Uint8Array {
    return Uint8Array.from({ length: byteLength }, () => this.#random.below(256))
  }

  /** Short pieces are the most useful ones. */
  #length(most: number): number {
    if (most <= 0) return 0
    const limit = this.#random.chance(0.8) ? Math.min(most, 32) : most
    return 1 + this.#random.below(limit)
  }
}

function spliced(bytes: Uint8Array, at: number, removed: number, inserted: Uint8Array): Uint8Array {
  const result = new Uint8Array(bytes.length - removed + inserted.length)
  result.set(bytes.subarray(0, at))
  result.set(inserted, at)
  result.set(bytes.subarray(at + removed), at + inserted.length)
  return result
}
