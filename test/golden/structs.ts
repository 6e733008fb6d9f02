import type { Struct } from '../../ts/format/struct.ts'

type AnyStruct = Struct<Record<string, never>>

/** A known value for every field: numbers tell their own bytes apart, and so do texts and byte strings. */
export function sampleOf(of: unknown): Record<string, unknown> {
  const { at, byteLength, decode } = of as AnyStruct
  const zero = decode(new Uint8Array(byteLength)) as Record<string, unknown>
  const names = Object.keys(at)
  const sample: Record<string, unknown> = {}
  for (const [index, name] of names.entries()) {
    const next = names[index + 1]
    const width = (next === undefined ? byteLength : at[next]!) - at[name]!
    sample[name] = name === 'rest' ? zero[name] : valueFor(zero[name], width, index)
  }
  return sample
}

function valueFor(zero: unknown, width: number, index: number): unknown {
  if (typeof zero === 'string') return `text-${index}`
  if (zero instanceof Uint8Array)
    return Uint8Array.from({ length: width }, (_, i) => (i < 16 ? index * 16 + i : 0))
  return { 2: 0x2100, 4: 0x4342_4100, 8: 0x0007_8685_8483_8200 }[width]! + index
}

/** The bytes as text, without the zeroes at the end. */
export function hexOf(of: unknown, values: Record<string, unknown>): string {
  const target = of as AnyStruct
  const bytes = new Uint8Array(target.byteLength)
  target.encode(values as never, bytes)
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/(00)+$/, '')
}
