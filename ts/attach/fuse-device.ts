import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { StoreError } from '../base/errors.ts'
import { comesTrue, lastLine, mustFind, mustRun, run, runsWith } from './programs.ts'
import type { Target } from './target.ts'

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
const pidPathOf = (folder: string): string => join(folder, 'storage-daemon.pid')

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
    await stopDaemon(pid, wish.folder)
    throw error
  }
}

/**
 * Takes both away; what the device had to write must have been written. Throws ATTACH_FAILED if somebody
 * still has the device; forced, it fails for whoever has.
 */
export async function detachFuse(
  wish: FuseDevice & { readonly folder: string; readonly isForced: boolean },
): Promise<void> {
  const { device, pid, folder, isForced } = wish
  const isOurs = () => sysfs(device, 'loop/backing_file')?.startsWith(frontOf(folder)) === true
  if (isOurs()) {
    await mustRun('losetup', ['--detach', device])
    if (!(await comesTrue(() => !isOurs(), RELEASE_MS)) && !isForced) {
      throw new StoreError('ATTACH_FAILED', `${device} is still in use by somebody; end that and try again`)
    }
  }
  await stopDaemon(pid, folder)
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
  writeFileSync(frontOf(folder), '')
  const logPath = join(folder, 'log')
  const log = openSync(logPath, 'a', 0o600)
  const child = spawn(mustFind('qemu-storage-daemon'), daemonWords(wish), {
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
  // the daemon writes this file when everything else is done
  const isReady = () => existsSync(pidPathOf(folder))
  await comesTrue(() => ended || isReady(), START_MS)
  child.unref()
  if (!ended && isReady()) return child.pid!
  child.kill('SIGKILL')
  // QEMU repeats the whole argument in front of what is wrong
  const said = lastLine(readFileSync(logPath, 'utf8')).replace(/^--\w+ \{.*\}: /, '')
  throw new StoreError(
    'ATTACH_FAILED',
    `the storage daemon does not start: ${said || `no word within ${START_MS / 1000} s`}`,
  )
}

async function stopDaemon(pid: number, folder: string): Promise<void> {
  const isThere = () => runsWith(pid, folder)
  if (isThere()) process.kill(pid, 'SIGTERM')
  if (!(await comesTrue(() => !isThere(), STOP_MS))) process.kill(pid, 'SIGKILL')
  // one that was killed leaves a mount without a daemon behind
  const { code } = await run('umount', [frontOf(folder)])
  if (code !== 0) await run('umount', ['--lazy', frontOf(folder)])
}

function sysfs(device: string, name: string): string | undefined {
  try {
    return readFileSync(`/sys/class/block/${basename(device)}/${name}`, 'utf8').trim()
  } catch {
    return undefined
  }
}
