/** Classes to each doubling of a duration: a percentile is at most an eighth too long. */
const CLASSES = 8
const SHIFT = 3
const US_MAX = 2 ** 31 - 1
const CLASS_COUNT = classOf(US_MAX) + 1

export interface HistogramSummary {
  readonly count: number
  readonly meanUs: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
}

/** How long something took, ever since. Adding costs a few nanoseconds, and allocates nothing. */
export class Histogram {
  /** by class */
  readonly counts = new Float64Array(CLASS_COUNT)
  #count = 0
  #sumUs = 0
  #maxUs = 0

  add(ms: number): void {
    const us = Math.min(US_MAX, Math.max(0, Math.round(ms * 1000)))
    this.counts[classOf(us)]! += 1
    this.#count += 1
    this.#sumUs += us
    if (us > this.#maxUs) this.#maxUs = us
  }

  summary(): HistogramSummary {
    return {
      count: this.#count,
      meanUs: this.#count === 0 ? 0 : this.#sumUs / this.#count,
      p50Us: this.#percentile(0.5),
      p99Us: this.#percentile(0.99),
      p999Us: this.#percentile(0.999),
      maxUs: this.#maxUs,
    }
  }

  /** The upper end of the class that it lies in, but never more than the longest. */
  #percentile(share: number): number {
    return Math.min(percentileUs(this.counts, Math.ceil(share * this.#count)), this.#maxUs)
  }
}

/** What several histograms together were given since a moment. */
export class HistogramWindow {
  readonly #histograms: readonly Histogram[]
  #before: Float64Array

  constructor(histograms: readonly Histogram[]) {
    this.#histograms = histograms
    this.#before = this.#now()
  }

  /** What came until now does not count any more. */
  begin(): void {
    this.#before = this.#now()
  }

  /** The number of durations, and how long the longest of a share of them were, in microseconds. */
  look(share: number): { readonly count: number; readonly us: number } {
    const since = this.#now().map((count, index) => count - this.#before[index]!)
    const count = since.reduce((sum, each) => sum + each, 0)
    return { count, us: percentileUs(since, Math.ceil(share * count)) }
  }

  #now(): Float64Array {
    const sum = new Float64Array(CLASS_COUNT)
    for (const { counts } of this.#histograms)
      for (let index = 0; index < CLASS_COUNT; index += 1) sum[index]! += counts[index]!
    return sum
  }
}

/** The upper end of the class in which the duration with this rank lies, in microseconds. */
function percentileUs(counts: Float64Array, rank: number): number {
  let rest = rank
  for (let index = 0; rest > 0 && index < counts.length; index += 1) {
    rest -= counts[index]!
    if (rest <= 0) return endOf(index)
  }
  return 0
}

/** Up to twice CLASSES each microsecond has its own; then CLASSES of them share each doubling. */
function classOf(us: number): number {
  if (us < 2 * CLASSES) return us
  const doubling = 31 - Math.clz32(us) - SHIFT
  return doubling * CLASSES + (us >>> doubling)
}

/** The longest duration in a class, in microseconds. */
function endOf(index: number): number {
  if (index < 2 * CLASSES) return index
  const doubling = Math.floor(index / CLASSES) - 1
  const first = index - doubling * CLASSES
  return (first + 1) * 2 ** doubling - 1
}
