import type { Tell } from '../compare/compare.ts'
import type { Section } from '../report/section.ts'
import { figureOf, type Micro, measure } from './harness.ts'
import { linkMicros } from './link.ts'
import { logMicros } from './log.ts'
import { memoryMicros } from './memory.ts'
import { volumeMicros } from './volume.ts'

const ROUNDS = 9
const SMALL_ROUNDS = 2

/** In the order of a write's way. */
export const micros: readonly Micro[] = [...memoryMicros, ...logMicros, ...linkMicros, ...volumeMicros]
export const microNames: readonly string[] = micros.map(({ name }) => name)

export function microSection(
  { isSmall, rounds = isSmall ? SMALL_ROUNDS : ROUNDS }: { isSmall: boolean; rounds?: number },
  tell: Tell,
): Section {
  const figures = micros.map((micro) => {
    tell(micro.name)
    return figureOf(measure(micro, isSmall ? 'small' : 'large', rounds))
  })
  const how = `${isSmall ? 'small' : 'large'}, ${rounds} rounds, in one thread`
  return {
    name: 'micro',
    title: 'micro benchmarks',
    how,
    summaries: [],
    verdicts: [],
    figures,
    charts: [],
    notes: [],
  }
}
