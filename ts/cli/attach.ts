import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { attachVolume, detachVolume } from '../attach/attaching.ts'
import { type Attachment, isKept, listAttachments, lockAttachments } from '../attach/attachments.ts'
import { checkMountPoint, type FileSystemType } from '../attach/file-system.ts'
import { hostFacts, planWay, type Way } from '../attach/plan.ts'
import { parseTarget, type Target } from '../attach/target.ts'
import { mountPointsOf } from '../attach/users.ts'
import { StoreError } from '../base/errors.ts'
import { byteLengthText } from '../config/quantities.ts'
import { findContext } from './context.ts'
import { note, say, sayJson, tableText } from './output.ts'
import { pairStatus } from './pair-status.ts'

export interface AttachOptions {
  dir?: string
  json?: true
  list?: true
  fs?: FileSystemType
  mount?: string
  readOnly?: true
  connections: string
  outage: string
  way?: Way
}

export interface DetachOptions {
  json?: true
  force?: true
}

const CONNECTIONS_MAX = 16
const OUTAGE_S_MAX = 24 * 3600

/** `pollux attach`: a block device of this host from a volume, with a file system if one is wanted. */
export async function attach(volume: string | undefined, options: AttachOptions): Promise<void> {
  if (options.list) return list(volume, options)
  if (volume === undefined) throw new StoreError('USAGE', 'say which volume; --list tells what is attached')
  const connections = wholeNumber('--connections', options.connections, CONNECTIONS_MAX)
  const outageS = wholeNumber('--outage', options.outage, OUTAGE_S_MAX)
  const { fs: fileSystem, mount, readOnly } = options
  if (fileSystem !== undefined && readOnly) {
    throw new StoreError('USAGE', '--fs makes a file system, which --read-only does not let it')
  }
  const target = await targetOf(volume, options.dir)
  const mounts = mount !== undefined
  const way = planWay(hostFacts(), { way: options.way, isTls: target.isTls, fileSystem, mounts })
  if (way === 'fuse' && connections > 1) note("by FUSE there is one connection; --connections is for nbd's")
  await alone(async () => {
    const mountPoint = mounts ? await mountPointFrom(mount) : undefined
    const commandLine = fileURLToPath(new URL('./main.js', import.meta.url))
    const how = { way, connections, isReadOnly: readOnly === true, outageS, fileSystem, mountPoint }
    report(await attachVolume({ target, volume, ...how, commandLine }), options)
  })
}

/** One command at a time, to its end: a device that is half made would be nobody's. */
async function alone(work: () => Promise<void>): Promise<void> {
  const release = await lockAttachments()
  const wait = () => note('one moment')
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, wait)
  try {
    await work()
  } finally {
    for (const signal of signals) process.off(signal, wait)
    release()
  }
}

/** `pollux detach`: by device, volume, URI, or where it is mounted. */
export async function detach(what: string, options: DetachOptions): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new StoreError('HOST_LACKS', 'block devices are taken away by root: run it with sudo')
  }
  await alone(async () => {
    const attachment = findAttachment(what)
    await detachVolume(attachment, { isForced: options.force === true })
    const { device, volume } = attachment
    if (options.json) sayJson({ detached: device, volume })
    else say(`${volume} is not ${device} any more`)
  })
}

function findAttachment(what: string): Attachment {
  const all = listAttachments()
  const found = all.filter(({ device, volume, uri, mountPoint }) => {
    const names = [device, device.slice('/dev/'.length), volume, uri]
    return names.includes(what) || mountPoint === resolve(what)
  })
  const first = found[0]
  if (first && found.length === 1) return first
  if (first) {
    const devices = found.map(({ device }) => device).join(' and ')
    throw new StoreError('USAGE', `${what} is attached as ${devices}; say which`)
  }
  const others = all.map(({ volume, device }) => `${volume} (${device})`).join(', ')
  const hint = others === '' ? 'nothing is' : `attached is ${others}`
  throw new StoreError('ATTACH_FAILED', `${what} is not attached to this host; ${hint}`)
}

async function list(volume: string | undefined, options: AttachOptions): Promise<void> {
  if (volume !== undefined) throw new StoreError('USAGE', '--list takes no volume')
  const all = listAttachments()
  const lines = await Promise.all(
    all.map(async (attachment) => ({
      ...told(attachment),
      mountPoints: await mountPointsOf(attachment.device),
      isKept: isKept(attachment),
    })),
  )
  if (options.json) return sayJson({ attached: lines })
  const rows = lines.map(({ device, volume: name, size, way, mountPoints, isKept, uri }) => {
    const state = isKept ? way : `${way}, nobody keeps it`
    return [device, name, byteLengthText(size), state, mountPoints.join(' ') || '-', uri]
  })
  say(tableText(['DEVICE', 'VOLUME', 'SIZE', 'BY', 'MOUNTED ON', 'URI'], rows))
}

function report(attachment: Attachment, options: AttachOptions): void {
  if (options.json) return sayJson(told(attachment))
  const { volume, device, byteLength, mountPoint, isReadOnly } = attachment
  const readOnly = isReadOnly ? ', read-only' : ''
  const where = mountPoint === null ? '' : `, mounted on ${mountPoint}`
  say(`${volume} is ${device} (${byteLengthText(byteLength)}${readOnly})${where}`)
}

/** As it is in JSON. */
function told(attachment: Attachment) {
  const { device, volume, uri, byteLength: size, way, connections, isReadOnly, outageS } = attachment
  const { fileSystem, mountPoint: mount, pid } = attachment
  return {
    device,
    volume,
    uri,
    size,
    way,
    connections,
    readOnly: isReadOnly,
    outageS,
    fileSystem,
    mount,
    pid,
  }
}

async function targetOf(volume: string, dir: string | undefined): Promise<Target> {
  if (volume.includes('://')) return parseTarget(volume)
  const { volumes, aggregates, nodes } = await pairStatus(findContext(dir))
  const found = volumes.filter(({ name }) => name === volume)
  const first = found[0]
  if (first && found.length === 1) return parseTarget(first.uri)
  if (first) throw new StoreError('USAGE', `there are ${found.length} volumes ${volume}; give the URI of one`)
  if (nodes.every(({ because }) => because !== '')) {
    throw new StoreError('API_UNREACHABLE', 'no node of the pair answers; start them with `pollux up`')
  }
  const away = aggregates.filter(({ node }) => node === null).map(({ name }) => name)
  const hint = away.length > 0 ? `; not served now: aggregate ${away.join(', ')}` : ''
  throw new StoreError('VOLUME_UNKNOWN', `no volume is called ${volume}${hint}`)
}

/** The mounted place in the kernel's words. */
async function mountPointFrom(folder: string): Promise<string> {
  const path = resolve(folder)
  await checkMountPoint(path)
  const real = realpathSync(path)
  await checkMountPoint(real)
  return real
}

function wholeNumber(option: string, text: string, max: number): number {
  const value = Number(text)
  if (/^[0-9]+$/.test(text) && value >= 1 && value <= max) return value
  throw new StoreError('USAGE', `${option}: "${text}" is not a whole number from 1 to ${max}`)
}
