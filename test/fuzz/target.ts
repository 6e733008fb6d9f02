import { Random } from '../sim/random.ts'

/** A decoder, and what has to hold whatever bytes it gets. */
export interface Target {
  readonly name: string
  readonly byteLengthMax: number
  /** well-formed inputs, to begin with */
  seeds(): readonly Uint8Array[]
  /** Throws if something does not hold. Depends on nothing but the input. */
  run(input: Uint8Array): void
}

/** Whatever else there is to be chosen for an input follows from its bytes. */
export function chanceOf(input: Uint8Array): Random {
  let hash = input.length
  for (const byte of input) hash = (Math.imul(hash, 31) + byte) | 0
  return new Random(hash)
}

/** The bytes in up to eight pieces, some of them empty. */
export function inPieces(bytes: Uint8Array, random: Random): Uint8Array[] {
  const cuts = Array.from({ length: random.below(8) }, () => random.below(bytes.length + 1))
  const places = [0, ...cuts.sort((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end))
}

export function byteByByte(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (_, index) => bytes.subarray(index, index + 1))
}

/** Two outcomes of the same bytes. */
export function mustEqual(what: string, found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)]
  if (a !== b) throw new Error(`${what}: ${shortened(a)} is not ${shortened(b)}`)
}

export function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

const shortened = (text: string | undefined): string => (text ?? 'nothing').slice(0, 500)
