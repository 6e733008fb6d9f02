import { runSeed } from './run.ts'

/** `node dist/test/sim/main.js [--seed N | --seeds FROM..TO]`: replays one world, or looks for one that fails. */
function main(): void {
  const words = process.argv.slice(2)
  const value = (name: string): string | undefined => words[words.indexOf(name) + 1]
  const single = words.includes('--seed') ? Number(value('--seed')) : undefined
  const [from, to] = single !== undefined ? [single, single] : range(value('--seeds') ?? '1..100')
  const tell = words.includes('--trace') ? (line: string) => console.log(line) : undefined
  let failed = 0
  const startedMs = performance.now()
  for (let seed = from; seed <= to; seed += 1) {
    const outcome = runSeed(seed, { tell })
    if (single !== undefined || outcome.failure !== undefined) {
      const { events, failure, ...facts } = outcome
      console.log(JSON.stringify(facts))
      if (failure !== undefined) console.log(`seed ${seed}: ${failure}\n${events.slice(-40).join('\n')}`)
    }
    if (outcome.failure !== undefined) failed += 1
  }
  const seconds = (performance.now() - startedMs) / 1000
  console.log(`${to - from + 1} seeds, ${failed} failed, ${seconds.toFixed(1)} s`)
  process.exitCode = failed === 0 ? 0 : 1
}

function range(text: string): [number, number] {
  const [from, to] = text.split('..').map(Number)
  return [from ?? 1, to ?? from ?? 1]
}

main()
