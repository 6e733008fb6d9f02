import { explore } from './explore.ts'
import { beginnings } from './pair.ts'
import { scenarios } from './scenarios.ts'

/** So that the full run takes less than an hour; a scenario that has more says that not all was seen. */
const STATES_MAX = 3_000_000

/** `npm run model -- [quick|full] [NAME]`: explores ownership and prints how much there was to see. */
function main(): void {
  const [size = 'quick', only] = process.argv.slice(2)
  let failed = 0
  for (const { name, begin, quick, full } of scenarios) {
    if (only !== undefined && only !== name) continue
    const startedMs = performance.now()
    const start = beginnings[begin]()
    const found = explore(start, size === 'full' ? full : quick, STATES_MAX)
    const { states, transitions, depth, isComplete, failure, trail } = found
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    const extent = isComplete ? 'all of them' : 'not all of them'
    console.log(
      `${name}: ${states} states (${extent}), ${transitions} transitions, depth ${depth}, ${seconds} s`,
    )
    if (failure === undefined) continue
    failed += 1
    console.log(`${failure}\n  ${trail.join('\n  ')}`)
  }
  process.exitCode = failed === 0 ? 0 : 1
}

main()
