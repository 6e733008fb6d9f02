import { constants } from 'node:fs'
import { type FileHandle, open, readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isStoreError, StoreError } from '../base/errors.ts'

/** Something that is mounted in the eyes of this process. */
export interface Mount {
  /** 'major:minor' of the device */
  readonly device: string
  readonly mountPoint: string
}

/**
 * /proc/self/mountinfo, each byte a letter: spaces and the like in paths are octal there, and the bytes are
 * UTF-8 whether they are or not.
 */
export function parseMounts(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, , device = '', , mountPoint = ''] = line.split(' ')
      const plain = mountPoint.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      )
      return { device, mountPoint: Buffer.from(plain, 'latin1').toString('utf8') }
    })
}

export async function mounts(): Promise<Mount[]> {
  return parseMounts(await readFile('/proc/self/mountinfo', 'latin1'))
}

/** Where a device, or a partition of it, is mounted. */
export async function mountPointsOf(device: string): Promise<string[]> {
  const numbers = new Set(await Promise.all((await blockNames(device)).map(numberOf)))
  return (await mounts()).filter((mount) => numbers.has(mount.device)).map(({ mountPoint }) => mountPoint)
}

/** 'nbd0', and 'nbd0p1' if it has partitions. */
async function blockNames(device: string): Promise<string[]> {
  const name = basename(device)
  const entries = await readdir(`/sys/class/block/${name}`).catch(() => [])
  return [name, ...entries.filter((entry) => entry.startsWith(`${name}p`))]
}

const numberOf = async (name: string): Promise<string> =>
  (await readFile(`/sys/class/block/${name}/dev`, 'latin1').catch(() => '')).trim()

/** Processes with an open file, a folder or a program for which `matches`, as 'dd (process 12)'. */
async function processesWith(matches: (path: string) => boolean): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid) || Number(pid) === process.pid) continue
    const folder = `/proc/${pid}`
    const descriptors = await readdir(`${folder}/fd`).catch(() => [])
    const links = ['cwd', 'root', 'exe', ...descriptors.map((name) => `fd/${name}`)]
    const paths = await Promise.all(links.map((link) => readlink(`${folder}/${link}`).catch(() => '')))
    if (!paths.some(matches)) continue
    const name = (await readFile(`${folder}/comm`, 'utf8').catch(() => '')).trim()
    found.push(`${name} (process ${pid})`)
  }
  return found
}

/** Who keeps a file system from being unmounted, as far as it can be known; empty if it cannot. */
export async function usersOfMount(mountPoint: string): Promise<string> {
  const inside = mountPoint === '/' ? '/' : `${mountPoint}/`
  return (await processesWith((path) => path === mountPoint || path.startsWith(inside))).join(', ')
}

/** udev looks at a device for a moment whenever somebody has written to it. */
const BUSY_MS = 2000
const BUSY_RETRY_MS = 100

/**
 * Opens a device that nobody else uses, and nobody mounts before it is closed. Throws DISK_BUSY with who
 * does use it.
 */
export async function openUnused(device: string): Promise<FileHandle> {
  for (const untilMs = performance.now() + BUSY_MS; ; await sleep(BUSY_RETRY_MS)) {
    try {
      return await openIfUnused(device)
    } catch (error) {
      if (!isStoreError(error, 'DISK_BUSY') || performance.now() > untilMs) throw error
    }
  }
}

async function openIfUnused(device: string): Promise<FileHandle> {
  const names = await blockNames(device)
  const paths = new Set(names.map((name) => `/dev/${name}`))
  const mountPoints = await mountPointsOf(device)
  if (mountPoints.length > 0) {
    throw busy(device, `it is mounted on ${mountPoints.join(', ')}; unmount it first`)
  }
  const holders = (await Promise.all(names.map(holdersOf))).flat()
  if (holders.length > 0) throw busy(device, `${holders.join(', ')} is made of it`)
  const processes = await processesWith((path) => paths.has(path))
  if (processes.length > 0) throw busy(device, `${processes.join(', ')} has it open`)
  try {
    // for a block device, O_EXCL is a claim that mounts and swap make as well
    return await open(device, constants.O_RDONLY | constants.O_EXCL)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    throw busy(device, 'the kernel uses it: as swap, or mounted in a container')
  }
}

const holdersOf = (name: string): Promise<string[]> =>
  readdir(`/sys/class/block/${name}/holders`).catch(() => [])

const busy = (device: string, why: string): StoreError =>
  new StoreError('DISK_BUSY', `${device} is in use: ${why}`)
