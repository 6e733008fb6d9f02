import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { targetNames } from './registry.ts'
import { fuzzAll, repeat } from './run.ts'

/** Of each decoder. Minutes and hours are for `npm run fuzz`. */
const SECONDS = 3
const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const folder = mkdtempSync(join(tmpdir(), 'pollux-fuzz-'))

t.test('no decoder fails, whatever it gets', async (t) => {
  t.comment(`seed ${seed}`)
  const jobs = availableParallelism()
  const reports = await fuzzAll({ targets: targetNames, seed, seconds: SECONDS, jobs, folder })
  t.equal(reports.length, targetNames.length)
  for (const { target, failure, executions, corpus, covered } of reports) {
    if (failure) {
      t.fail(`${target}: ${failure.error}\nnode dist/test/fuzz/main.js --input ${failure.path} ${target}`)
      continue
    }
    t.ok(
      executions > 20 && covered > 20,
      `${target}: ${executions} inputs, ${covered} branches, ${corpus} kept`,
    )
  }
  if (reports.every(({ failure }) => failure === undefined)) rmSync(folder, { recursive: true })
})

t.test('an input that fails is kept, shortened, and fails again; one that hangs is kept, too', async (t) => {
  const own = mkdtempSync(join(tmpdir(), 'pollux-fuzz-'))
  t.teardown(() => rmSync(own, { recursive: true, force: true }))
  const order = { seed: 3, seconds: 30, jobs: 2, folder: own }
  const reports = await fuzzAll({ ...order, targets: ['planted', 'planted-hang'] })
  const [found, hung] = ['planted', 'planted-hang'].map((name) =>
    reports.find(({ target }) => target === name),
  )
  t.match(found!.failure, { error: /the planted bug/ })
  t.ok(readFileSync(found!.failure!.path).length < 64)
  t.match(await repeat('planted', found!.failure!.path), /the planted bug/)
  t.match(hung!.failure, { error: /more than/ })
  t.ok(existsSync(hung!.failure!.path))
})
