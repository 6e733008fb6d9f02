/** The middle of some numbers; of an even count, halfway between the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** What is told of several measurements of one thing. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly count: number
}

/** Of no values, everything is NaN. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) return { median: Number.NaN, min: Number.NaN, max: Number.NaN, count: 0 }
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    count: values.length,
  }
}

/** Neighbours in time are compared: a machine that gets slower does not change their ratio. */
export function pairedRatios(values: readonly number[], others: readonly number[]): number[] {
  const rounds = Math.min(values.length, others.length)
  return values.slice(0, rounds).map((value, round) => value / others[round]!)
}
