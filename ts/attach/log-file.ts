import { appendFileSync, renameSync, statSync } from 'node:fs'
import { MIB } from '../base/units.ts'

/** The log lies in memory, as all of /run. */
const LOG_BYTE_LENGTH_MAX = MIB

/**
 * Appends a line with the time before it. A file that has become long is put aside as `.old`, over an older
 * one.
 */
export function appendToLog(path: string, line: string, byteLengthMax = LOG_BYTE_LENGTH_MAX): void {
  try {
    const byteLength = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (byteLength >= byteLengthMax) renameSync(path, `${path}.old`)
    appendFileSync(path, `${new Date().toISOString()} ${line}\n`, { mode: 0o600 })
  } catch {
    // to keep a device is more than to tell of it
  }
}
