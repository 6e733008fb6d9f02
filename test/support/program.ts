import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly timeoutMs?: number
  readonly input?: string
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
}

/** The compiled command line that belongs to the compiled tests. */
export const commandLine = fileURLToPath(new URL('../../ts/cli/main.js', import.meta.url))

/** What `dist` is in. */
export const projectFolder = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')

/** Runs a program to its end, whatever its exit code is. After `timeoutMs` it is killed. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { timeoutMs = 60_000, input = '', env = process.env, cwd } = options
  const child = spawn(command, args, { env, stdio: 'pipe', ...(cwd === undefined ? {} : { cwd }) })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const timer = setTimeout(() => {
    output.stderr += `\nkilled after ${timeoutMs} ms: ${command} ${args.join(' ')}`
    child.kill('SIGKILL')
  }, timeoutMs)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    // 'exit', not 'close': a daemon that the program leaves behind may keep the pipes open
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      setTimeout(() => {
        child.stdout.destroy()
        child.stderr.destroy()
        resolve({ code, signal, ...output })
      }, 20)
    })
  })
}

/** As `run`, but an exit code other than 0 throws, with everything that was said. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<Ended> {
  const ended = await run(command, args, options)
  if (ended.code === 0) return ended
  const line = `${command} ${args.join(' ')}`
  throw new Error(`${line}\nended with ${ended.code ?? ended.signal}\n${ended.stdout}\n${ended.stderr}`)
}

export function pollux(args: readonly string[], options?: RunOptions): Promise<Ended> {
  return run(process.execPath, [commandLine, ...args], options)
}

export function mustPollux(args: readonly string[], options?: RunOptions): Promise<Ended> {
  return mustRun(process.execPath, [commandLine, ...args], options)
}

/** Starts a program that goes on; end it by `child.kill`. What it says is in `said()`. */
export function start(command: string, args: readonly string[]): { child: ChildProcess; said: () => string } {
  let text = ''
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more
    })
  }
  child.on('error', () => {})
  return { child, said: () => text }
}

/** Why a test that needs this program is skipped; false if the program is there. */
export function missing(...programs: readonly string[]): string | false {
  const absent = programs.filter((program) => spawnSync(program, ['--version']).error)
  return absent.length > 0 && `${absent.join(', ')} is not installed`
}

export const notRoot: string | false = process.getuid?.() !== 0 && 'needs root'

/** Waits until `condition` gives something that is not false or undefined, and returns it. */
export async function until<T>(
  what: string,
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  timeoutMs = 15_000,
): Promise<T> {
  const startedMs = performance.now()
  for (;;) {
    const found = await condition()
    if (found !== false && found !== undefined) return found
    if (performance.now() - startedMs > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`)
    await sleep(20)
  }
}

/** Whether a process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text[text.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}

/** A folder for the files of a test; it is gone afterwards. */
export function scratch(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'pollux-scratch-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
