import type { Summary } from '../../ts/cli/fio-summary.ts'
import { median } from '../../ts/cli/statistics.ts'

/** Something that was measured, several times unless there is only one value. */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly values: readonly number[]
  readonly remark?: string
}

/** A figure that has a target. Without values it could not be measured, and counts as missed. */
export interface Verdict extends Figure {
  readonly sense: 'at least' | 'at most'
  readonly limit: number
}

/** One line of a chart. */
export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Chart {
  readonly title: string
  readonly xTitle: string
  readonly yTitle: string
  readonly series: readonly Series[]
}

export interface Column {
  readonly name: string
  readonly unit: string
}

/** How some figures change with the one in the first column; a value for each column in every row. */
export interface Table {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly number[])[]
}

/**
 * Part of a report: a load that servers were compared under, a row of the targets, a table of how something
 * scales, or micro benchmarks.
 */
export interface Section {
  readonly name: string
  readonly title: string
  /** how it was measured, in a few words */
  readonly how: string
  readonly summaries: readonly Summary[]
  readonly verdicts: readonly Verdict[]
  readonly figures: readonly Figure[]
  readonly charts: readonly Chart[]
  readonly table?: Table
  readonly notes: readonly string[]
}

export function isReached({ values, sense, limit }: Verdict): boolean {
  if (values.length === 0) return false
  const value = median(values)
  return sense === 'at least' ? value >= limit : value <= limit
}

/** What was missed in some sections, each in one sentence. */
export function missed(sections: readonly Section[]): string[] {
  return sections.flatMap(({ name, verdicts }) =>
    verdicts
      .filter((verdict) => !isReached(verdict))
      .map((verdict) => {
        const value = verdict.values.length === 0 ? 'not measured' : numberText(median(verdict.values))
        return `${name}: ${verdict.name} is ${value}; it takes ${limitText(verdict)}`
      }),
  )
}

export const limitText = ({ sense, limit, unit }: Verdict): string =>
  `${sense} ${withUnit(numberText(limit), unit)}`

const withUnit = (text: string, unit: string): string => (unit === '' ? text : `${text} ${unit}`)

/** Three digits that count; thousands apart. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en-US')
  return size >= 10 ? value.toFixed(1) : size >= 0.1 || size === 0 ? value.toFixed(2) : value.toPrecision(2)
}

/** Counts as they are, measurements with three digits that count. */
export const cellText = (value: number): string =>
  Number.isInteger(value) ? value.toLocaleString('en-US') : numberText(value)

/** The median, and how far the others lie from it. */
export function valuesText(values: readonly number[], unit: string): string {
  if (values.length === 0) return 'not measured'
  if (values.length === 1) return withUnit(numberText(values[0]!), unit)
  const [min, max] = [Math.min(...values), Math.max(...values)].map(numberText)
  return withUnit(`${numberText(median(values))} (${min} to ${max})`, unit)
}
