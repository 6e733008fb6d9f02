import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'

/** Whether this node may still act as the owner that it was when it began. */
export interface Right {
  readonly stillOwner: () => boolean
}

export function mustOwn({ stillOwner }: Right): void {
  if (!stillOwner()) throw new StoreError('FENCED', 'ownership was lost while the image was opened')
}

/**
 * Steps a procedure that changes what belongs to the owner, and asks before each step: others had a turn
 * since the last one, and this node may be a keeper by now, whose ring a new owner fills. Only for
 * procedures with no I/O of their own, which would still be in flight when they end here.
 */
export function* whileOwning<T>(right: Right, procedure: Procedure<T>): Procedure<T> {
  for (;;) {
    mustOwn(right)
    const { done, value } = procedure.next()
    if (done === true) return value
    yield value
  }
}
