// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer and runs over it every unit test
// that touches the addon, then the native tests of the same build, if it has any.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { filesUnder, root } from './lib/tree.mjs'

const output = join(root, 'out/asan')

function run(command, arguments_, env = {}) {
  const options = { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }
  const { status, error } = spawnSync(command, arguments_, options)
  if (status === 0) return
  console.error(`test-asan: ${command} failed${error ? ` (${error.message}); apt-get install cmake` : ''}`)
  process.exit(1)
}

function only(paths, what) {
  if (paths.length > 0) return paths[0]
  console.error(`test-asan: the build has no ${what} under ${output}`)
  process.exit(1)
}

run('npm', ['run', '--silent', 'build', '--', '--if-stale'])
const cmakeJs = join(root, 'node_modules/.bin/cmake-js')
run(cmakeJs, ['compile', '-O', output, '-B', 'RelWithDebInfo', '--CDSAN=address,undefined'])

const addon = only(filesUnder(output, 'pollux.node'), 'addon')
const library = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
const folders = ['unit/adapters', 'property', 'process'].map((folder) => join(root, 'dist/test', folder))
const files = folders
  .flatMap((folder) => filesUnder(folder, '.test.js'))
  .filter((file) => file.includes('/adapters/') || readFileSync(file, 'utf8').includes('/adapters/'))
only(files, 'test that uses it')
run(process.execPath, ['--test', '--test-timeout=300000', '--test-concurrency=1', ...files], {
  POLLUX_NATIVE: addon,
  LD_PRELOAD: library,
  // V8 itself keeps memory until the end of the process.
  ASAN_OPTIONS: 'detect_leaks=0',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
})

const nativeTests = filesUnder(output).filter((file) => /_test$/.test(file) && existsSync(file))
for (const file of nativeTests) run(file, [])
