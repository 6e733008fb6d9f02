// Looks for input that something does not stand, for so many seconds: `npm run fuzz -- [seconds] [seed]`.
// On one core the property suite runs again and again with new seeds; on the others the decoders are fuzzed,
// guided by the branches that inputs reach (test/fuzz). Whatever fails prints the seed, which given as second
// argument does the same again.
import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { filesUnder, root } from './lib/tree.mjs'

const seconds = Number(process.argv[2] ?? 60)
const chosenSeed = process.argv[3]
const firstSeed = Number(chosenSeed ?? randomInt(2 ** 31))
if (!(seconds > 0) || !Number.isSafeInteger(firstSeed)) {
  console.error('fuzz: usage: npm run fuzz -- [seconds] [seed]')
  process.exit(2)
}
const built = spawnSync('npm', ['run', '--silent', 'build', '--', '--if-stale'], {
  cwd: root,
  stdio: 'inherit',
})
if (built.status !== 0) process.exit(1)

const files = filesUnder(join(root, 'dist/test/property'), '.test.js')
if (files.length === 0) {
  console.error('fuzz: there is no property test')
  process.exit(1)
}
const [guided, properties] = await Promise.all([fuzzDecoders(), repeatProperties()])
process.exitCode = guided && properties ? 0 : 1

function fuzzDecoders() {
  const jobs = Math.max(1, availableParallelism() - 1)
  const options = ['--seconds', String(seconds), '--seed', String(firstSeed), '--jobs', String(jobs)]
  return succeeds([join(root, 'dist/test/fuzz/main.js'), ...options], {})
}

async function repeatProperties() {
  const endMs = Date.now() + seconds * 1000
  let rounds = 0
  for (let seed = firstSeed; ; seed = randomInt(2 ** 31)) {
    rounds += 1
    const reporter = [
      `--test-reporter=${join(root, 'scripts/test-reporter.mjs')}`,
      '--test-reporter-destination=stdout',
    ]
    const isGood = await succeeds(
      ['--enable-source-maps', '--test', '--test-concurrency=1', ...reporter, ...files],
      {
        NO_COLOR: '1',
        POLLUX_FUZZ_SEED: String(seed),
        NODE_OPTIONS: `--import=${join(root, 'scripts/lib/fuzz-seed.mjs')}`,
      },
    )
    if (!isGood) {
      console.error(`fuzz: properties failed in round ${rounds}; again with: npm run fuzz -- 1 ${seed}`)
      return false
    }
    if (Date.now() >= endMs || chosenSeed !== undefined) break
  }
  console.log(`fuzz: ${rounds} rounds of ${files.length} files of properties, nothing found`)
  return true
}

function succeeds(arguments_, env) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, arguments_, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    })
    child.once('error', () => resolve(false))
    child.once('close', (code) => resolve(code === 0))
  })
}
