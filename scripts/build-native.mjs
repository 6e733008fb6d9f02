// Builds the addon with npm's own node-gyp. Node ships its headers next to its binary in all usual
// layouts; node-gyp would rather download them, which fails without a network, so it is told where they are.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const prefix = join(dirname(process.execPath), '..')
const major = process.versions.node.split('.')[0]

function hasHeaders() {
  const version = join(prefix, 'include', 'node', 'node_version.h')
  if (!existsSync(version) || !existsSync(join(prefix, 'include', 'node', 'common.gypi'))) return false
  return new RegExp(`NODE_MAJOR_VERSION ${major}\\b`).test(readFileSync(version, 'utf8'))
}

function findNodeGyp() {
  if (process.env.npm_config_node_gyp) return process.env.npm_config_node_gyp
  const npm = spawnSync('npm', ['root', '-g'], { encoding: 'utf8' }).stdout?.trim() ?? ''
  const bundled = join(npm, 'npm', 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
  if (existsSync(bundled)) return bundled
  return createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')
}

const options = hasHeaders() ? [`--nodedir=${prefix}`] : []
const built = spawnSync(
  process.execPath,
  [findNodeGyp(), 'configure', 'build', '--loglevel=error', ...options],
  {
    cwd: root,
    stdio: 'inherit',
  },
)
if (built.status !== 0) {
  console.error(
    'pollux: the addon could not be built; it needs a C++ compiler, make and python3 (apt: build-essential python3)',
  )
}
process.exit(built.status ?? 1)
