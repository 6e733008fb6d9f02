/**
 * Faults that production code might have had. Each is put into a copy of the program, and the checker that is
 * named has to find it: one that finds nothing is a hole in the checkers. The text to replace has to occur
 * exactly once, so that this list cannot rot.
 */
export interface Mutation {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
  /** what the fault would do to somebody's data */
  readonly breaks: string
  /**
   * scope: crash at every write (test/sim/scope); sim: seeds (test/sim/run.ts); model: ownership explored
   * (test/model); or files of unit tests, where a second line of defence keeps the fault from doing harm
   */
  readonly checker: 'scope' | 'sim' | 'model' | readonly string[]
  /** found so fast that every run of the tests looks for it */
  readonly isQuick?: boolean
}
