// Builds, checks and runs the suites: every folder of test/ that has *.test.ts is one. Arguments name
// suites, or single files of them (`process/kills`); without any, all run and so does Biome.
// The last line is `N passed, N failed, N skipped`.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { filesUnder, root } from './lib/tree.mjs'

/** Cheap and telling suites first. Process tests have the machine to themselves. */
const suites = {
  tidy: { timeoutS: 60 },
  unit: { timeoutS: 60 },
  golden: { timeoutS: 60 },
  property: { timeoutS: 120 },
  fuzz: { timeoutS: 120 },
  sim: { timeoutS: 600 },
  model: { timeoutS: 300 },
  mutation: { timeoutS: 600 },
  process: { timeoutS: 600, concurrency: 1 },
}
const total = { files: 0, tests: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 }
const skipped = []
const broken = []

await main()

async function main() {
  const wanted = process.argv.slice(2)
  for (const name of wanted.map((path) => path.split('/')[0])) {
    if (!Object.hasOwn(suites, name))
      stop(`no suite is called ${name}; there are ${Object.keys(suites).join(', ')}`)
  }
  build(wanted)
  const filesBySuite = collect()
  for (const path of wanted) {
    if (![...filesBySuite.values()].flat().some((file) => isIn(file, path)))
      broken.push(`there is no test file ${path}`)
  }
  for (const [name, files] of filesBySuite) {
    const chosen = files.filter((file) => wanted.length === 0 || wanted.some((path) => isIn(file, path)))
    if (chosen.length > 0) await runSuite(name, chosen)
  }
  if (total.tests === 0) broken.push('no test was executed')
  conclude()
}

function build(wanted) {
  if (!succeeds('npm', ['run', '--silent', 'build', '--', '--if-stale'])) stop('the build failed')
  if (wanted.length > 0) return
  console.log('check: Biome')
  const arguments_ = ['check', '--max-diagnostics=50', '--error-on-warnings', '.']
  if (!succeeds(join(root, 'node_modules/.bin/biome'), arguments_)) broken.push('Biome found something')
}

/** Whether a compiled test file is what an argument names: a suite, a folder in it, or the file. */
function isIn(file, path) {
  const name = relative(join(root, 'dist/test'), file).replace(/\.test\.js$/, '')
  return name === path || name.startsWith(`${path}/`)
}

/** Test files by suite, in the order of the table above. */
function collect() {
  const folder = join(root, 'dist/test')
  const filesBySuite = new Map(Object.keys(suites).map((name) => [name, []]))
  for (const file of filesUnder(folder, '.test.js')) {
    const suite = filesBySuite.get(relative(folder, file).split(sep)[0])
    if (suite) suite.push(file)
    else broken.push(`${relative(root, file)} belongs to no suite`)
  }
  return filesBySuite
}

async function runSuite(name, files) {
  const { timeoutS, concurrency = availableParallelism() } = suites[name]
  console.log(`\n${name}: ${files.length} files`)
  const scratch = mkdtempSync(join(tmpdir(), 'pollux-tests-'))
  const summaryPath = join(scratch, 'summary.json')
  const startedMs = Date.now()
  const exitCode = await node(
    [
      '--enable-source-maps',
      '--test',
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${timeoutS * 1000}`,
      `--test-reporter=${join(root, 'scripts/test-reporter.mjs')}`,
      '--test-reporter-destination=stdout',
      ...files,
    ],
    // tap's own limit, of 30 s by default, would end a slow file without a word
    { ...process.env, POLLUX_TEST_SUMMARY: summaryPath, NO_COLOR: '1', TAP_TIMEOUT: String(timeoutS) },
  )
  const summary = readSummary(summaryPath)
  rmSync(scratch, { recursive: true, force: true })
  const tookS = ((Date.now() - startedMs) / 1000).toFixed(1)
  tally(name, files.length, exitCode, summary)
  if (summary) console.log(`${name}: ${summary.counts.tests} tests in ${tookS} s`)
}

function tally(name, fileCount, exitCode, summary) {
  if (!summary) return broken.push(`the suite ${name} did not finish (exit code ${exitCode})`)
  for (const key of Object.keys(total)) total[key] += summary.counts[key] ?? 0
  total.files += fileCount
  skipped.push(...summary.skipped.map((entry) => `${name}: ${entry.title}: ${entry.reason}`))
  const counted = summary.counts.fail + summary.counts.cancelled
  // What only the reporter objects to (a file with no test, a skip with no reason) was counted as passed.
  if (summary.failures > 0 && counted === 0) broken.push(`the suite ${name} has tests that prove nothing`)
  if (exitCode !== 0 && counted === 0) broken.push(`the suite ${name} ended with exit code ${exitCode}`)
}

function conclude() {
  const failed = total.fail + total.cancelled + broken.length
  if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((line) => `  ${line}`).join('\n')}`)
  if (broken.length > 0) console.log(`\nbroken:\n${broken.map((line) => `  ${line}`).join('\n')}`)
  console.log(`\n# files ${total.files}`)
  for (const key of ['tests', 'pass', 'fail', 'cancelled', 'skipped', 'todo'])
    console.log(`# ${key} ${total[key]}`)
  console.log(`${total.pass} passed, ${failed} failed, ${total.skipped + total.todo} skipped`)
  process.exitCode = failed === 0 ? 0 : 1
}

function succeeds(command, arguments_) {
  return spawnSync(command, arguments_, { cwd: root, stdio: 'inherit' }).status === 0
}

function node(arguments_, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, arguments_, {
      cwd: root,
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal))
  })
}

function readSummary(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

function stop(message) {
  console.error(`test: ${message}`)
  console.log('0 passed, 1 failed, 0 skipped')
  process.exit(1)
}
