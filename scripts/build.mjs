// Builds the addon and the TypeScript; with --if-stale only what is older than its sources.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { isStale, root } from './lib/tree.mjs'

const onlyStale = process.argv.includes('--if-stale')
const at = (...names) => names.map((name) => join(root, name))

function run(title, command, args) {
  console.log(`build: ${title}`)
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status === 0) return
  console.error(`build: ${title} failed${error ? ` (${error.message})` : ''}`)
  process.exit(1)
}

const addonSources = at(
  'binding.gyp',
  'native/addon.cpp',
  'native/binding',
  'native/core',
  'native/generated',
)
if (!onlyStale || isStale(join(root, 'build/Release/pollux.node'), addonSources)) {
  // Through npm, because the build script uses the node-gyp that npm brings along.
  run('addon', 'npm', ['run', '--silent', 'install'])
}
const sources = at('ts', 'test', 'bench', 'tsconfig.json', 'package.json')
if (!onlyStale || isStale(join(root, 'dist/.built'), sources)) {
  run('TypeScript', process.execPath, [join(root, 'scripts/build-ts.mjs')])
}
