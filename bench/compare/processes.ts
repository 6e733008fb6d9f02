import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../cleanup.ts'

const START_TIMEOUT_MS = 10_000
const STDERR_CHARACTERS_MAX = 4000

/** A child that does not outlive us; what it writes to stderr is kept for the message of its failure. */
export interface Child {
  readonly process: ChildProcess
  readonly stderr: () => string
}

export function start(command: string, arguments_: readonly string[]): Child {
  const child = spawn(command, arguments_, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARACTERS_MAX)
  })
  child.on('error', (error) => {
    stderr += error.message
  })
  atEnd(() => child.kill('SIGKILL'))
  return { process: child, stderr: () => stderr.trim() }
}

/** Runs a command to its end and returns its stdout. */
export async function run(command: string, arguments_: readonly string[]): Promise<string> {
  const child = start(command, arguments_)
  let stdout = ''
  child.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  const code = await new Promise<number | string>((resolve) => {
    child.process.once('close', (code, signal) => resolve(code ?? signal ?? 'no exit code'))
  })
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${child.stderr() || stdout.trim()}`)
  return stdout
}

/** Starts a server and waits until it accepts connections on the port. */
export async function startServer(
  command: string,
  arguments_: readonly string[],
  port: number,
): Promise<number> {
  const child = start(command, arguments_)
  child.process.stdout?.resume()
  const hasEnded = () => child.process.exitCode !== null || child.process.pid === undefined
  await listens(port, () => {
    if (hasEnded()) throw new Error(`${command} does not start: ${child.stderr()}`)
  })
  return child.process.pid as number
}

/** Waits until somebody accepts connections on a port; `look` throws if nobody ever will. */
export async function listens(port: number, look: () => void = () => undefined): Promise<void> {
  for (const startedMs = performance.now(); !(await accepts(port)); await sleep(20)) {
    look()
    if (performance.now() - startedMs > START_TIMEOUT_MS)
      throw new Error(`nobody listens on port ${port} after ${START_TIMEOUT_MS / 1000} s`)
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** A TCP port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** User and system seconds of a process with all its threads, and of its children that have ended. */
export function cpuSeconds(pid: number): number {
  return cpuTicks(readFileSync(`/proc/${pid}/stat`, 'utf8')) / ticksPerSecond
}

/** The name of the program is in parentheses and may itself hold spaces and parentheses. */
export function cpuTicks(stat: string): number {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return afterName.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0)
}

/** Memory of a process that is in use: private, of files, and shared. */
export function residentBytes(pid: number): number {
  return residentIn(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

export function residentIn(status: string): number {
  const kibi = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
  if (kibi === undefined) throw new Error('the process has no VmRSS: it has ended')
  return Number(kibi) * 1024
}

/** Whether a program can be started, without starting it: some know no option that does nothing. */
export function isInstalled(command: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '')
  return folders.some((folder) => existsSync(join(folder, command)))
}
