// The addon under AddressSanitizer and UndefinedBehaviorSanitizer: its native tests, every test in TypeScript
// that touches it, and for some seconds (first argument, 20 unless told) each fuzz target, if there is clang.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { filesUnder, root } from './lib/tree.mjs'

const output = join(root, 'out/asan')
const fuzzOutput = join(root, 'out/fuzz')
const fuzzSeconds = Number(process.argv[2] ?? 20)

if (!Number.isFinite(fuzzSeconds)) stop('the argument is a number of seconds for each fuzz target')
const compiler = process.env.CXX ?? 'g++'
const libraries = needed()
run('npm', ['run', '--silent', 'build', '--', '--if-stale'])
build()
nativeTests()
addonTests()
fuzz()
console.log('test-asan: nothing found')

/** Everything that is missing, at once, with the package that has it; or the sanitizers' libraries. */
function needed() {
  const paths = ['libasan.so', 'libubsan.so'].map((name) =>
    spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout?.trim(),
  )
  const missing = [
    exists('cmake') || 'cmake (apt-get install cmake)',
    exists('ninja') || exists('make') || 'ninja or make (apt-get install ninja-build)',
    exists(compiler) || `${compiler} (apt-get install g++)`,
    // The name alone comes back where the compiler has no such library.
    paths.every((path) => path?.startsWith('/')) || 'libasan and libubsan (apt-get install g++)',
  ].filter((found) => found !== true)
  if (missing.length > 0) stop(`this machine lacks ${missing.join(', ')}`)
  return paths
}

function build() {
  const cmakeJs = join(root, 'node_modules/.bin/cmake-js')
  const options = ['-O', output, '-B', 'RelWithDebInfo', '--CDSAN=address,undefined']
  run(cmakeJs, ['compile', '--loglevel=error', ...options])
}

function nativeTests() {
  const tests = filesUnder(output, '_test')
  if (tests.length === 0) stop(`the build has no native test under ${output}`)
  for (const file of tests) run(file, [], { UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1' })
  console.log(`test-asan: ${tests.length} native tests passed`)
}

/** Tests of the adapters, and whatever else imports one. Process tests start programs of their own. */
function addonTests() {
  const [addon] = filesUnder(output, 'pollux.node')
  if (addon === undefined) stop(`the build has no addon under ${output}`)
  const files = ['unit', 'property', 'sim']
    .flatMap((folder) => filesUnder(join(root, 'dist/test', folder), '.test.js'))
    .filter((file) => file.includes('/adapters/') || readFileSync(file, 'utf8').includes('/adapters/'))
  if (files.length === 0) stop('no test uses the addon')
  const reporter = join(root, 'scripts/test-reporter.mjs')
  const options = ['--test-timeout=600000', '--test-concurrency=1', `--test-reporter=${reporter}`]
  run(process.execPath, ['--test', ...options, '--test-reporter-destination=stdout', ...files], {
    POLLUX_NATIVE: addon,
    LD_PRELOAD: libraries.join(':'),
    // V8 itself keeps memory until the end of the process.
    ASAN_OPTIONS: 'detect_leaks=0',
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  })
  console.log(`test-asan: ${files.length} files of tests passed with the addon under sanitizers`)
}

function fuzz() {
  if (!exists('clang++')) {
    console.log('test-asan: no fuzzing without clang (apt-get install clang libclang-rt-dev)')
    return
  }
  const settings = ['-DFUZZ=ON', '-DCMAKE_CXX_COMPILER=clang++', '-DCMAKE_BUILD_TYPE=RelWithDebInfo']
  run('cmake', ['-S', root, '-B', fuzzOutput, ...settings], {}, 'ignore')
  run('cmake', ['--build', fuzzOutput, '--parallel', String(availableParallelism())], {}, 'ignore')
  const targets = filesUnder(fuzzOutput, '_fuzz')
  if (targets.length === 0) stop(`the build has no fuzz target under ${fuzzOutput}`)
  for (const target of targets) {
    const corpus = join(fuzzOutput, 'corpus', basename(target))
    mkdirSync(corpus, { recursive: true })
    const options = [`-max_total_time=${fuzzSeconds}`, '-max_len=9002', `-artifact_prefix=${fuzzOutput}/`]
    const { status, stderr } = spawnSync(target, [...options, corpus], { cwd: root, encoding: 'utf8' })
    if (status !== 0) stop(`${basename(target)} has found something\n${stderr.slice(-8000)}`)
  }
  console.log(`test-asan: ${targets.length} fuzz targets ran for ${fuzzSeconds} s each`)
}

function exists(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

function run(command, arguments_, env = {}, stdout = 'inherit') {
  const stdio = ['ignore', stdout, 'inherit']
  const { status, error } = spawnSync(command, arguments_, {
    cwd: root,
    stdio,
    env: { ...process.env, ...env },
  })
  if (status !== 0) stop(`${command} failed${error ? ` (${error.message})` : ''}`)
}

function stop(message) {
  console.error(`test-asan: ${message}`)
  process.exit(1)
}
