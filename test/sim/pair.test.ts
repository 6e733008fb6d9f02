import { execFileSync } from 'node:child_process'
import t from 'tap'
import { Report } from './report.ts'
import { runSeed } from './run.ts'

/** Seeds for so long, and at least so many; POLLUX_SEEDS runs just those. */
const BUDGET_MS = Number(process.env['POLLUX_SIM_BUDGET_S'] ?? 300) * 1000
const SEEDS_MIN = Number(process.env['POLLUX_SEEDS'] ?? 300)
const SEEDS_MAX = Number(process.env['POLLUX_SEEDS'] ?? Number.POSITIVE_INFINITY)
/** A slow machine runs fewer, rather than a test that is ended from outside. */
const LIMIT_MS = 1.5 * BUDGET_MS

const isEnough = (seeds: number, elapsedMs: number): boolean =>
  seeds >= SEEDS_MAX || (elapsedMs > BUDGET_MS && seeds >= SEEDS_MIN) || elapsedMs > LIMIT_MS

/** Fresh worlds for each commit, the same ones for everybody who looks at it. */
function firstSeed(): number {
  if (process.env['POLLUX_SEED'] !== undefined) return Number(process.env['POLLUX_SEED'])
  try {
    const first = Number.parseInt(
      execFileSync('git', ['rev-parse', 'HEAD'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).slice(0, 6),
      16,
    )
    return Number.isSafeInteger(first) ? first : 1
  } catch {
    return 1
  }
}

// tap would end it after half a minute
t.setTimeout(LIMIT_MS + 140_000)

t.test(
  'simulated pairs lose nothing, invent nothing and come back, whatever fails',
  { timeout: LIMIT_MS + 140_000 },
  (t) => {
    const from = firstSeed()
    const report = new Report()
    const startedMs = performance.now()
    for (let seed = from; !isEnough(report.seeds, performance.now() - startedMs); seed += 1) {
      const outcome = runSeed(seed)
      report.add(outcome)
      if (outcome.failure === undefined) continue
      t.fail(`seed ${seed}: ${outcome.failure}`, {
        again: `npm run sim -- --seed ${seed} --trace`,
        events: outcome.events.slice(-40),
      })
    }
    for (const line of report.lines(performance.now() - startedMs, performance.now() - startedMs))
      t.comment(line)
    t.ok(report.average('acknowledged') > 50, 'writes were acknowledged')
    t.ok(report.average('reads') > 30, 'reads were compared')
    t.ok(report.average('statuses') > 5, 'and what is said to be zero')
    t.ok(report.average('ringWraps') >= 3, 'the ring has wrapped')
    t.ok(report.average('takeovers') >= 2, 'nodes took over')
    t.ok(report.average('givebacks') >= 1, 'ownership was given back')
    t.ok(report.average('generations') >= 20, 'consistency points were taken')
    t.ok(report.seeds < 50 || report.average('resyncs') > 0.1, 'plexes came into sync again')
    t.ok(report.seeds < 50 || report.average('repairs') > 0.1, 'damaged blocks were repaired')
    t.end()
  },
)

t.test('the same seed gives the same world, to the last event', (t) => {
  for (const seed of [1, 2, 3]) {
    const [first, second] = [runSeed(seed), runSeed(seed)]
    t.equal(second.hash, first.hash, `seed ${seed}`)
    t.equal(second.steps, first.steps)
  }
  t.end()
})
