import { existsSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { StoreError } from '../base/errors.ts'
import { folderOf, removeAttachment } from './attachments.ts'
import { loopsOf, pidPathOf, unmountFront } from './fuse-device.ts'
import { type DeviceMark, devicesOf, isConnected } from './kernel-device.ts'
import { disconnect } from './nbd-device.ts'
import { comesTrue, endProcess, mustRun, wordsOf } from './programs.ts'
import { openUnused } from './users.ts'

const STOP_MS = 10_000
const RELEASE_MS = 5000

export interface Process {
  readonly pid: number
  readonly words: readonly string[]
}

/** Of all processes, those that keep the device of this folder; not those that only read its log. */
export function keepersOf(
  folder: string,
  processes: readonly Process[],
): { watchers: number[]; daemons: number[] } {
  const isWatcher = ({ words }: Process) => words.includes('attach-watch') && words.includes(folder)
  const isDaemon = ({ words }: Process) =>
    basename(words[0] ?? '') === 'qemu-storage-daemon' && words.includes(pidPathOf(folder))
  const numbers = (those: (each: Process) => boolean) => processes.filter(those).map(({ pid }) => pid)
  return { watchers: numbers(isWatcher), daemons: numbers(isDaemon) }
}

function allProcesses(): Process[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0)
    .map((pid) => ({ pid, words: wordsOf(pid) }))
}

/**
 * Takes away what an `attach` has left that was killed, or has failed, before it could write down what it
 * had made. Its folder is the first thing that it makes, and leads to all of it. Throws DISK_BUSY if
 * somebody uses the device.
 */
export async function clearRemains(identity: string): Promise<void> {
  const folder = folderOf(identity)
  const { watchers, daemons } = keepersOf(folder, allProcesses())
  // first: one that still runs could make the device after it was looked for
  for (const pid of watchers) await endProcess(pid, folder, STOP_MS)
  for (const { index, mark } of devicesOf(identity, watchers)) await clearNbd(index, mark)
  for (const device of loopsOf(folder)) await clearLoop(device, folder)
  for (const pid of daemons) await endProcess(pid, folder, STOP_MS)
  await unmountFront(folder)
  if (existsSync(folder)) removeAttachment(identity)
}

async function clearNbd(index: number, mark: DeviceMark): Promise<void> {
  const device = `/dev/nbd${index}`
  const claim = existsSync(device) ? await openUnused(device) : undefined
  try {
    disconnect(index, mark)
  } finally {
    await claim?.close()
  }
  if (!(await comesTrue(() => !isConnected(index, mark), RELEASE_MS))) throw stays(device)
}

async function clearLoop(device: string, folder: string): Promise<void> {
  const claim = await openUnused(device)
  try {
    await mustRun('losetup', ['--detach', device])
  } finally {
    await claim.close()
  }
  if (!(await comesTrue(() => !loopsOf(folder).includes(device), RELEASE_MS))) throw stays(device)
}

const stays = (device: string): StoreError =>
  new StoreError('ATTACH_FAILED', `an attach that was cut short has left ${device}, and it does not go`)
