import { mkdirSync } from 'node:fs'
import { type FileHandle, readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { closeDescriptor } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import { TransmissionFlag } from '../format/nbd.ts'
import {
  type Attachment,
  folderOf,
  isKept,
  listAttachments,
  readAttachment,
  removeAttachment,
  writeAttachment,
} from './attachments.ts'
import { dial, isAllZero } from './dial.ts'
import { ensureFileSystem, type FileSystemType, mountDevice, unmount, uuidsOf } from './file-system.ts'
import { attachFuse, detachFuse, isLoopOf } from './fuse-device.ts'
import { type DeviceMark, indexOf, isConnected } from './kernel-device.ts'
import { attachNbd, detachNbd } from './nbd-device.ts'
import type { Way } from './plan.ts'
import { mustRun, throwAfter } from './programs.ts'
import { clearRemains } from './remains.ts'
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
  const identity = knownIdentity(wish.target.uri) ?? (await identityOf(wish.target))
  const adopted = await checkFree(identity)
  mkdirSync(folderOf(identity), { recursive: true })
  let attachment: Attachment
  try {
    attachment = await makeDevice(identity, wish, adopted)
  } catch (error) {
    return throwAfter(error, async () => {
      if (adopted === undefined) await clearRemains(identity)
    })
  }
  writeAttachment(attachment)
  if (adopted !== undefined) return attachment
  try {
    return await furnish(attachment, wish)
  } catch (error) {
    return throwAfter(error, () => detachVolume(attachment, { isForced: true }))
  }
}

/** Names may be looked up with another result later; what is attached by the same words is the same. */
const knownIdentity = (uri: string): string | undefined =>
  listAttachments().find((attachment) => attachment.uri === uri)?.identity

/** A device that an earlier watcher has left in the kernel, if there is one. */
async function checkFree(identity: string): Promise<Attachment | undefined> {
  const found = readAttachment(identity)
  if (!found) {
    await clearRemains(identity)
    return undefined
  }
  const { volume, device, way } = found
  if (isKept(found)) {
    const mounted = await mountPointsOf(device)
    const where = mounted.length > 0 ? `, mounted on ${mounted.join(', ')}` : ''
    throw new StoreError('ATTACHED', `${volume} is attached already: ${device}${where}`)
  }
  const isThere = hasDevice(found)
  if (isThere && way === 'nbd') return found
  if (isThere) {
    const remedy = `pollux detach ${device} --force`
    throw new StoreError('ATTACH_FAILED', `the daemon behind ${device} has ended; run \`${remedy}\` first`)
  }
  await clearRemains(identity)
  return undefined
}

/** Whether the device is still the one that was attached. */
function hasDevice(attachment: Attachment): boolean {
  const { way, device, identity } = attachment
  if (way === 'nbd') return isConnected(indexOf(device), markOf(attachment))
  return isLoopOf(device, folderOf(identity))
}

const markOf = ({ identity, connectorPid }: Attachment): DeviceMark => ({ backend: identity, connectorPid })

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
    const made = { isReadOnly, connections: 1, connectorPid: null }
    return { ...known, ...made, device, pid, byteLength: await byteLengthOf(device) }
  }
  const { connections, isReadOnly } = adopted ?? wish
  const there = adopted && { index: indexOf(adopted.device), connectorPid: adopted.connectorPid }
  const plan = { target, connections, isReadOnly, outageS, backend: identity, adopted: there }
  const { pid, watched } = await attachNbd(folder, plan, wish.commandLine)
  if (adopted) return { ...adopted, pid }
  const { index, ...made } = watched
  return { ...known, ...made, device: `/dev/nbd${index}`, pid }
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
  const { device, isReadOnly, byteLength } = attachment
  const { fileSystem, mountPoint, target } = wish
  if (fileSystem === undefined && mountPoint === undefined) return attachment
  await checkSingle(attachment)
  let now = attachment
  if (fileSystem !== undefined) {
    // the storage daemon alone speaks TLS
    const isZero = () => (target.isTls ? Promise.resolve(undefined) : isAllZero(target))
    await ensureFileSystem(device, fileSystem, { byteLength, isAllZero: isZero })
    now = { ...now, fileSystem }
  }
  if (mountPoint !== undefined) {
    await mountDevice(device, mountPoint, isReadOnly)
    now = { ...now, mountPoint }
  }
  if (now !== attachment) writeAttachment(now)
  return now
}

/** Two devices of one volume, by two of its addresses, may not both be mounted. Throws ATTACHED. */
async function checkSingle({ identity, device, volume }: Attachment): Promise<void> {
  const uuids = await uuidsOf(device)
  if (uuids.length === 0) return
  for (const other of listAttachments()) {
    if (other.identity === identity || !hasDevice(other)) continue
    // what cannot be read cannot be told apart
    const others = await uuidsOf(other.device).catch(() => [])
    if (!others.some((uuid) => uuids.includes(uuid))) continue
    const same = `${volume} holds what ${other.device} holds, which is ${other.uri}`
    throw new StoreError('ATTACHED', `${same}; if they are not copies, it is one volume: use that device`)
  }
}

/**
 * Unmounts what `attach` has mounted, writes what is left, and takes the device away. Throws DISK_BUSY if
 * somebody uses it. Forced, it goes in any case, and what was not written is lost.
 */
export async function detachVolume(attachment: Attachment, how: { isForced: boolean }): Promise<void> {
  const { device, way, pid, identity, mountPoint } = attachment
  const folder = folderOf(identity)
  let claim: FileHandle | undefined
  if (hasDevice(attachment)) {
    if (how.isForced) await unmountLazily(device)
    else {
      const isOurs = mountPoint !== null && (await mountPointsOf(device)).includes(mountPoint)
      if (isOurs) await unmount(mountPoint)
      claim = await flushed(device)
    }
  }
  const release = async () => {
    await claim?.close()
    claim = undefined
  }
  try {
    const what = { folder, device, pid, release }
    if (way === 'nbd') await detachNbd({ ...what, mark: markOf(attachment) })
    else await detachFuse({ ...what, isForced: how.isForced })
  } finally {
    await release()
  }
  removeAttachment(identity)
}

async function unmountLazily(device: string): Promise<void> {
  for (const mountPoint of await mountPointsOf(device)) await mustRun('umount', ['--lazy', mountPoint])
}

/** Nobody else uses or mounts the device as long as what is returned is open. */
async function flushed(device: string): Promise<FileHandle> {
  const file = await openUnused(device)
  try {
    await file.sync()
    return file
  } catch (error) {
    await file.close()
    const why = `what was written to ${device} cannot be flushed (${(error as NodeJS.ErrnoException).code})`
    throw new StoreError('ATTACH_FAILED', `${why}; is the pair up? --force gives it up`, { cause: error })
  }
}
