import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { StoreError } from '../base/errors.ts'
import { MIB } from '../base/units.ts'
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

/** Looked at for data of a kind that no tool knows: whatever is in use has something there. */
const HEAD_BYTE_LENGTH = MIB

/**
 * Makes a file system on a device that has nothing. One of the same type is left as it is; anything else is
 * refused with DISK_FOREIGN. Returns whether it was made.
 */
export async function ensureFileSystem(device: string, type: FileSystemType): Promise<boolean> {
  const found = parseSignatures(
    await mustRun('wipefs', ['--no-act', '--parsable', '--output', 'TYPE', device]),
  )
  if (found.length === 1 && found[0] === type) return false
  if (found.length > 0) {
    const remedy = `attach it without --fs ${type}; if that may be lost, erase it with wipefs --all then`
    throw new StoreError('DISK_FOREIGN', `the volume holds ${found.join(' and ')} already; ${remedy}`)
  }
  if (!(await isBlank(device))) {
    const remedy = 'attach it without --fs; if that may be lost, erase it with blkdiscard then'
    throw new StoreError('DISK_FOREIGN', `the volume holds data that is no file system; ${remedy}`)
  }
  const { program, words } = makers[type]
  await mustRun(program, [...words, device])
  return true
}

/** What `wipefs --parsable` lists, each type once; lines that begin with # are titles. */
export function parseSignatures(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim())
  return [...new Set(lines.filter((line) => line !== '' && !line.startsWith('#')))]
}

async function isBlank(device: string): Promise<boolean> {
  const file = await open(device, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTE_LENGTH), 0, HEAD_BYTE_LENGTH, 0)
    return buffer.subarray(0, bytesRead).every((byte) => byte === 0)
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
