import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
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
  for (const startedMs = performance.now(); !(await accepts(port)); await sleep(20)) {
    if (child.process.exitCode !== null || child.process.pid === undefined)
      throw new Error(`${command} does not start: ${child.stderr()}`)
    if (performance.now() - startedMs > START_TIMEOUT_MS)
      throw new Error(`${command} does not listen on port ${port}: ${child.stderr()}`)
  }
  return child.process.pid as number
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

/** User and system seconds of a process with all its threads. */
export function cpuSeconds(pid: number): number {
  return cpuTicks(readFileSync(`/proc/${pid}/stat`, 'utf8')) / ticksPerSecond
}

/** The name of the program is in parentheses and may itself hold spaces and parentheses. */
export function cpuTicks(stat: string): number {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(afterName[11]) + Number(afterName[12])
}
