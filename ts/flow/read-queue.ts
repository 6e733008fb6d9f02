import { assert } from '../base/assert.ts'

/** A request under way that looks at blocks and may have to wait: a READ or a BLOCK_STATUS. */
export interface Lookup {
  /** for the queue that it is in */
  next: Lookup | undefined
  isQueued: boolean
  /** the entry that must be acknowledged before what it has seen is told */
  readonly parkedUntil: number
  /** whether the output buffer has room for what it says next */
  readonly hasRoom: boolean
  /** goes on as far as possible */
  step(): void
  /** there is room in the output buffer again, and it is the first to have it */
  speak(): void
  /** the partner has what it waited for */
  unpark(): void
  /** its client has gone */
  abandon(): void
}

/**
 * Lookups that wait for the same thing, in order. Each waits for one thing at a time, so it is linked
 * through itself: a queue has no capacity that could be exceeded, and queueing allocates nothing.
 */
export class ReadQueue {
  /** the one that has waited longest */
  first: Lookup | undefined
  #last: Lookup | undefined

  push(lookup: Lookup): void {
    assert(!lookup.isQueued, 'a lookup waits for one thing at a time')
    lookup.isQueued = true
    if (this.#last === undefined) this.first = lookup
    else this.#last.next = lookup
    this.#last = lookup
  }

  /** For one that was first, and still is. */
  unshift(lookup: Lookup): void {
    assert(!lookup.isQueued, 'a lookup waits for one thing at a time')
    lookup.isQueued = true
    lookup.next = this.first
    this.first = lookup
    this.#last ??= lookup
  }

  shift(): Lookup | undefined {
    const lookup = this.first
    if (lookup === undefined) return undefined
    this.first = lookup.next
    if (this.first === undefined) this.#last = undefined
    lookup.next = undefined
    lookup.isQueued = false
    return lookup
  }
}
