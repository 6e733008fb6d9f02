import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../base/errors.ts'
import { indexOf, isConnected, KernelNbd } from './kernel-device.ts'
import { comesTrue, runsWith } from './programs.ts'
import { type Watched, Watcher, type WatchPlan } from './watcher.ts'

/** What a watcher's process tells the one that has started it. */
export type WatcherReport = { readonly watched: Watched } | { readonly failure: string }

const START_MS = 30_000
const STOP_MS = 10_000
const DISCONNECT_MS = 5000
const DEVICE_MS = 5000

/**
 * A device of the kernel's NBD client, and a process of its own that keeps its connections. Throws
 * ATTACH_FAILED.
 */
export async function attachNbd(
  folder: string,
  plan: WatchPlan,
  commandLine: string,
): Promise<{ pid: number; watched: Watched }> {
  const log = openSync(join(folder, 'log'), 'a', 0o600)
  const child = spawn(process.execPath, [commandLine, 'attach-watch', folder, JSON.stringify(plan)], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  const report = await new Promise<WatcherReport>((resolve) => {
    const timer = setTimeout(() => resolve({ failure: `not within ${START_MS / 1000} s` }), START_MS)
    child.once('message', (message) => {
      clearTimeout(timer)
      resolve(message as WatcherReport)
    })
    child.once('exit', () => {
      clearTimeout(timer)
      resolve({ failure: `its watcher has ended; see ${join(folder, 'log')}` })
    })
  })
  if (child.connected) child.disconnect()
  child.unref()
  if ('watched' in report) {
    const device = `/dev/nbd${report.watched.index}`
    const pid = child.pid!
    if (await comesTrue(() => existsSync(device), DEVICE_MS)) return { pid, watched: report.watched }
    await detachNbd({ folder, device, pid, backend: plan.backend })
    throw new StoreError('ATTACH_FAILED', `the kernel has made ${device}, but /dev does not show it`)
  }
  child.kill('SIGKILL')
  throw new StoreError('ATTACH_FAILED', `the volume cannot be attached: ${report.failure}`)
}

/** Ends the watcher, then the device; what it had to write must have been written. */
export async function detachNbd(what: {
  readonly folder: string
  readonly device: string
  readonly pid: number
  readonly backend: string
}): Promise<void> {
  const { folder, device, pid, backend } = what
  const index = indexOf(device)
  if (runsWith(pid, folder)) process.kill(pid, 'SIGTERM')
  if (!(await comesTrue(() => !runsWith(pid, folder), STOP_MS))) process.kill(pid, 'SIGKILL')
  // somebody else may have disconnected it, and another one connected it
  if (!isConnected(index, backend)) return
  const nbd = new KernelNbd()
  try {
    nbd.disconnect(index)
  } finally {
    nbd.close()
  }
  if (!(await comesTrue(() => !isConnected(index, backend), DISCONNECT_MS))) {
    throw new StoreError('ATTACH_FAILED', `the kernel does not let go of ${device}`)
  }
}

/** The process of a watcher: `attach` has started it, and hears from it once. */
export async function runWatcher(plan: WatchPlan): Promise<void> {
  const watcher = new Watcher(plan, (line) => {
    process.stderr.write(`${new Date().toISOString()} ${line}\n`)
  })
  process.once('SIGTERM', () => watcher.stop())
  // it goes on when the terminal that it was started from does not
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  let report: WatcherReport
  try {
    report = { watched: await watcher.start() }
  } catch (error) {
    report = { failure: (error as Error).message }
  }
  process.send?.(report)
  if ('watched' in report) await watcher.watch()
  if (process.connected) process.disconnect()
}
