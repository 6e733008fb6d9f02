import t from 'tap'

const isFuzzing = process.env['POLLUX_FUZZ_SEED'] !== undefined
// `npm run fuzz` bounds each property by itself.
if (isFuzzing) t.setTimeout(0)

/** The same cases on every run of the tests; `npm run fuzz` brings a seed of its own, and more runs. */
export function runs(numRuns: number): { seed?: number; numRuns?: number } {
  return isFuzzing ? {} : { seed: 20261, numRuns }
}
