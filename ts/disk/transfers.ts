import { Gather } from '../base/gather.ts'
import type { Procedure } from '../base/procedure.ts'
import type { Completion } from '../ports/completion.ts'
import type { Disk } from '../ports/disk.ts'

class Transfer implements Completion {
  readonly gather = new Gather()
  readonly #owner: Transfers
  whenDone: ((result: number) => void) | undefined

  constructor(owner: Transfers) {
    this.#owner = owner
  }

  complete(result: number): void {
    const whenDone = this.whenDone
    this.whenDone = undefined
    this.#owner.ended(this, result)
    whenDone?.(result)
  }
}

/** Several reads or writes of a procedure in flight at once, up to a limit. */
export class Transfers {
  /** the first negative result since the last `drain`, or 0 */
  failure = 0
  inFlight = 0
  readonly #limit: number
  readonly #idle: Transfer[] = []

  constructor(limit = 8) {
    this.#limit = limit
  }

  /** Waits for room, then starts what `start` does with the gather list of one piece of memory. */
  *start(
    address: number,
    byteLength: number,
    start: (gather: Gather, done: Completion) => void,
    whenDone?: (result: number) => void,
  ): Procedure {
    const transfer = yield* this.#room()
    transfer.gather.add(address, byteLength)
    transfer.whenDone = whenDone
    start(transfer.gather, transfer)
  }

  /** As `start`, for operations without data. */
  *startBare(start: (done: Completion) => void): Procedure {
    start(yield* this.#room())
  }

  *#room(): Procedure<Transfer> {
    while (this.inFlight >= this.#limit) yield 'wait'
    const transfer = this.#idle.pop() ?? new Transfer(this)
    transfer.gather.clear()
    this.inFlight += 1
    return transfer
  }

  ended(transfer: Transfer, result: number): void {
    this.inFlight -= 1
    this.#idle.push(transfer)
    if (result < 0 && this.failure === 0) this.failure = result
  }

  /** Waits for everything; returns the first failure, or 0, and forgets it. */
  *drain(): Procedure<number> {
    while (this.inFlight > 0) yield 'wait'
    const failure = this.failure
    this.failure = 0
    return failure
  }
}

/** Reads into memory and waits; returns what the disk answered. */
export function* readBytes(disk: Disk, at: number, address: number, byteLength: number): Procedure<number> {
  const transfers = new Transfers(1)
  yield* transfers.start(address, byteLength, (gather, done) => disk.read(at, gather, done))
  return yield* transfers.drain()
}

/** Writes from memory and waits; returns 0 or -errno. */
export function* writeBytes(disk: Disk, at: number, address: number, byteLength: number): Procedure<number> {
  const transfers = new Transfers(1)
  yield* transfers.start(address, byteLength, (gather, done) => disk.write(at, gather, done))
  return yield* transfers.drain()
}

/** Flushes and waits; returns 0 or -errno. */
export function* flushDisk(disk: { flush(done: Completion): void }): Procedure<number> {
  const transfers = new Transfers(1)
  yield* transfers.startBare((done) => disk.flush(done))
  return yield* transfers.drain()
}
