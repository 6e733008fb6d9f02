import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { flock } from '../adapters/native.ts'
import { isLocked, lastPid } from '../node/node-lock.ts'
import { configPath, logPath } from './pair-file.ts'

/** A node's process that this one has started. */
export interface StartedNode {
  readonly name: string
  readonly pid: number
  /** whether it has ended since */
  readonly hasEnded: () => boolean
  /** where in its log this run begins */
  readonly logFrom: number
}

/** Starts a node in a session of its own, so that it outlives this process and its terminal. */
export function startNode(dir: string, name: string): StartedNode {
  const log = openSync(logPath(dir, name), 'a', 0o600)
  const logFrom = readLog(dir, name).length
  const main = fileURLToPath(new URL('./main.js', import.meta.url))
  const child = spawn(process.execPath, [main, 'serve', '--config', configPath(dir, name)], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  let ended = false
  child.once('exit', () => {
    ended = true
  })
  child.once('error', () => {
    ended = true
  })
  child.unref()
  return { name, pid: child.pid ?? 0, hasEnded: () => ended, logFrom }
}

/** Why a node that was started has ended: the last thing it said. */
export function lastWords(dir: string, node: StartedNode): string {
  const lines = readLog(dir, node.name).slice(node.logFrom).trim().split('\n')
  const last = lines.at(-1) ?? ''
  try {
    return String((JSON.parse(last) as { text: unknown }).text)
  } catch {
    return last.replace(/^pollux: /, '') || 'it said nothing'
  }
}

function readLog(dir: string, name: string): string {
  try {
    return readFileSync(logPath(dir, name), 'latin1')
  } catch {
    return ''
  }
}

/** Whether the process of a node lives, answering or not. */
export const isRunning = (api: string): boolean => isLocked(api, flock)

/** The process of a node, if it lives, answering or not. */
export const runningPid = (api: string): number | undefined => (isRunning(api) ? lastPid(api) : undefined)

/** Ends a node that does not react. Returns whether there was one. */
export function kill(api: string): boolean {
  const pid = runningPid(api)
  if (pid === undefined) return false
  process.kill(pid, 'SIGKILL')
  return true
}
