import { execFileSync } from 'node:child_process'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { Report } from './report.ts'
import { type Outcome, runSeed } from './run.ts'

const USAGE = `usage: npm run sim -- [--seed N [--trace]] | [--seeds FROM..TO [--jobs N]]  [--ticks MILLISECONDS]`
/** Events told of a seed that failed. */
const LAST_EVENTS = 60

interface Wanted {
  readonly from: number
  readonly to: number
  readonly single: boolean
  readonly ticks: number | undefined
  readonly trace: boolean
  readonly jobs: number
}

function wanted(words: readonly string[]): Wanted {
  const value = (name: string): string | undefined =>
    words.includes(name) ? words[words.indexOf(name) + 1] : undefined
  const number = (name: string): number | undefined => {
    const text = value(name)
    if (text === undefined) return undefined
    const parsed = Number(text)
    if (Number.isSafeInteger(parsed) && parsed >= 0) return parsed
    console.error(`${name} wants a number, not '${text}'\n${USAGE}`)
    process.exit(2)
  }
  const seed = number('--seed')
  const [first, last] = (value('--seeds') ?? '1..100').split('..').map(Number)
  const from = seed ?? first ?? 1
  return {
    from,
    to: seed ?? last ?? from,
    single: seed !== undefined,
    ticks: number('--ticks'),
    trace: words.includes('--trace'),
    jobs: Math.max(1, number('--jobs') ?? 1),
  }
}

async function main(): Promise<void> {
  const what = wanted(process.argv.slice(2))
  const report = new Report()
  const startedMs = performance.now()
  const before = process.cpuUsage()
  const take = (outcome: Outcome): void => {
    report.add(outcome)
    if (what.single || outcome.failure !== undefined) tell(outcome, what)
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${report.seeds} of ${what.to - what.from + 1} seeds, ${report.failed} failed `)
    }
  }
  if (what.jobs > 1) await inThreads(what, take)
  else for (let seed = what.from; seed <= what.to; seed += 1) take(run(seed, what))
  const { user, system } = process.cpuUsage(before)
  if (process.stderr.isTTY) process.stderr.write('\n')
  for (const line of report.lines(performance.now() - startedMs, (user + system) / 1000)) console.log(line)
  process.exitCode = report.failed === 0 ? 0 : 1
}

/** A seed that fails is run once more: a world that does not repeat itself is a bug of the simulator. */
function run(seed: number, { ticks, trace, single }: Pick<Wanted, 'ticks' | 'trace' | 'single'>): Outcome {
  const outcome = runSeed(seed, { ticks, tell: trace ? (line) => console.log(line) : undefined })
  if (outcome.failure === undefined && !single) return outcome
  const again = runSeed(seed, { ticks })
  if (again.hash === outcome.hash) return outcome
  const text = `it does not replay: its digest was ${outcome.hash}, then ${again.hash}`
  return { ...outcome, failure: `${text}\n${outcome.failure ?? ''}` }
}

function tell(outcome: Outcome, what: Wanted): void {
  const { seed, failure, events, ...facts } = outcome
  console.log(JSON.stringify({ seed, ...facts }))
  if (failure === undefined) return
  console.log(`seed ${seed} of commit ${commit()}: ${failure}`)
  console.log(`the last of ${facts.steps} steps:\n${events.slice(-LAST_EVENTS).join('\n')}`)
  const ticks = what.ticks === undefined ? '' : ` --ticks ${what.ticks}`
  console.log(`again: npm run sim -- --seed ${seed}${ticks} --trace\n`)
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}

/** Each thread asks for the next seed when it is done with one. */
function inThreads(what: Wanted, take: (outcome: Outcome) => void): Promise<unknown> {
  let next = what.from
  const threads = Array.from({ length: what.jobs }, () => {
    const worker = new Worker(new URL(import.meta.url))
    return new Promise<void>((resolve, reject) => {
      const goOn = (): void => {
        if (next > what.to) return void worker.terminate()
        worker.postMessage({ seed: next, ticks: what.ticks })
        next += 1
      }
      worker.on('message', (outcome: Outcome) => {
        take(outcome)
        goOn()
      })
      worker.on('error', reject)
      worker.on('exit', () => resolve())
      goOn()
    })
  })
  return Promise.all(threads)
}

if (isMainThread) await main()
else {
  parentPort!.on('message', ({ seed, ticks }: { seed: number; ticks: number | undefined }) => {
    parentPort!.postMessage(run(seed, { ticks, trace: false, single: false }))
  })
}
