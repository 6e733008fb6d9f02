export interface CheckProblem {
  /** a short stable word for each sort of problem */
  readonly kind: string
  readonly text: string
}

const PROBLEMS_MAX = 100

/** The problems that a check has found: all are counted, the first ones kept. */
export class CheckProblems {
  count = 0
  readonly list: CheckProblem[] = []

  add(kind: string, text: string): void {
    this.count += 1
    if (this.list.length < PROBLEMS_MAX) this.list.push({ kind, text })
  }
}
