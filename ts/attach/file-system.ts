import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { StoreError } from '../base/errors.ts'
import { GIB, MIB } from '../base/units.ts'
import { mustRun, run } from './programs.ts'
import { mounts, usersOfMount } from './users.ts'

/** How each type is made. */
const makers = {
  ext4: { program: 'mkfs.ext4', words: ['-q'] },
  // the device says 512 bytes, for the sake of other systems; the log of xfs is better off with whole blocks
  xfs: { program: 'mkfs.xfs', words: ['-q', '-s', 'size=4096'] },
} as const

export type FileSystemType = keyof typeof makers
export const fileSystemTypes = Object.keys(makers) as FileSystemType[]

/** More than this is not read to see that there is nothing on it. */
export const READ_BYTE_LENGTH_MAX = 16 * GIB
const READ_AT_ONCE_BYTE_LENGTH = MIB

/** What `ensureFileSystem` needs to know of the volume under the device. */
export interface Contents {
  readonly byteLength: number
  /** whether it has nothing but zeroes; undefined if its server does not tell */
  readonly isAllZero: () => Promise<boolean | undefined>
}

/**
 * Makes a file system on a device that has nothing. One of the same type is left as it is; anything else is
 * refused with DISK_FOREIGN. Returns whether it was made.
 */
export async function ensureFileSystem(
  device: string,
  type: FileSystemType,
  contents: Contents,
): Promise<boolean> {
  const found = parseSignatures(await signatures(device, 'TYPE'))
  if (found.length === 1 && found[0] === type) return false
  if (found.length > 0) {
    const remedy = `attach it without --fs ${type}; if that may be lost, erase it with blkdiscard then`
    throw new StoreError('DISK_FOREIGN', `the volume holds ${found.join(' and ')} already; ${remedy}`)
  }
  await checkBlank(device, type, contents)
  const { program, words } = makers[type]
  await mustRun(program, [...words, device])
  return true
}

/** Throws DISK_FOREIGN unless all is zero: data need not be of a kind that wipefs knows. */
export async function checkBlank(
  device: string,
  type: FileSystemType,
  { byteLength, isAllZero }: Contents,
): Promise<void> {
  const told = await isAllZero()
  if (told === undefined && byteLength > READ_BYTE_LENGTH_MAX) {
    const why =
      'its server does not tell whether the volume has data, and it is too large to be read for that'
    throw new StoreError('DISK_FOREIGN', `${why}; attach it without --fs and run mkfs.${type} by hand`)
  }
  if (told ?? (await readsZeroes(device))) return
  const remedy = 'attach it without --fs; if that may be lost, erase it with blkdiscard then'
  throw new StoreError('DISK_FOREIGN', `the volume holds data that is no file system; ${remedy}`)
}

/** UUIDs of what is on a device; none on a blank one. */
export async function uuidsOf(device: string): Promise<string[]> {
  return parseSignatures(await signatures(device, 'UUID'))
}

const signatures = (device: string, column: 'TYPE' | 'UUID'): Promise<string> =>
  mustRun('wipefs', ['--no-act', '--parsable', '--output', column, device])

/** What `wipefs --parsable` lists, each once; lines that begin with # are titles. */
export function parseSignatures(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim())
  return [...new Set(lines.filter((line) => line !== '' && !line.startsWith('#')))]
}

async function readsZeroes(device: string): Promise<boolean> {
  const file = await open(device, 'r')
  const zeroes = Buffer.alloc(READ_AT_ONCE_BYTE_LENGTH)
  const buffer = Buffer.alloc(READ_AT_ONCE_BYTE_LENGTH)
  try {
    for (let at = 0; ; ) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) return true
      if (buffer.compare(zeroes, 0, bytesRead, 0, bytesRead) !== 0) return false
      at += bytesRead
    }
  } finally {
    await file.close()
  }
}

/** Throws USAGE if nothing can be mounted at this place. */
export async function checkMountPoint(mountPoint: string): Promise<void> {
  if (!statSync(mountPoint, { throwIfNoEntry: false })?.isDirectory()) {
    throw new StoreError('USAGE', `${mountPoint} is no folder; make it with mkdir`)
  }
  if ((await mounts()).some((mount) => mount.mountPoint === mountPoint)) {
    throw new StoreError('USAGE', `something is mounted on ${mountPoint} already`)
  }
}

export async function mountDevice(device: string, mountPoint: string, isReadOnly: boolean): Promise<void> {
  await mustRun('mount', [...(isReadOnly ? ['-o', 'ro'] : []), device, mountPoint])
}

/** Throws DISK_BUSY with those who use it, if they can be known. */
export async function unmount(mountPoint: string): Promise<void> {
  const { code, stderr } = await run('umount', [mountPoint])
  if (code === 0) return
  const users = await usersOfMount(mountPoint)
  const why = users === '' ? stderr.trim().split('\n').at(-1) : `it is used by ${users}; end that first`
  throw new StoreError('DISK_BUSY', `${mountPoint} cannot be unmounted: ${why}`)
}
