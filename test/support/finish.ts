import type { Procedure } from '../../ts/base/procedure.ts'

/** Runs a procedure that waits for nothing to its end. */
export function finish<T>(procedure: Procedure<T>): T {
  for (;;) {
    const { done, value } = procedure.next()
    if (done === true) return value
    if (value === 'wait') throw new Error('a procedure that should wait for nothing waits')
  }
}
