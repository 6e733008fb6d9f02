import { crashDuring, crashEverywhere, emptyTally, sequences } from './explore.ts'
import { operations } from './operations.ts'
import { workloads } from './workloads.ts'

/** `npm run scope -- [LENGTH]`: all workloads, and all sequences of up to LENGTH operations (3). */
function main(): void {
  const length = Number(process.argv[2] ?? 3)
  const tally = emptyTally()
  const startedMs = performance.now()
  for (const workload of workloads) {
    crashDuring(workload, 'vault', tally)
    report()
  }
  for (const steps of sequences(operations, length)) {
    crashEverywhere(steps, 'vault', tally)
    if (tally.sequences % 50 === 0) report()
    if (tally.failures.length >= 5) break
  }
  report()
  for (const failure of tally.failures) console.log(failure)
  process.exitCode = tally.failures.length === 0 ? 0 : 1

  function report(): void {
    const { failures, ...counts } = tally
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    console.log(`${JSON.stringify(counts)}, ${failures.length} failures, ${seconds} s`)
  }
}

main()
