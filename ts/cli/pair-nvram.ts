import { createHash } from 'node:crypto'
import { accessSync, constants, lstatSync, mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../base/errors.ts'
import { MIB } from '../base/units.ts'
import { byteLengthText } from '../config/quantities.ts'
import { ringByteLength } from './format-aggregate.ts'

/** Two nodes, each with a copy of the log of each of two aggregates. */
const RINGS = 4
const LOG_BYTE_LENGTH_MIN = MIB
/** Of the room that is free, so that others on the host keep some. */
const SHARE_MAX = 0.75

export interface PairNvram {
  readonly directory: string
  readonly logByteLength: number
  /** what the user should know; empty if it is as wanted */
  readonly note: string
}

/** Shared memory for the logs of an embedded pair; a smaller log where there is little of it. */
export function chooseNvram(dir: string, wantedByteLength: number, isExplicit: boolean): PairNvram {
  const shared = sharedMemoryFor(dir)
  const directory = shared ?? join(dir, 'nvram')
  makePrivate(directory)
  const file = shared === undefined ? `there is no /dev/shm: the logs are plain files in ${directory}` : ''
  const { bavail, bsize } = statfsSync(directory)
  const room = bavail * bsize * SHARE_MAX
  let logByteLength = wantedByteLength
  while (ringByteLength(logByteLength) * RINGS > room && logByteLength > LOG_BYTE_LENGTH_MIN && !isExplicit) {
    logByteLength /= 2
  }
  if (ringByteLength(logByteLength) * RINGS > room) {
    const needed = byteLengthText(ringByteLength(logByteLength) * RINGS)
    const text = `${directory} has room for ${byteLengthText(room)} of logs and ${needed} are needed`
    throw new StoreError('NVRAM_FULL', `${text}; free some, or give a smaller --log-size`)
  }
  const sizes = `${byteLengthText(logByteLength)}, not ${byteLengthText(wantedByteLength)}`
  const isSmaller = logByteLength < wantedByteLength
  const smaller = isSmaller ? `${directory} has little room: each log has ${sizes}` : ''
  return { directory, logByteLength, note: [file, smaller].filter((text) => text !== '').join('; ') }
}

function sharedMemoryFor(dir: string): string | undefined {
  try {
    accessSync('/dev/shm', constants.W_OK | constants.X_OK)
  } catch {
    return undefined
  }
  const hash = createHash('sha256').update(dir).digest('hex').slice(0, 12)
  return `/dev/shm/pollux-${process.getuid?.() ?? 0}-${hash}`
}

/** /dev/shm is everybody's: a folder that somebody else has put there is not ours to use. */
export function makePrivate(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const found = lstatSync(directory)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    const text = `${directory} must be a folder of this user that nobody else can open`
    throw new StoreError('NVRAM_UNUSABLE', `${text}; remove it`)
  }
}
