import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { StoreError } from '../base/errors.ts'

/** The programs that do the work, and the package of Debian that has each. */
export const debianPackages = {
  'qemu-storage-daemon': 'qemu-system-common',
  losetup: 'mount',
  mount: 'mount',
  umount: 'mount',
  wipefs: 'util-linux',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
} as const

export type Program = keyof typeof debianPackages

/** Where they are, also for users whose PATH leaves out those of the administrator. */
const foldersBesidesPath = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The path of a program, or undefined. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), ...foldersBesidesPath]
  return folders
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find((path) => isExecutable(path))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** What to say when a program is not there. */
export const lackText = (name: Program): string => `${name} (Debian package ${debianPackages[name]})`

/** Throws HOST_LACKS if it is not installed. */
export function mustFind(name: Program): string {
  const path = findProgram(name)
  if (path !== undefined) return path
  throw new StoreError('HOST_LACKS', `this host lacks ${lackText(name)}`)
}

/** Runs a program to its end, whatever its exit code is. Its messages are in English. */
export async function run(name: Program, args: readonly string[]): Promise<Ended> {
  const child = spawn(mustFind(name), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
    })
  }
  const code = await endOf(child)
  return { code, ...output }
}

const endOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })

/** As `run`; a failure is told in the words of the program. Throws ATTACH_FAILED. */
export async function mustRun(name: Program, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(name, args)
  if (code === 0) return stdout
  throw new StoreError(
    'ATTACH_FAILED',
    `${name} ${args.join(' ')}: ${lastLine(stderr) || `exit code ${code}`}`,
  )
}

/** What a program said last, without its own name in front. */
export function lastLine(text: string): string {
  return (text.trim().split('\n').at(-1) ?? '').replace(/^[\w.-]+: /, '').replace(/\.$/, '')
}

/** What a process was started with; nothing if there is none of this number. */
export function wordsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

/** Whether a process lives and has this text among its arguments: numbers of processes are used again. */
export function runsWith(pid: number, text: string): boolean {
  return wordsOf(pid).some((word) => word.includes(text))
}

/** Signals a process that may have ended by now. */
export function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Ends a process that has this text among its arguments; one that does not listen is killed. */
export async function endProcess(pid: number, text: string, withinMs: number): Promise<void> {
  const isThere = () => runsWith(pid, text)
  if (isThere()) signalTo(pid, 'SIGTERM')
  if (await comesTrue(() => !isThere(), withinMs)) return
  signalTo(pid, 'SIGKILL')
  await comesTrue(() => !isThere(), KILL_MS)
}

/** Throws the first error again after clean-up; what then goes wrong as well is told behind it. */
export async function throwAfter(error: unknown, cleanUp: () => Promise<void>): Promise<never> {
  try {
    await cleanUp()
  } catch (second) {
    if (!(error instanceof StoreError)) throw error
    const both = `${error.message}; and what was made stays: ${(second as Error).message}`
    throw new StoreError(error.code, both, { cause: error })
  }
  throw error
}

const KILL_MS = 2000
const POLL_MS = 20

/** Looks again and again; false if it did not come true in time. */
export async function comesTrue(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  const untilMs = performance.now() + timeoutMs
  for (;;) {
    if (condition()) return true
    if (performance.now() > untilMs) return false
    await sleep(POLL_MS)
  }
}
