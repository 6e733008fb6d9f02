import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { flock } from './native.ts'

const HOLD_ATTEMPTS = 1000
const KEPT_FOR_MS = 24 * 60 * 60 * 1000

/**
 * Whether processes of this host still live: each holds the lock of a file of its own until it ends,
 * however it ends. A process that is only stopped still holds it.
 */
export class ProcessWatch {
  readonly ownName: string
  readonly ownPath: string
  readonly directory: string

  constructor(directory: string, ownName: string) {
    assert(isName(ownName), 'the name of a process can name a file')
    this.directory = directory
    this.ownName = ownName
    this.ownPath = join(directory, ownName)
  }

  /** True only for sure: its file is there, and nobody holds the lock. */
  isGone(name: string): boolean {
    if (name === this.ownName || !isName(name)) return false
    return whenFree(join(this.directory, name), () => undefined)
  }
}

/** The lock of this process. */
export class ProcessLocks extends ProcessWatch {
  #descriptor: number

  constructor(directory: string, name: string) {
    super(directory, name)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#removeLongEnded()
    this.#descriptor = this.#hold()
  }

  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor)
    this.#descriptor = -1
  }

  #hold(): number {
    for (let attempt = 1; ; attempt += 1) {
      const descriptor = openSync(this.ownPath, 'a', 0o600)
      // another process that looks whether it is free has it for a moment, or has just removed it
      if (flock(descriptor) && this.#isStillThere(descriptor)) return descriptor
      closeSync(descriptor)
      assert(attempt < HOLD_ATTEMPTS, 'no other process has the same name')
    }
  }

  #isStillThere(descriptor: number): boolean {
    const there = statSync(this.ownPath, { throwIfNoEntry: false })
    return there !== undefined && there.ino === fstatSync(descriptor).ino
  }

  /** Long after their end; until then they tell that a lease is over. */
  #removeLongEnded(): void {
    const before = Date.now() - KEPT_FOR_MS
    for (const name of readdirSync(this.directory)) {
      const path = join(this.directory, name)
      const modified = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? before
      if (isName(name) && modified < before) whenFree(path, () => unlinkSync(path))
    }
  }
}

/** Whether the file is there and nobody holds its lock. */
function whenFree(path: string, then: () => void): boolean {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch {
    return false
  }
  try {
    const isFree = flock(descriptor)
    if (isFree) then()
    return isFree
  } finally {
    closeSync(descriptor)
  }
}

const isName = (text: string): boolean => /^[A-Za-z0-9-]+$/.test(text)
