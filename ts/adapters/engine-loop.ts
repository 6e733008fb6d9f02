import type { Uring } from './uring.ts'

/** What a loop drives: an engine, seen through the few things that a loop needs. */
export interface Driven {
  turn(): boolean
  nextWakeMs(): number
  readonly fenceAtMs: number
  fenced(): void
  readonly isStopped: boolean
}

/**
 * Turns an engine until it has stopped: one system call per turn, which submits everything, waits
 * for whatever comes first, and refuses to let anything out once the lease has ended.
 */
export function runLoop(engine: Driven, uring: Uring, nowMs: () => number): void {
  let more = true
  while (!engine.isStopped) {
    const waitMs = more ? 0 : Math.max(0, engine.nextWakeMs() - nowMs())
    if (uring.turn(waitMs, engine.fenceAtMs) === 'fenced') {
      // a renewal may have been answered while this thread did not run: only that can save the lease
      uring.onWake()
      engine.fenced()
      if (engine.fenceAtMs <= nowMs()) uring.cancelUnsubmitted()
    }
    more = engine.turn()
  }
}
