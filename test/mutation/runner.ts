import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Mutation } from './mutation.ts'
import type { Finding } from './probe.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const ADDON = join(root, 'build/Release/pollux.node')

/** Beyond these a mutation counts as not caught. */
const LIMITS = { scope: 250, sim: 300, model: 500_000 }
/** And beyond this time. */
const TIMEOUT_MS = 240_000

export interface Result extends Finding {
  readonly mutation: Mutation
  readonly tookMs: number
}

/** A copy of the built program, in which one file at a time is exchanged. */
export class Laboratory {
  readonly #folder = mkdtempSync(join(tmpdir(), 'pollux-mutation-'))

  constructor() {
    for (const part of ['ts', 'test'])
      cpSync(join(root, 'dist', part), join(this.#folder, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(this.#folder, 'node_modules'))
    writeFileSync(join(this.#folder, 'package.json'), '{"type":"module"}')
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Puts the mutation in, asks its checker, and takes it out again. */
  try(mutation: Mutation): Result {
    const target = join(this.#folder, mutation.file.replace(/\.ts$/, '.js'))
    const before = readFileSync(target)
    const startedMs = performance.now()
    try {
      this.#compile(mutation, target)
      const finding = this.#ask(mutation.checker)
      writeFileSync(target, before)
      if (finding.caught && mutation.checker === 'sim') this.#mustPass(finding.needed)
      return { ...finding, mutation, tookMs: performance.now() - startedMs }
    } finally {
      writeFileSync(target, before)
    }
  }

  /** A seed that fails without the fault says nothing about it. */
  #mustPass(seed: number): void {
    const { caught, words } = this.#probe('seed', seed)
    if (caught) throw new Error(`seed ${seed} fails without any mutation: ${words}`)
  }

  #compile(mutation: Mutation, target: string): void {
    const source = join(this.#folder, 'source', mutation.file)
    const output = join(this.#folder, 'compiled')
    mkdirSync(dirname(source), { recursive: true })
    writeFileSync(source, mutated(mutation))
    const options = ['--noCheck', '--noResolve', '--target', 'es2023', '--module', 'nodenext']
    options.push('--rewriteRelativeImportExtensions', '--verbatimModuleSyntax', '--erasableSyntaxOnly')
    options.push('--rootDir', join(this.#folder, 'source'), '--outDir', output)
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const { status, stdout } = run(this.#folder, [compiler, ...options, source])
    if (status !== 0) throw new Error(`"${mutation.name}" does not compile: ${stdout}`)
    const built = join(output, mutation.file.replace(/\.ts$/, '.js'))
    writeFileSync(target, readFileSync(built))
  }

  #ask(checker: Mutation['checker']): Finding {
    if (typeof checker !== 'string') return this.#askUnitTests(checker)
    return this.#probe(checker, LIMITS[checker])
  }

  #probe(checker: string, limit: number): Finding {
    const probe = join(this.#folder, 'test/mutation/probe.js')
    const { status, stdout, stderr } = run(this.#folder, [probe, checker, String(limit)])
    if (status === null) return { caught: false, needed: 0, words: 'nothing was found in time' }
    const line = stdout.trim().split('\n').at(-1) ?? ''
    if (status !== 0 || !line.startsWith('{')) throw new Error(`the probe failed: ${stderr || stdout}`)
    return JSON.parse(line) as Finding
  }

  #askUnitTests(files: readonly string[]): Finding {
    const paths = files.map((file) => join(this.#folder, 'test', `${file}.js`))
    const { status, stdout } = run(this.#folder, ['--test', ...paths])
    const words = stdout.split('\n').find((line) => line.trimStart().startsWith('not ok'))
    if (status !== 0 && words === undefined) throw new Error(`the unit tests did not run: ${stdout}`)
    return { caught: words !== undefined, needed: 1, words: words?.trim() ?? '' }
  }
}

/** The source with the fault in it. A text that is not there exactly once is a mistake in the list. */
export function mutated({ name, file, find, replace }: Mutation): string {
  const source = readFileSync(join(root, file), 'utf8')
  const count = source.split(find).length - 1
  if (count !== 1)
    throw new Error(`"${name}": its text occurs ${count} times in ${file}; bring the list up to date`)
  return source.replace(find, () => replace)
}

function run(folder: string, words: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, words, {
    cwd: folder,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    maxBuffer: 1 << 26,
    env: { ...process.env, POLLUX_NATIVE: ADDON, NODE_OPTIONS: '', NODE_TEST_CONTEXT: undefined },
  })
}
