import { GIB, KIB, MIB, TIB } from '../base/units.ts'

/** Sizes and durations as people write them: always with a unit. A mistake is returned as text. */
export type Parsed = { value: number } | { mistake: string }

const byteUnits: Readonly<Record<string, number>> = { B: 1, KiB: KIB, MiB: MIB, GiB: GIB, TiB: TIB }
const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 24 * 3_600_000,
}

/** "128MiB", "1.5 GiB", "4096B". */
export function parseByteLength(text: string): Parsed {
  return parse(text, byteUnits, 'a size like "128MiB" (units B, KiB, MiB, GiB, TiB)', 'whole bytes')
}

/** "1500ms", "2s", "1min", "7d". */
export function parseDurationMs(text: string): Parsed {
  return parse(text, durationUnits, 'a duration like "1500ms" (units ms, s, min, h, d)', 'whole milliseconds')
}

function parse(text: string, units: Readonly<Record<string, number>>, wanted: string, whole: string): Parsed {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)$/.exec(text.trim()) ?? []
  const factor = unit !== undefined && Object.hasOwn(units, unit) ? units[unit] : undefined
  if (digits === undefined || factor === undefined)
    return { mistake: `${JSON.stringify(text)} is not ${wanted}` }
  const value = Number(digits) * factor
  if (!Number.isSafeInteger(value)) return { mistake: `${JSON.stringify(text)} is not a number of ${whole}` }
  return { value }
}

/** The largest unit that divides without a rest, so that it can be read back: 134217728 is "128MiB". */
export function exactByteLengthText(byteLength: number): string {
  const units = Object.entries(byteUnits).reverse()
  const [unit, factor] = units.find(([, size]) => byteLength > 0 && byteLength % size === 0) ?? ['B', 1]
  return `${byteLength / factor}${unit}`
}

/** For people: "1.2 GiB", "512 B". */
export function byteLengthText(byteLength: number): string {
  const units = Object.entries(byteUnits).reverse()
  const [unit, factor] = units.find(([, size]) => byteLength >= size) ?? ['B', 1]
  const value = byteLength / factor
  return `${Number.isInteger(value) || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`
}
