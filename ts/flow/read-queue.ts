import { assert } from '../base/assert.ts'
import type { ReadOperation } from './read.ts'

/**
 * Reads that wait for the same thing, in order. A read waits for one thing at a time, so it is linked
 * through itself: a queue has no capacity that could be exceeded, and queueing allocates nothing.
 */
export class ReadQueue {
  /** the one that has waited longest */
  first: ReadOperation | undefined
  #last: ReadOperation | undefined

  push(read: ReadOperation): void {
    assert(!read.isQueued, 'a read waits for one thing at a time')
    read.isQueued = true
    if (this.#last === undefined) this.first = read
    else this.#last.next = read
    this.#last = read
  }

  /** For one that was first, and still is. */
  unshift(read: ReadOperation): void {
    assert(!read.isQueued, 'a read waits for one thing at a time')
    read.isQueued = true
    read.next = this.first
    this.first = read
    this.#last ??= read
  }

  shift(): ReadOperation | undefined {
    const read = this.first
    if (read === undefined) return undefined
    this.first = read.next
    if (this.first === undefined) this.#last = undefined
    read.next = undefined
    read.isQueued = false
    return read
  }
}
