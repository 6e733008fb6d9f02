/**
 * A control path that waits for I/O without promises: the engine steps it once per turn, so it runs
 * in the simulator exactly as in production. `yield 'wait'`: nothing to do before some completion
 * or timer; `yield 'again'`: there is more work, but others get a turn first.
 */
export type Step = 'wait' | 'again'
export type Procedure<T = void> = Generator<Step, T, void>

/** A countdown of I/O in flight that a procedure waits for; keeps the first failure. */
export class Pending {
  count = 0
  /** the first negative result (-errno), or 0 */
  failure = 0
  #waiter: { complete(result: number): void } = {
    complete: (result) => {
      this.count -= 1
      if (result < 0 && this.failure === 0) this.failure = result
    },
  }

  /** Give this to exactly one operation. */
  expect(): { complete(result: number): void } {
    this.count += 1
    return this.#waiter
  }

  *all(): Procedure {
    while (this.count > 0) yield 'wait'
  }
}
