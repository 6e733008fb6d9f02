import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'

/**
 * What an ownership that is over still has in flight. It cannot be forgotten: the kernel may write into
 * its memory, and its disks are closed only when nothing is on its way to them any more.
 */
export class Leaving {
  #procedures: Procedure[] = []

  get isEmpty(): boolean {
    return this.#procedures.length === 0
  }

  add(procedure: Procedure): void {
    this.#procedures.push(procedure)
  }

  /** Once per turn. That something of it fails is of no interest any more. */
  step(): void {
    if (this.isEmpty) return
    this.#procedures = this.#procedures.filter((procedure) => {
      try {
        return procedure.next().done !== true
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        return false
      }
    })
  }
}
