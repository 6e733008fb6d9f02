import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { StoreError } from '../base/errors.ts'

const LOCK_ATTEMPTS = 10
const LOCK_RETRY_MS = 10

/**
 * Makes sure that a node runs once only: a lock on a file beside its control socket, held until the
 * process ends in any way. The file says which process it was last.
 */
export class NodeLock {
  readonly #descriptor: number

  constructor(apiSocket: string, node: string, flock: (descriptor: number) => boolean) {
    const path = lockPath(apiSocket)
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const descriptor = openSync(path, 'a+', 0o600)
    if (!takes(descriptor, flock)) {
      closeSync(descriptor)
      const pid = lastPid(apiSocket)
      throw new StoreError('PORT_IN_USE', `node ${node} is running already (process ${pid ?? 'unknown'})`)
    }
    ftruncateSync(descriptor)
    writeSync(descriptor, `${process.pid}\n`)
    this.#descriptor = descriptor
  }

  release(): void {
    closeSync(this.#descriptor)
  }
}

/** Somebody who only looks whether the node runs holds the lock for a moment. */
function takes(descriptor: number, flock: (descriptor: number) => boolean): boolean {
  for (let attempt = 1; !flock(descriptor); attempt += 1) {
    if (attempt === LOCK_ATTEMPTS) return false
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_RETRY_MS)
  }
  return true
}

/** The process that runs the node of a control socket, or ran it last. */
export function lastPid(apiSocket: string): number | undefined {
  try {
    const pid = Number(readFileSync(lockPath(apiSocket), 'utf8').trim())
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}

/** Whether some process holds the lock now: that node runs, even if it does not answer. */
export function isLocked(apiSocket: string, flock: (descriptor: number) => boolean): boolean {
  let descriptor: number
  try {
    descriptor = openSync(lockPath(apiSocket), 'r')
  } catch {
    return false
  }
  try {
    return !flock(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const lockPath = (apiSocket: string): string => `${apiSocket}.lock`
