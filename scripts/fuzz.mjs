// Runs the property and fuzz suites again and again with new seeds: `npm run fuzz -- [seconds] [seed]`.
// Stops at the first failure and prints the seed, which given as second argument runs that round again.
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { filesUnder, root } from './lib/tree.mjs'

const seconds = Number(process.argv[2] ?? 60)
const chosenSeed = process.argv[3]
if (!(seconds > 0)) {
  console.error('fuzz: usage: npm run fuzz -- [seconds] [seed]')
  process.exit(2)
}
const built = spawnSync('npm', ['run', '--silent', 'build', '--', '--if-stale'], {
  cwd: root,
  stdio: 'inherit',
})
if (built.status !== 0) process.exit(1)

const files = ['property', 'fuzz'].flatMap((suite) => filesUnder(join(root, 'dist/test', suite), '.test.js'))
if (files.length === 0) {
  console.error('fuzz: there is no property test and no fuzz test')
  process.exit(1)
}
const endMs = Date.now() + seconds * 1000
let rounds = 0
do {
  const seed = Number(chosenSeed ?? randomInt(2 ** 31))
  rounds += 1
  const { status } = spawnSync(
    process.execPath,
    [
      '--enable-source-maps',
      '--test',
      `--test-reporter=${join(root, 'scripts/test-reporter.mjs')}`,
      '--test-reporter-destination=stdout',
      ...files,
    ],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        NO_COLOR: '1',
        POLLUX_FUZZ_SEED: String(seed),
        NODE_OPTIONS: `--import=${join(root, 'scripts/lib/fuzz-seed.mjs')}`,
      },
    },
  )
  if (status !== 0) {
    console.error(`fuzz: failed in round ${rounds}; again with: npm run fuzz -- 1 ${seed}`)
    process.exit(1)
  }
} while (Date.now() < endMs && chosenSeed === undefined)
console.log(`fuzz: ${rounds} rounds of ${files.length} files, nothing found`)
