import { assert } from '../base/assert.ts'
import type { Completion } from '../ports/completion.ts'

/**
 * One request that goes in several parts, none of which is answered inside the call that asks for it. It
 * fails with the first of them that does.
 */
export class Split implements Completion {
  /** parts that have not been answered */
  remaining: number
  #failure = 0
  #byteLength = 0
  #isAnswered = false
  readonly #done: Completion

  constructor(done: Completion, remaining: number) {
    this.#done = done
    this.remaining = remaining
  }

  complete(result: number): void {
    if (result < 0) this.#failure ||= result
    else this.#byteLength += result
    this.remaining -= 1
    if (this.remaining > 0) return
    assert(!this.#isAnswered, 'a request is answered once')
    this.#isAnswered = true
    this.#done.complete(this.#failure || this.#byteLength)
  }
}
