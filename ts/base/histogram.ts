/** Classes to each doubling of a duration: a percentile is at most an eighth too long. */
const CLASSES = 8
const SHIFT = 3
const US_MAX = 2 ** 31 - 1

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
  readonly #counts = new Float64Array(classOf(US_MAX) + 1)
  #count = 0
  #sumUs = 0
  #maxUs = 0

  add(ms: number): void {
    const us = Math.min(US_MAX, Math.max(0, Math.round(ms * 1000)))
    this.#counts[classOf(us)]! += 1
    this.#count += 1
    this.#sumUs += us
    if (us > this.#maxUs) this.#maxUs = us
  }

  get count(): number {
    return this.#count
  }

  get sumMs(): number {
    return this.#sumUs / 1000
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
    let rest = Math.ceil(share * this.#count)
    if (rest === 0) return 0
    for (let index = 0; index < this.#counts.length; index += 1) {
      rest -= this.#counts[index]!
      if (rest <= 0) return Math.min(endOf(index), this.#maxUs)
    }
    return this.#maxUs
  }
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
