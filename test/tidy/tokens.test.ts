import t from 'tap'
import { isEngine, layerOf } from './layers.ts'
import { matchingLines, sources } from './project.ts'

/** Each with what to use in its place. */
const ambient: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bprocess\.hrtime/, 'world.clock'],
  [/\bMath\.random\(|\bcrypto\.(randomUUID|getRandomValues)\(/, 'world.entropy'],
  [/\bset(Timeout|Interval|Immediate)\(|\bqueueMicrotask\(|\bprocess\.nextTick\(/, 'a step of the turn'],
  [/from 'node:|\bimport\('node:|\brequire\(/, 'a port'],
  [/\bconsole\.\w+\(|\bprocess\.(env|exit|stdout|stderr)\b/, 'events and ports'],
]

t.test('engine code takes time, chance and I/O from the world it is given', async (t) => {
  const engine = new Map([...sources(['ts'], ['.ts'])].filter(([path]) => isEngine(layerOf(path))))
  t.ok(engine.size > 20, 'the sources were found')
  for (const [pattern, instead] of ambient) t.same(matchingLines(engine, pattern), [], `use ${instead}`)
})

t.test('the words of ambient time, chance and I/O are recognised', async (t) => {
  const bad = [
    'Date.now()',
    'Math.random()',
    'setTimeout(f, 1)',
    "import fs from 'node:fs'",
    'console.log(1)',
  ]
  for (const [index, text] of bad.entries()) {
    const found = ambient.map(([pattern]) => matchingLines(new Map([['x.ts', text]]), pattern).length)
    t.same(found.indexOf(1), [0, 1, 2, 3, 4][index], text)
  }
})

const everything = [
  'ts',
  'native',
  'test',
  'bench',
  'scripts',
  'docs',
  '.ci',
  'binding.gyp',
  'CMakeLists.txt',
]
const suffixes = [
  '.ts',
  '.mjs',
  '.js',
  '.cpp',
  '.hpp',
  '.md',
  '.json',
  '.toml',
  '.html',
  '.css',
  '.txt',
  'run',
]

t.test('nothing is left for later', async (t) => {
  const later = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`)
  t.ok(later.test(`// ${'TO'}${'DO'}: finish`), 'the pattern works')
  t.same(matchingLines(sources(everything, suffixes), later), [])
})

t.test('no path of one machine and no registry is written down', async (t) => {
  // Where somebody keeps a checkout; /tmp, /var, /run, /dev and /etc are the same everywhere.
  const machinePath = new RegExp(`(^|[\\s"'\`(=])/(${['home', 'root', 'work', 'Users'].join('|')})/`)
  const registryHost = new RegExp(['registry\\.(npmjs|yarnpkg|npmmirror)\\.', '"resolv' + 'ed":'].join('|'))
  t.match(`cd '/${'root'}/pollux'`, machinePath, 'the pattern works')
  t.match(`"${'resolved'}": "https:`, registryHost, 'the pattern works')
  const files = sources(['.'], [...suffixes, '.sh', 'setup', 'up', '.taprc', '.npmrc'])
  t.ok(files.has('package-lock.json') && files.has('README.md'), 'the files were found')
  t.same(matchingLines(files, machinePath), [])
  t.same(matchingLines(files, registryHost), [])
})
