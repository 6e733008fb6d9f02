import { assert } from '../base/assert.ts'
import { crc32c } from '../base/crc32c.ts'
import { fromWords, highWord, lowWord } from '../base/units.ts'

/**
 * One declaration of a structure gives its offsets, its codec and its fingerprint. Little-endian.
 * u64 fields are numbers below 2^53; larger values read from outside decode as NaN-free but are
 * refused by the caller's checks, since nothing of ours is that large.
 */
type Kind = 'u16' | 'u32' | 'u64' | 'bytes' | 'text'

interface Field<V> {
  readonly kind: Kind
  readonly byteLength: number
  readonly sample?: V
}

export const u16: Field<number> = { kind: 'u16', byteLength: 2 }
export const u32: Field<number> = { kind: 'u32', byteLength: 4 }
export const u64: Field<number> = { kind: 'u64', byteLength: 8 }
export const bytes = (byteLength: number): Field<Uint8Array> => ({ kind: 'bytes', byteLength })
/** UTF-8, padded with zeroes. */
export const text = (byteLength: number): Field<string> => ({ kind: 'text', byteLength })

const encoder = new TextEncoder()
const decoder = new TextDecoder()

type Fields = Record<string, Field<unknown>>
type ValueOf<F> = F extends Field<infer V> ? V : never
export type Values<F extends Fields> = { -readonly [K in keyof F]: ValueOf<F[K]> }

export interface Struct<F extends Fields> {
  readonly name: string
  readonly byteLength: number
  /** Byte offset of each field. */
  readonly at: { readonly [K in keyof F]: number }
  /** Changes whenever the layout changes; frozen in test/golden. */
  readonly fingerprint: number
  encode(values: Values<F>, into: Uint8Array, offset?: number): void
  decode(from: Uint8Array, offset?: number): Values<F>
}

export function struct<F extends Fields>(name: string, byteLength: number, fields: F): Struct<F> {
  const at = layOut(name, byteLength, fields)
  const keys = Object.keys(fields)
  const description = JSON.stringify([name, byteLength, Object.entries(fields)])
  return {
    name,
    byteLength,
    at,
    fingerprint: crc32c(encoder.encode(description)),
    encode(values, into, offset = 0) {
      const view = new DataView(into.buffer, into.byteOffset + offset, byteLength)
      for (const key of keys) encodeField(view, at[key]!, fields[key]!, values[key])
    },
    decode(from, offset = 0) {
      const view = new DataView(from.buffer, from.byteOffset + offset, byteLength)
      const values: Record<string, unknown> = {}
      for (const key of keys) values[key] = decodeField(view, at[key]!, fields[key]!)
      return values as Values<F>
    },
  }
}

function layOut<F extends Fields>(name: string, byteLength: number, fields: F): { [K in keyof F]: number } {
  const at = {} as { [K in keyof F]: number }
  let offset = 0
  for (const key of Object.keys(fields) as (keyof F & string)[]) {
    const field = fields[key]!
    const alignment = field.kind === 'u16' ? 2 : field.kind === 'u32' ? 4 : field.kind === 'u64' ? 8 : 1
    assert(offset % alignment === 0, `${name}.${key} is not aligned`)
    at[key] = offset
    offset += field.byteLength
  }
  assert(offset === byteLength, `${name} is declared with ${byteLength} bytes and has ${offset}`)
  return at
}

function encodeField(view: DataView, at: number, field: Field<unknown>, value: unknown): void {
  switch (field.kind) {
    case 'u16':
      return view.setUint16(at, value as number, true)
    case 'u32':
      return view.setUint32(at, value as number, true)
    case 'u64':
      view.setUint32(at, lowWord(value as number), true)
      return view.setUint32(at + 4, highWord(value as number), true)
    default: {
      const source = field.kind === 'text' ? encoder.encode(value as string) : (value as Uint8Array)
      assert(source.length <= field.byteLength, 'a value fits its field')
      const target = new Uint8Array(view.buffer, view.byteOffset + at, field.byteLength)
      target.fill(0)
      target.set(source)
    }
  }
}

function decodeField(view: DataView, at: number, field: Field<unknown>): unknown {
  switch (field.kind) {
    case 'u16':
      return view.getUint16(at, true)
    case 'u32':
      return view.getUint32(at, true)
    case 'u64':
      return fromWords(view.getUint32(at, true), view.getUint32(at + 4, true))
    default: {
      const source = new Uint8Array(view.buffer, view.byteOffset + at, field.byteLength)
      if (field.kind === 'bytes') return source.slice()
      const end = source.indexOf(0)
      return decoder.decode(source.subarray(0, end < 0 ? source.length : end))
    }
  }
}
