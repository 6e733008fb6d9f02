import t from 'tap'
import { importsOf } from './imports.ts'
import { type Sources, sources } from './project.ts'

/** Where execution starts. Benchmarks and scripts also count as users of what they import. */
const entryPoints = ['ts/main.ts', 'ts/cli/main.ts']

function unreachable(files: Sources, starts: readonly string[]): string[] {
  const reached = new Set<string>()
  const waiting = [...starts]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const text = files.get(path)
    if (text === undefined || reached.has(path)) continue
    reached.add(path)
    for (const { target } of importsOf(path, text)) if (target) waiting.push(target)
  }
  return [...files.keys()].filter((path) => !reached.has(path))
}

function compiledFilesNamedIn(scripts: Sources): string[] {
  const text = [...scripts.values()].join('\n')
  return [...text.matchAll(/\bdist\/(ts\/[\w/-]+)\.js/g)].map(([, path]) => `${path}.ts`)
}

t.test('every file of ts/ is used by the program', async (t) => {
  const files = sources(['ts', 'bench'], ['.ts'])
  for (const path of entryPoints) t.ok(files.has(path), `${path} exists`)
  const bench = [...files.keys()].filter((path) => path.startsWith('bench/'))
  const scripts = compiledFilesNamedIn(sources(['scripts'], ['.mjs']))
  t.same(unreachable(files, [...entryPoints, ...bench, ...scripts]), [])
})

t.test('a file that nothing imports is found', async (t) => {
  const files = new Map([
    ['ts/main.ts', "import './a.ts'\nnew Worker(new URL('./b.js', import.meta.url))\n"],
    ['ts/a.ts', ''],
    ['ts/b.ts', ''],
    ['ts/c.ts', "import './a.ts'\n"],
  ])
  t.same(unreachable(files, ['ts/main.ts']), ['ts/c.ts'])
})
