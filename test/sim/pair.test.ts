import { execFileSync } from 'node:child_process'
import t from 'tap'
import { runSeed } from './run.ts'

const SEEDS = Number(process.env['POLLUX_SEEDS'] ?? 60)

/** Fresh worlds for each commit, the same ones for everybody who looks at it. */
function firstSeed(): number {
  if (process.env['POLLUX_SEED'] !== undefined) return Number(process.env['POLLUX_SEED'])
  try {
    return Number.parseInt(execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).slice(0, 6), 16)
  } catch {
    return 1
  }
}

t.test('simulated pairs lose nothing, invent nothing and come back, whatever fails', (t) => {
  const from = firstSeed()
  const totals = { acknowledged: 0, reads: 0, takeovers: 0, generations: 0 }
  for (let seed = from; seed < from + SEEDS; seed += 1) {
    const outcome = runSeed(seed)
    if (outcome.failure !== undefined) {
      t.fail(`seed ${seed}: ${outcome.failure}`, { events: outcome.events.slice(-40) })
    }
    totals.acknowledged += outcome.acknowledged
    totals.reads += outcome.reads
    totals.takeovers += outcome.takeovers
    totals.generations += outcome.generations
  }
  t.ok(totals.acknowledged > SEEDS * 20, `writes were acknowledged (${totals.acknowledged})`)
  t.ok(totals.reads > SEEDS * 20, `reads were compared (${totals.reads})`)
  t.ok(totals.takeovers > SEEDS, `ownership changed (${totals.takeovers})`)
  t.ok(totals.generations > SEEDS * 4, `consistency points were taken (${totals.generations})`)
  t.end()
})
