import type { Histogram } from '../base/histogram.ts'
import type { Placement } from './placement.ts'
import { Spin } from './spin.ts'
import type { Uring } from './uring.ts'

/** What a loop drives: an engine, seen through the few things that a loop needs. */
export interface Driven {
  turn(): boolean
  nextWakeMs(): number
  readonly fenceAtMs: number
  /** few requests are under way: each is waited for, and batches gain nothing */
  readonly isShallow: boolean
  /** whether many small changes are under way; undefined: this turn does not say */
  readonly hasMany: boolean | undefined
  fenced(): void
  readonly isStopped: boolean
  /** how long turns take */
  readonly turnTimes: Histogram
}

/**
 * Turns an engine until it has stopped: one system call per turn, which submits everything, waits
 * for whatever comes first, and refuses to let anything out once the lease has ended. Where completions come
 * within microseconds and are waited for, it does not sleep in between.
 */
export function runLoop(engine: Driven, uring: Uring, placement: Placement, nowMs: () => number): void {
  const spin = new Spin()
  let more = true
  while (!engine.isStopped) {
    const beforeMs = nowMs()
    engine.turnTimes.add(beforeMs - uring.nowMs)
    const waitMs = more ? 0 : Math.max(0, engine.nextWakeMs() - beforeMs)
    if (placement.isWanted) placement.vote(engine.hasMany)
    const spinUs = engine.isShallow && !placement.isKept ? spin.us : 0
    const result = uring.turn(waitMs, engine.fenceAtMs, spinUs)
    if (waitMs > 0 && result !== 'fenced') spin.learn(uring.nowMs - beforeMs, spinUs, uring.slept)
    if (result === 'fenced') {
      // whatever takes all of the time of that CPU
      placement.letGo()
      // a renewal may have been answered while this thread did not run: only that can save the lease
      uring.onWake()
      engine.fenced()
      if (engine.fenceAtMs <= nowMs()) uring.cancelUnsubmitted()
    }
    more = engine.turn()
  }
}
