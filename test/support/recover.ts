import type { Procedure } from '../../ts/base/procedure.ts'
import { findEntries, type ReplayLimits, retainEntries } from '../../ts/log/replay.ts'
import type { LogRing } from '../../ts/log/ring.ts'
import type { MemoryPort } from '../../ts/ports/memory.ts'

/** As an opening does it with nothing to wait for in between. */
export function* recover(
  ring: LogRing,
  memory: MemoryPort,
  limits: ReplayLimits,
): Procedure<{ applied: number }> {
  retainEntries(ring, yield* findEntries(ring, memory, limits))
  return { applied: ring.entryCount }
}
