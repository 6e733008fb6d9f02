import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../base/errors.ts'
import { type DeviceMark, devicesOf, indexOf, isConnected, KernelNbd } from './kernel-device.ts'
import { appendToLog } from './log-file.ts'
import { comesTrue, endProcess, runsWith, throwAfter } from './programs.ts'
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
    const end = (failure: string) => {
      clearTimeout(timer)
      resolve({ failure })
    }
    child.once('error', (error) => end(`its watcher cannot be started: ${error.message}`))
    child.once('exit', () => end(`its watcher has ended; see ${join(folder, 'log')}`))
  })
  if (child.connected) child.disconnect()
  child.unref()
  if ('watched' in report) {
    const device = `/dev/nbd${report.watched.index}`
    const pid = child.pid!
    if (await comesTrue(() => existsSync(device), DEVICE_MS)) return { pid, watched: report.watched }
    const { connectorPid } = report.watched
    const error = new StoreError('ATTACH_FAILED', `the kernel has made ${device}, but /dev does not show it`)
    const mark = { backend: plan.backend, connectorPid }
    return throwAfter(error, () => detachNbd({ folder, device, pid, mark, release: async () => {} }))
  }
  const error = new StoreError('ATTACH_FAILED', `the volume cannot be attached: ${report.failure}`)
  return throwAfter(error, async () => {
    child.kill('SIGKILL')
    const { pid } = child
    if (pid === undefined) return
    await comesTrue(() => !runsWith(pid, folder), DISCONNECT_MS)
    // it may have made the device and not have said so
    if (plan.adopted !== undefined) return
    for (const { index, mark } of devicesOf(plan.backend, [pid])) disconnect(index, mark)
  })
}

/** Ends the watcher, then the device; what it had to write must have been written. */
export async function detachNbd(what: {
  readonly folder: string
  readonly device: string
  readonly pid: number
  readonly mark: DeviceMark
  /** ends the claim that keeps others from the device; the kernel lets go of it when nobody has it open */
  readonly release: () => Promise<void>
}): Promise<void> {
  const { folder, device, pid, mark, release } = what
  const index = indexOf(device)
  await endProcess(pid, folder, STOP_MS)
  disconnect(index, mark)
  await release()
  if (!(await comesTrue(() => !isConnected(index, mark), DISCONNECT_MS))) {
    throw new StoreError('ATTACH_FAILED', `the kernel does not let go of ${device}`)
  }
}

/** Nothing if somebody else has disconnected it; another one may have connected it since. */
export function disconnect(index: number, mark: DeviceMark): void {
  if (!isConnected(index, mark)) return
  const nbd = new KernelNbd()
  try {
    nbd.disconnect(index)
  } finally {
    nbd.close()
  }
}

/** The process of a watcher: `attach` has started it, and hears from it once. */
export async function runWatcher(folder: string, plan: WatchPlan): Promise<void> {
  const watcher = new Watcher(plan, (line) => appendToLog(join(folder, 'log'), line))
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
