import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { closeDescriptor } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import { TransmissionFlag } from '../format/nbd.ts'
import {
  type Attachment,
  folderOf,
  isKept,
  readAttachment,
  removeAttachment,
  writeAttachment,
} from './attachments.ts'
import { dial } from './dial.ts'
import { ensureFileSystem, type FileSystemType, mountDevice, unmount } from './file-system.ts'
import { attachFuse, detachFuse } from './fuse-device.ts'
import { indexOf, isConnected } from './kernel-device.ts'
import { attachNbd, detachNbd } from './nbd-device.ts'
import type { Way } from './plan.ts'
import { run } from './programs.ts'
import { identityOf, type Target } from './target.ts'
import { mountPointsOf, openUnused } from './users.ts'

export interface AttachWish {
  readonly target: Target
  /** what the user calls it */
  readonly volume: string
  readonly way: Way
  readonly connections: number
  readonly isReadOnly: boolean
  readonly outageS: number
  readonly fileSystem: FileSystemType | undefined
  readonly mountPoint: string | undefined
  /** what node runs for commands of ours: a watcher is one */
  readonly commandLine: string
}

/**
 * Makes the device, then the file system, then mounts it. What fails leaves nothing behind. Throws ATTACHED,
 * ATTACH_FAILED, DISK_FOREIGN. The caller has the lock.
 */
export async function attachVolume(wish: AttachWish): Promise<Attachment> {
  const identity = identityOf(wish.target)
  const adopted = await checkFree(identity)
  mkdirSync(folderOf(identity), { recursive: true })
  let attachment: Attachment
  try {
    attachment = await makeDevice(identity, wish, adopted)
  } catch (error) {
    if (adopted === undefined) removeAttachment(identity)
    throw error
  }
  writeAttachment(attachment)
  if (adopted !== undefined) return attachment
  try {
    return await furnish(attachment, wish)
  } catch (error) {
    await detachVolume(attachment, { isForced: true })
    throw error
  }
}

/** A device that an earlier watcher has left in the kernel, if there is one. */
async function checkFree(identity: string): Promise<Attachment | undefined> {
  const found = readAttachment(identity)
  if (!found) return undefined
  const { volume, device, way } = found
  if (isKept(found)) {
    const mounted = await mountPointsOf(device)
    const where = mounted.length > 0 ? `, mounted on ${mounted.join(', ')}` : ''
    throw new StoreError('ATTACHED', `${volume} is attached already: ${device}${where}`)
  }
  const isThere = await hasDevice(found)
  if (isThere && way === 'nbd') return found
  if (isThere) {
    const remedy = `pollux detach ${device} --force`
    throw new StoreError('ATTACH_FAILED', `the daemon behind ${device} has ended; run \`${remedy}\` first`)
  }
  removeAttachment(identity)
  return undefined
}

/** Whether the device is still the one that was attached. */
async function hasDevice({ way, device, identity }: Attachment): Promise<boolean> {
  if (way === 'nbd') return isConnected(indexOf(device), identity)
  const path = `/sys/class/block/${basename(device)}/loop/backing_file`
  return (await readFile(path, 'utf8').catch(() => '')).startsWith(folderOf(identity))
}

async function makeDevice(
  identity: string,
  wish: AttachWish,
  adopted: Attachment | undefined,
): Promise<Attachment> {
  const { target, volume, way, outageS } = wish
  const folder = folderOf(identity)
  const nothing = { fileSystem: null, mountPoint: null }
  const known = { version: 1, identity, volume, uri: target.uri, way, outageS, ...nothing } as const
  if (way === 'fuse') {
    const isReadOnly = wish.isReadOnly || (await isServedReadOnly(target))
    const { device, pid } = await attachFuse({ target, folder, isReadOnly, outageS })
    return { ...known, device, pid, isReadOnly, connections: 1, byteLength: await byteLengthOf(device) }
  }
  const { connections, isReadOnly } = adopted ?? wish
  const index = adopted ? indexOf(adopted.device) : undefined
  const plan = { target, connections, isReadOnly, outageS, backend: identity, adopted: index }
  const { pid, watched } = await attachNbd(folder, plan, wish.commandLine)
  if (adopted) return { ...adopted, pid }
  const { byteLength } = watched
  const made = { connections: watched.connections, isReadOnly: watched.isReadOnly }
  return { ...known, ...made, device: `/dev/nbd${watched.index}`, pid, byteLength }
}

/** Asks the server, which also tells what is wrong in better words than the storage daemon does. */
async function isServedReadOnly(target: Target): Promise<boolean> {
  if (target.isTls) return false
  const { descriptor, opened } = await dial(target)
  closeDescriptor(descriptor)
  return (opened.flags & TransmissionFlag.READ_ONLY) !== 0
}

async function byteLengthOf(device: string): Promise<number> {
  return Number(await readFile(`/sys/class/block/${basename(device)}/size`, 'latin1')) * 512
}

async function furnish(attachment: Attachment, wish: AttachWish): Promise<Attachment> {
  const { device, isReadOnly } = attachment
  const { fileSystem, mountPoint } = wish
  let now = attachment
  if (fileSystem !== undefined) {
    await ensureFileSystem(device, fileSystem)
    now = { ...now, fileSystem }
  }
  if (mountPoint !== undefined) {
    await mountDevice(device, mountPoint, isReadOnly)
    now = { ...now, mountPoint }
  }
  if (now !== attachment) writeAttachment(now)
  return now
}

/**
 * Unmounts what `attach` has mounted, writes what is left, and takes the device away. Throws DISK_BUSY if
 * somebody uses it. Forced, it goes in any case, and what was not written is lost.
 */
export async function detachVolume(attachment: Attachment, how: { isForced: boolean }): Promise<void> {
  const { device, way, pid, identity, mountPoint } = attachment
  const folder = folderOf(identity)
  if (await hasDevice(attachment)) {
    if (how.isForced) await unmountLazily(device)
    else {
      const isOurs = mountPoint !== null && (await mountPointsOf(device)).includes(mountPoint)
      if (isOurs) await unmount(mountPoint)
      await flush(device)
    }
  }
  if (way === 'nbd') await detachNbd({ folder, device, pid, backend: identity })
  else await detachFuse({ device, pid, folder, isForced: how.isForced })
  removeAttachment(identity)
}

async function unmountLazily(device: string): Promise<void> {
  for (const mountPoint of await mountPointsOf(device)) await run('umount', ['--lazy', mountPoint])
}

async function flush(device: string): Promise<void> {
  const file = await openUnused(device)
  try {
    await file.sync()
  } catch (error) {
    const why = `what was written to ${device} cannot be flushed (${(error as NodeJS.ErrnoException).code})`
    throw new StoreError('ATTACH_FAILED', `${why}; is the pair up? --force gives it up`, { cause: error })
  } finally {
    await file.close()
  }
}
