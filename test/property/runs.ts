/** The same cases on every run of the tests; `npm run fuzz` brings a seed of its own, and more runs. */
export function runs(numRuns: number): { seed?: number; numRuns?: number } {
  return process.env['POLLUX_FUZZ_SEED'] === undefined ? { seed: 20261, numRuns } : {}
}
