import type { OwnerRecord } from '../format/owner-record.ts'

export type ArbiterAnswer =
  /** the record as it is now; `holderGone`: the arbiter knows that the lease holder's process has ended */
  | { kind: 'record'; record: OwnerRecord | undefined; holderGone: boolean }
  /** the swap was applied; `record` is the new one */
  | { kind: 'swapped'; record: OwnerRecord }
  /** somebody else was first; `record` is theirs */
  | { kind: 'conflict'; record: OwnerRecord | undefined }
  /** not known whether a swap was applied: read again */
  | { kind: 'unreachable'; reason: string }

/**
 * The small compare-and-swap store that decides who owns what. Answers arrive later, through `done`,
 * never inside the call. A swap that is answered `unreachable` may or may not have been applied.
 */
export interface ArbiterPort {
  read(aggregate: string, done: (answer: ArbiterAnswer) => void): void
  /**
   * Replaces the record if its version still is `expected` (undefined: there is none); the store sets
   * the version to expected + 1.
   */
  swap(
    aggregate: string,
    expected: number | undefined,
    next: OwnerRecord,
    done: (answer: ArbiterAnswer) => void,
  ): void
}
