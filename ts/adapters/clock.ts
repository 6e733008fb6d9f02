import type { Clock } from '../ports/clock.ts'
import { native } from './native.ts'

/** CLOCK_MONOTONIC and the wall clock of this host. */
export const systemClock: Clock = {
  now: () => native.monotonicMs(),
  wall: () => Date.now(),
}
