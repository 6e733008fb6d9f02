import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { flock } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import type { Way } from './plan.ts'
import { runsWith } from './programs.ts'

/** What is known of an attached volume, in `state.json` of its folder. */
export interface Attachment {
  readonly version: 1
  readonly identity: string
  readonly volume: string
  readonly uri: string
  readonly way: Way
  /** '/dev/nbd0' or '/dev/loop0' */
  readonly device: string
  readonly byteLength: number
  readonly isReadOnly: boolean
  readonly connections: number
  /** how long I/O waits while nobody serves, in seconds */
  readonly outageS: number
  /** with nbd: see DeviceMark */
  readonly connectorPid: number | null
  /** the process that keeps it: one of ours, or the storage daemon */
  readonly pid: number
  readonly fileSystem: string | null
  readonly mountPoint: string | null
}

const LOCK_MS = 10_000
const LOCK_RETRY_MS = 50

/** Where this host's attachments are: they are the kernel's, so they end when it does, as /run does. */
export function attachDir(): string {
  const folder = resolve(process.env['POLLUX_ATTACH_DIR'] || '/run/pollux-attach')
  try {
    // as the kernel names what is in it
    return realpathSync(folder)
  } catch {
    return folder
  }
}

export const folderOf = (identity: string): string => join(attachDir(), identity)

/** One `attach` or `detach` at a time. Returns what ends that. Throws ATTACH_FAILED after 10 s. */
export async function lockAttachments(): Promise<() => void> {
  mkdirSync(attachDir(), { recursive: true })
  const descriptor = openSync(join(attachDir(), 'lock'), 'a', 0o600)
  const untilMs = performance.now() + LOCK_MS
  while (!flock(descriptor)) {
    if (performance.now() > untilMs) {
      closeSync(descriptor)
      throw new StoreError('ATTACH_FAILED', 'another attach or detach is running; wait for its end')
    }
    await sleep(LOCK_RETRY_MS)
  }
  return () => closeSync(descriptor)
}

export function writeAttachment(attachment: Attachment): void {
  const path = join(folderOf(attachment.identity), 'state.json')
  writeFileSync(`${path}.new`, `${JSON.stringify(attachment, undefined, 2)}\n`, { mode: 0o644 })
  renameSync(`${path}.new`, path)
}

/** undefined if there is none. Throws ATTACH_FAILED if the file is not what this program wrote. */
export function readAttachment(identity: string): Attachment | undefined {
  const path = join(folderOf(identity), 'state.json')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
  const attachment = parsed(text)
  if (attachment && attachment.identity === identity) return attachment
  throw new StoreError('ATTACH_FAILED', `${path} is not what \`pollux attach\` wrote; remove its folder`)
}

function parsed(text: string): Attachment | undefined {
  try {
    const value = JSON.parse(text) as Partial<Attachment>
    const isWhole =
      value.version === 1 &&
      typeof value.volume === 'string' &&
      typeof value.uri === 'string' &&
      (value.connectorPid === null || Number.isSafeInteger(value.connectorPid)) &&
      /^\/dev\/(nbd|loop)[0-9]+$/.test(value.device ?? '') &&
      Number.isSafeInteger(value.pid)
    return isWhole ? (value as Attachment) : undefined
  } catch {
    return undefined
  }
}

export function listAttachments(): Attachment[] {
  let names: string[]
  try {
    names = readdirSync(attachDir())
  } catch {
    return []
  }
  return names.sort().flatMap((name) => readAttachment(name) ?? [])
}

export function removeAttachment(identity: string): void {
  rmSync(folderOf(identity), { recursive: true, force: true })
}

/** Whether the process that keeps an attachment lives: its folder is among its arguments. */
export const isKept = ({ identity, pid }: Attachment): boolean => runsWith(pid, folderOf(identity))
