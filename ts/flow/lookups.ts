import type { Aggregate } from './aggregate.ts'
import { StatusOperation } from './block-status.ts'
import type { Client } from './client.ts'
import { ReadOperation } from './read.ts'
import { type Lookup, ReadQueue } from './read-queue.ts'

/** The READs and BLOCK_STATUSes that are under way, and what they wait for. */
export class Lookups {
  readonly #aggregate: Aggregate
  /** those that have seen what is not acknowledged, in the order of the log */
  readonly #parked = new ReadQueue()
  #woken = new ReadQueue()
  #wokenBefore = new ReadQueue()
  /** as many as were ever under way at once: at most a client's share for each connection */
  readonly #freeReads: ReadOperation[] = []
  readonly #freeStatuses: StatusOperation[] = []

  constructor(aggregate: Aggregate) {
    this.#aggregate = aggregate
  }

  takeRead(client: Client): ReadOperation {
    client.reads += 1
    return this.#freeReads.pop() ?? new ReadOperation(this.#aggregate)
  }

  freeRead(read: ReadOperation, client: Client): void {
    client.reads -= 1
    this.#freeReads.push(read)
    this.#aggregate.ready(client)
  }

  takeStatus(client: Client): StatusOperation {
    client.statuses += 1
    return this.#freeStatuses.pop() ?? new StatusOperation(this.#aggregate)
  }

  freeStatus(status: StatusOperation, client: Client): void {
    client.statuses -= 1
    this.#freeStatuses.push(status)
    this.#aggregate.ready(client)
  }

  get hasWoken(): boolean {
    return this.#woken.first !== undefined
  }

  /** Goes on in the next turn. */
  wake(lookup: Lookup): void {
    this.#woken.push(lookup)
  }

  stepWoken(): void {
    const woken = this.#woken
    this.#woken = this.#wokenBefore
    this.#wokenBefore = woken
    for (let lookup = woken.shift(); lookup !== undefined; lookup = woken.shift()) lookup.step()
  }

  /** Goes on when `parkedUntil` is acknowledged, which is the newest entry now. */
  park(lookup: Lookup): void {
    this.#parked.push(lookup)
  }

  unpark(acknowledged: number): void {
    for (
      let lookup = this.#parked.first;
      lookup !== undefined && lookup.parkedUntil <= acknowledged;
      lookup = this.#parked.first
    ) {
      this.#parked.shift()
      lookup.unpark()
    }
  }
}
