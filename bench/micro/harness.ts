import { spreadOf } from '../../ts/cli/statistics.ts'
import type { Figure } from '../report/section.ts'

/** How much work: little of it in tests, so that benchmarks cannot rot. */
export type Scale = 'small' | 'large'

/** Something small that is measured by itself. */
export interface Micro {
  readonly name: string
  /** of what so many are done in a run */
  readonly per: string
  readonly prepare: (scale: Scale) => Prepared
}

export interface Prepared {
  /** Does the work once more, the same every time. Returns how many times what is counted was done. */
  readonly run: () => number
  /** A number that depends on what was computed, so that nobody optimises the work away. */
  readonly hash: () => number
}

export interface Measured {
  readonly name: string
  readonly per: string
  /** nanoseconds for one, in each run */
  readonly values: readonly number[]
  readonly hash: number
}

/** Runs it once to get warm, then `rounds` times by the clock. */
export function measure(micro: Micro, scale: Scale, rounds: number): Measured {
  const { run, hash } = micro.prepare(scale)
  run()
  const values: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const startedNs = process.hrtime.bigint()
    const count = run()
    values.push(Number(process.hrtime.bigint() - startedNs) / count)
  }
  return { name: micro.name, per: micro.per, values, hash: hash() >>> 0 }
}

export function figureOf({ name, per, values, hash }: Measured): Figure {
  const rate = 1e9 / spreadOf(values).median
  const millions = `${(rate / 1e6).toPrecision(3)} M/s`
  return { name, unit: `ns per ${per}`, values, remark: `${millions}, hash ${hash.toString(16)}` }
}
