import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './project.ts'

interface Manifest {
  readonly version: string
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
}

const text = (path: string) => readFileSync(join(root, path), 'utf8')
const manifest = JSON.parse(text('package.json')) as Manifest

t.test('dependencies are pinned to one version and the lock file knows them', async (t) => {
  const { dependencies, devDependencies, optionalDependencies } = manifest
  const lock = JSON.parse(text('package-lock.json')) as { packages: Record<string, { version: string }> }
  for (const [name, version] of Object.entries({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
  })) {
    t.match(version, /^\d+\.\d+\.\d+$/, `${name} is pinned`)
    t.equal(lock.packages[`node_modules/${name}`]?.version, version, `${name} is locked`)
  }
})

t.test('every file that a script of package.json names exists', async (t) => {
  for (const command of Object.values(manifest.scripts)) {
    for (const [path] of command.matchAll(/\b(scripts|dist)\/[\w/.-]+\.m?js\b/g)) {
      const source = path.replace(/^dist\/(.*)\.js$/, '$1.ts')
      t.ok(existsSync(join(root, source)), source)
    }
  }
})

t.test('the commands of the README can be executed', async (t) => {
  for (const path of ['pollux', 'scripts/setup', 'scripts/up', 'scripts/test', '.ci/run']) {
    t.doesNotThrow(() => accessSync(join(root, path), constants.X_OK), path)
  }
})

t.test('the command line starts with a line for the kernel', async (t) => {
  t.match(text('ts/cli/main.ts'), /^#!\/usr\/bin\/env node\n/)
})

t.test('the change log has the version of the package', async (t) => {
  t.ok(text('CHANGELOG.md').includes(`## ${manifest.version}`))
})
