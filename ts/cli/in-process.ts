import { systemClock } from '../adapters/clock.ts'
import { NativeDisks } from '../adapters/disk.ts'
import { systemEntropy } from '../adapters/entropy.ts'
import { NativeMemory } from '../adapters/memory.ts'
import { Uring } from '../adapters/uring.ts'
import type { Procedure } from '../base/procedure.ts'
import type { World } from '../ports/world.ts'
import { note } from './output.ts'

/** What commands that work on disks without a node see of the world. */
export type DiskWorld = Pick<World, 'memory' | 'disks' | 'clock' | 'entropy' | 'host'>

const WAIT_MS = 100

let shared: Uring | undefined

/** Runs one procedure to its end on the calling thread. */
export function runProcedure<T>(make: (world: DiskWorld) => Procedure<T>): T {
  shared ??= new Uring()
  const uring = shared
  const world: DiskWorld = {
    memory: new NativeMemory(),
    disks: new NativeDisks(uring),
    clock: systemClock,
    entropy: systemEntropy,
    host: {
      event: (level, _kind, text) => (level === 'info' ? undefined : note(text)),
      serving: () => {},
      answer: () => {},
      wantLink: () => {},
    },
  }
  const procedure = make(world)
  for (;;) {
    const step = procedure.next()
    if (step.done) return step.value
    uring.turn(step.value === 'again' ? 0 : WAIT_MS, 0)
  }
}
