import { StoreError } from '../base/errors.ts'
import { Histogram } from '../base/histogram.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { consistencyPoint, type Published } from '../consistency-point/consistency-point.ts'
import { FrozenIndex } from '../log/dirty-index.ts'
import type { Clock } from '../ports/clock.ts'
import type { Aggregate } from './aggregate.ts'

const RETRY_FIRST_MS = 250
const RETRY_MAX_MS = 5000

export interface ConsistencySettings {
  /** fill of the ring at which a consistency point begins, 0 to 1 */
  readonly fillMark: number
  /** at the latest so long after the first change, in milliseconds */
  readonly intervalMs: number
}

export interface ConsistencyEvents {
  published(generation: number, sequence: number): void
  failed(error: StoreError, retryMs: number): void
}

/**
 * When consistency points happen, and that each one is the only one. One that failed is run again
 * with the same frozen changes; nothing it did counts before its superblock is durable.
 */
export class Consistency {
  isHeld = false
  lastStartedMs = 0
  lastDurationMs = 0
  published = 0
  failures = 0
  /** why the last one failed; empty if it did not */
  failure = ''
  readonly stages = {
    trees: new Histogram(),
    map: new Histogram(),
    flush: new Histogram(),
    superblock: new Histogram(),
  }
  #wanted: string | undefined
  /** what was freed is to become free, even if there is nothing to write */
  #wantsSpace = false
  /** a generation is wanted for its own sake */
  #isForced = false
  #running: Procedure | undefined
  #isAttempting = false
  #isAbandoned = false
  #failedAttempts = 0
  #notBeforeMs = 0
  #dirtySinceMs = 0
  #waiters: { generation: number; done: (error?: StoreError) => void }[] = []
  readonly #aggregate: Aggregate
  readonly #settings: ConsistencySettings
  readonly #clock: Clock
  readonly #events: ConsistencyEvents
  readonly #node: Uint8Array
  readonly #stillOwner: () => boolean

  constructor(
    aggregate: Aggregate,
    settings: ConsistencySettings,
    clock: Clock,
    node: Uint8Array,
    stillOwner: () => boolean,
    events: ConsistencyEvents,
  ) {
    this.#aggregate = aggregate
    this.#settings = settings
    this.#clock = clock
    this.#node = node
    this.#stillOwner = stillOwner
    this.#events = events
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Whether one is under way on the disks, not only waiting to be tried again. */
  get isAttempting(): boolean {
    return this.#isAttempting
  }

  /** Something to do without any completion or timer. */
  hasWork = false

  request(why: string): void {
    this.#wanted ??= why
  }

  /** The same, but also with nothing to write, if it lets blocks that were freed be used again. */
  requestSpace(why: string): void {
    this.#wantsSpace = true
    this.request(why)
  }

  /** The same, in any case. */
  force(why: string): void {
    this.#isForced = true
    this.request(why)
  }

  /** Runs `done` once everything logged before now is on disk. */
  complete(done: (error?: StoreError) => void): void {
    if (!this.isRunning && this.#isClean()) return done()
    const running = this.isRunning ? 1 : 0
    this.#waiters.push({ generation: this.#aggregate.image.generation + running + 1, done })
    this.request('it was asked for')
  }

  hold(): void {
    this.isHeld = true
  }

  resume(): void {
    this.isHeld = false
  }

  /** Called once per turn. */
  step(nowMs: number): void {
    this.hasWork = false
    if (this.#isAbandoned) return
    if (this.#running === undefined) this.#maybeBegin(nowMs)
    if (this.#running === undefined || nowMs < this.#notBeforeMs) return
    try {
      const { done, value } = this.#running.next()
      if (done) this.#running = undefined
      else this.hasWork = value === 'again'
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#failed(error, nowMs)
    }
  }

  nextWakeMs(): number {
    if (this.#running !== undefined && this.#notBeforeMs > 0) return this.#notBeforeMs
    if (this.#running !== undefined || this.isHeld || this.#dirtySinceMs === 0)
      return Number.POSITIVE_INFINITY
    return this.#dirtySinceMs + this.#settings.intervalMs
  }

  /**
   * No longer owner: whoever waits hears it. Returns what is left to be done until nothing is in flight
   * and all memory is given back.
   */
  abandon(error: StoreError): Procedure {
    const running = this.#running
    this.#running = undefined
    this.#isAbandoned = true
    for (const waiter of this.#waiters.splice(0)) waiter.done(error)
    return undoing(running, error)
  }

  #isClean(): boolean {
    const { ring } = this.#aggregate
    return this.#aggregate.image.lastSequence === ring.head - 1
  }

  #maybeBegin(nowMs: number): void {
    const { ring } = this.#aggregate
    const frees = this.#wantsSpace && this.#aggregate.image.space.freeing > 0
    if (this.#isClean() && !frees && !this.#isForced) {
      this.#dirtySinceMs = 0
      this.#wanted = undefined
      this.#wantsSpace = false
      for (const waiter of this.#waiters.splice(0)) waiter.done()
      return
    }
    if (this.#dirtySinceMs === 0) this.#dirtySinceMs = nowMs
    if (this.isHeld) return
    const due = nowMs - this.#dirtySinceMs >= this.#settings.intervalMs
    if (this.#wanted === undefined && !due && ring.fill < this.#settings.fillMark) return
    this.#wanted = undefined
    this.#wantsSpace = false
    this.#isForced = false
    this.#dirtySinceMs = 0
    this.#failedAttempts = 0
    this.#notBeforeMs = 0
    this.lastStartedMs = nowMs
    this.#running = this.#run()
  }

  *#run(): Procedure {
    const aggregate = this.#aggregate
    const cut = aggregate.ring.head - 1
    const pagesBefore = aggregate.ring.pagesUsed
    const changes = new FrozenIndex(aggregate.ring, aggregate.freeze(), cut)
    const directory = aggregate.image.directory.freeze()
    this.#isAttempting = true
    for (;;) {
      try {
        const { durationsMs } = yield* consistencyPoint(aggregate.image, changes, directory, {
          epoch: aggregate.epoch,
          node: this.#node,
          wallMs: this.#clock.wall(),
          stillOwner: this.#stillOwner,
          // the disks must not show a change before every copy of the log has it
          mayPublish: () => aggregate.acknowledged >= cut,
          untilRetry: (error) => this.#untilRetry(error),
        })
        this.#addStages(durationsMs)
        break
      } catch (error) {
        if (!(error instanceof StoreError) || this.#isAbandoned) throw error
        yield* this.#untilRetry(error)
      }
    }
    this.#isAttempting = false
    this.#notBeforeMs = 0
    aggregate.thaw()
    this.#published(cut, pagesBefore)
  }

  #addStages({ trees, map, flush, superblock }: Published['durationsMs']): void {
    this.stages.trees.add(trees)
    this.stages.map.add(map)
    this.stages.flush.add(flush)
    this.stages.superblock.add(superblock)
  }

  /** Nothing is under way meanwhile, so that a disk that failed can be readmitted (engine/readmission.ts). */
  *#untilRetry(error: StoreError): Procedure {
    this.#isAttempting = false
    this.#failed(error, this.#clock.now())
    while (this.#clock.now() < this.#notBeforeMs) yield 'wait'
    this.#isAttempting = true
  }

  #published(cut: number, pagesBefore: number): void {
    const aggregate = this.#aggregate
    this.published += 1
    this.failure = ''
    this.lastDurationMs = this.#clock.now() - this.lastStartedMs
    aggregate.admission.freed(pagesBefore * BLOCK_SIZE, this.lastDurationMs)
    const { generation } = aggregate.image
    this.#events.published(generation, cut)
    const due = this.#waiters.filter((waiter) => waiter.generation <= generation)
    this.#waiters = this.#waiters.filter((waiter) => waiter.generation > generation)
    for (const waiter of due) waiter.done()
    if (this.#waiters.length > 0) this.request('it was asked for')
  }

  #failed(error: StoreError, nowMs: number): void {
    this.failures += 1
    this.failure = error.message
    const retryMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failedAttempts)
    this.#failedAttempts += 1
    this.#notBeforeMs = nowMs + retryMs
    this.#events.failed(error, retryMs)
  }
}

function* undoing(running: Procedure | undefined, error: StoreError): Procedure {
  if (running === undefined) return
  let { done } = running.throw(error)
  while (done !== true) {
    yield 'wait'
    done = running.next().done
  }
}
