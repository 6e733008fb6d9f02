import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { StoreError } from '../base/errors.ts'
import { comesTrue, endProcess, lastLine, mustFind, mustRun, run, throwAfter } from './programs.ts'
import type { Target } from './target.ts'
import { mounts } from './users.ts'

export interface FuseWish {
  readonly target: Target
  /** of this attachment; the file that the loop device is made of is in it */
  readonly folder: string
  readonly isReadOnly: boolean
  readonly outageS: number
}

export interface FuseDevice {
  readonly device: string
  readonly pid: number
}

const START_MS = 20_000
const OPEN_TIMEOUT_S = 10
const STOP_MS = 20_000
const RELEASE_MS = 5000

const frontOf = (folder: string): string => join(folder, 'volume')
export const pidPathOf = (folder: string): string => join(folder, 'storage-daemon.pid')

/**
 * A loop device over a file of QEMU's storage daemon. Its NBD client does what a takeover needs: it connects
 * again, and repeats what had no answer. Throws ATTACH_FAILED.
 */
export async function attachFuse(wish: FuseWish): Promise<FuseDevice> {
  const pid = await startDaemon(wish)
  try {
    const readOnly = wish.isReadOnly ? ['--read-only'] : []
    const words = ['--find', '--show', '--direct-io=on', '--partscan', ...readOnly, frontOf(wish.folder)]
    const device = (await mustRun('losetup', words)).trim()
    if (sysfs(device, 'loop/dio') === '1') return { device, pid }
    await run('losetup', ['--detach', device])
    throw new StoreError('ATTACH_FAILED', `${device} cannot do direct I/O over FUSE; the kernel is too old`)
  } catch (error) {
    return throwAfter(error, () => stopDaemon(pid, wish.folder))
  }
}

/**
 * Takes both away; what the device had to write must have been written. Throws ATTACH_FAILED if somebody
 * still has the device; forced, it fails for whoever has.
 */
export async function detachFuse(
  wish: FuseDevice & {
    readonly folder: string
    readonly isForced: boolean
    /** ends the claim that keeps others from the device; the kernel lets go of it when nobody has it open */
    readonly release: () => Promise<void>
  },
): Promise<void> {
  const { device, pid, folder, isForced, release } = wish
  const isOurs = () => isLoopOf(device, folder)
  if (isOurs()) {
    await mustRun('losetup', ['--detach', device])
    await release()
    if (!(await comesTrue(() => !isOurs(), RELEASE_MS)) && !isForced) {
      throw new StoreError('ATTACH_FAILED', `${device} is still in use by somebody; end that and try again`)
    }
  }
  await stopDaemon(pid, folder)
}

/** Whether a loop device is made of what the storage daemon of this folder serves. */
export function isLoopOf(device: string, folder: string): boolean {
  return sysfs(device, 'loop/backing_file')?.startsWith(frontOf(folder)) === true
}

/** Loop devices of this folder that nobody may know of. */
export function loopsOf(folder: string): string[] {
  return readdirSync('/sys/class/block')
    .filter((name) => /^loop[0-9]+$/.test(name) && isLoopOf(name, folder))
    .map((name) => `/dev/${name}`)
}

/** The arguments of the storage daemon. JSON, because a name may have a comma in it. */
export function daemonWords({ target, folder, isReadOnly, outageS }: FuseWish): string[] {
  const { place, exportName, isTls, certificates } = target
  const server =
    'path' in place
      ? { type: 'unix', path: place.path }
      : { type: 'inet', host: place.host, port: String(place.port) }
  const credentials = { 'qom-type': 'tls-creds-x509', id: 'tls', endpoint: 'client', dir: certificates }
  const node = {
    driver: 'nbd',
    'node-name': 'volume',
    server,
    export: exportName,
    'reconnect-delay': outageS,
    'open-timeout': OPEN_TIMEOUT_S,
    cache: { direct: true },
    discard: 'unmap',
    'read-only': isReadOnly,
    ...(isTls ? { 'tls-creds': 'tls' } : {}),
  }
  const file = {
    type: 'fuse',
    id: 'file',
    'node-name': 'volume',
    mountpoint: frontOf(folder),
    writable: !isReadOnly,
  }
  return [
    ...(isTls ? ['--object', JSON.stringify(credentials)] : []),
    ...['--blockdev', JSON.stringify(node)],
    ...['--export', JSON.stringify(file)],
    ...['--pidfile', pidPathOf(folder)],
  ]
}

/** Returns its process when the file is there. */
async function startDaemon(wish: FuseWish): Promise<number> {
  const { folder } = wish
  if (wish.target.isTls && wish.target.certificates === undefined) {
    throw new StoreError('USAGE', `${wish.target.uri} needs ?tls-certificates= with a folder of certificates`)
  }
  // never one that is there: it may be a volume
  writeFileSync(frontOf(folder), '', { flag: 'wx' })
  const logPath = join(folder, 'log')
  const log = openSync(logPath, 'a', 0o600)
  const child = spawn(mustFind('qemu-storage-daemon'), daemonWords(wish), {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  let ended = false
  let failure = ''
  child.once('exit', () => {
    ended = true
  })
  child.once('error', ({ message }) => {
    ended = true
    failure = message
  })
  // the daemon writes its number there when everything else is done
  const isReady = () => isWrittenBy(child.pid, pidPathOf(folder))
  await comesTrue(() => ended || isReady(), START_MS)
  child.unref()
  if (!ended && isReady()) return child.pid!
  child.kill('SIGKILL')
  // QEMU repeats the whole argument in front of what is wrong
  const said = lastLine(readFileSync(logPath, 'utf8')).replace(/^--\w+ \{.*\}: /, '')
  throw new StoreError(
    'ATTACH_FAILED',
    `the storage daemon does not start: ${failure || said || `no word within ${START_MS / 1000} s`}`,
  )
}

/** Whether a process has written its number to this file; one that has ended may have left its own. */
export function isWrittenBy(pid: number | undefined, pidPath: string): boolean {
  try {
    return pid !== undefined && readFileSync(pidPath, 'latin1').trim() === String(pid)
  } catch {
    return false
  }
}

async function stopDaemon(pid: number, folder: string): Promise<void> {
  await endProcess(pid, folder, STOP_MS)
  await unmountFront(folder)
}

/** A daemon that was killed leaves a mount without a daemon behind. Throws ATTACH_FAILED if it stays. */
export async function unmountFront(folder: string): Promise<void> {
  const front = frontOf(folder)
  const isMounted = async () => (await mounts()).some(({ mountPoint }) => mountPoint === front)
  if (!(await isMounted())) return
  const { code } = await run('umount', [front])
  if (code !== 0 && (await isMounted())) await mustRun('umount', ['--lazy', front])
}

function sysfs(device: string, name: string): string | undefined {
  try {
    return readFileSync(`/sys/class/block/${basename(device)}/${name}`, 'utf8').trim()
  } catch {
    return undefined
  }
}
