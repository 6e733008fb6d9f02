import type { Summary } from '../../ts/cli/fio-summary.ts'
import type { ServerName } from './server.ts'

/** Below one of these the design does not hold. */
const targets: readonly { readonly of: ServerName; readonly ratio: number }[] = [
  { of: 'nbdkit', ratio: 0.7 },
  { of: 'qemu-nbd', ratio: 5 },
]

/** What the first load misses, each in one sentence; servers that did not run are missed too. */
export function missedTargets(summaries: readonly Summary[]): string[] {
  const pollux = summaries.find(({ server }) => server.startsWith('pollux'))
  return targets.flatMap(({ of, ratio }) => {
    const reached = Object.entries(pollux?.ratios ?? {}).find(([name]) => name.startsWith(of))?.[1]
    if (reached !== undefined && reached >= ratio) return []
    return [
      `pollux reaches ${reached?.toFixed(2) ?? 'nothing, not being compared,'} of ${of}; it takes ${ratio}`,
    ]
  })
}
