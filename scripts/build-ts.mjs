// Compiles ts/, test/ and bench/ into dist/. The new tree takes the place of the old one only when it
// is complete, so that compiled files of deleted sources vanish and a failed build leaves dist/ alone.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './lib/tree.mjs'

const compiler = join(root, 'node_modules/typescript/bin/tsc')
if (!existsSync(compiler)) {
  // `npm ci --omit=dev` runs this as well; a package has its dist/ inside.
  console.log('build-ts: typescript is not installed, dist/ is left as it is')
  process.exit(0)
}

const next = join(root, '.dist-next')
rmSync(next, { recursive: true, force: true })
const { status } = spawnSync(process.execPath, [compiler, '-p', root, '--outDir', next, '--noEmitOnError'], {
  cwd: root,
  stdio: 'inherit',
})
if (status !== 0) {
  rmSync(next, { recursive: true, force: true })
  console.error('build-ts: the TypeScript sources have errors, dist/ is left as it was')
  process.exit(1)
}
const commandLine = join(next, 'ts/cli/main.js')
if (existsSync(commandLine)) chmodSync(commandLine, 0o755)
writeFileSync(join(next, '.built'), '')
rmSync(join(root, 'dist'), { recursive: true, force: true })
renameSync(next, join(root, 'dist'))
