import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  fdatasync,
  fsync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assert } from '../base/assert.ts'
import { type OwnerRecord, ownerRecordMistake } from '../format/owner-record.ts'
import type { ArbiterAnswer } from '../ports/arbiter.ts'
import type { ProcessWatch } from './process-locks.ts'

/** Versions that stay behind the newest, so that who lists the folder meanwhile always finds one. */
const VERSIONS_KEPT = 8
const READ_ATTEMPTS = 10

/**
 * The arbiter for nodes on one host: a folder for each aggregate, with a file for each of the last versions
 * of its record; the highest one counts. `link` makes a version exist as a whole or not at all, and for one
 * writer only: that is the compare-and-swap. No lock is held, so a stopped process is in nobody's way.
 *
 * All but the flushes are calls that block: see file-arbiter.ts for who may make them. Swaps of one record
 * must not overlap here; those of different ones share the time that a disk takes to flush.
 */
export class RecordFolder {
  readonly #directory: string
  readonly #processes: ProcessWatch

  constructor(directory: string, processes: ProcessWatch) {
    this.#directory = directory
    this.#processes = processes
  }

  read(aggregate: string): Promise<ArbiterAnswer> {
    return answerOf(async () => {
      const record = this.#newest(aggregate)
      const holder = record?.lease?.boot
      const holderGone = holder !== undefined && this.#processes.isGone(holder)
      return { kind: 'record', record, holderGone }
    })
  }

  swap(aggregate: string, expected: number | undefined, next: OwnerRecord): Promise<ArbiterAnswer> {
    return answerOf(async () => {
      const before = this.#newest(aggregate)
      if (before?.version !== expected) return { kind: 'conflict', record: before }
      const record = { ...next, version: (expected ?? 0) + 1 }
      const isFirst = await this.#publish(aggregate, record)
      const names = this.#names(aggregate)
      if (!isFirst || newestOf(names) !== record.version)
        return { kind: 'conflict', record: this.#newest(aggregate) }
      this.#tidy(aggregate, names, record.version)
      return { kind: 'swapped', record }
    })
  }

  #newest(aggregate: string): OwnerRecord | undefined {
    for (let attempt = 1; ; attempt += 1) {
      const version = newestOf(this.#names(aggregate))
      if (version === 0) return undefined
      const path = this.#pathOf(aggregate, version)
      try {
        return recordOf(path, version, readFileSync(path, 'utf8'))
      } catch (error) {
        // so many newer versions in the meantime that this one was removed
        if (codeOf(error) !== 'ENOENT' || attempt === READ_ATTEMPTS) throw error
      }
    }
  }

  #names(aggregate: string): string[] {
    // an empty folder in place of ours is not the same as having no record
    try {
      accessSync(this.#processes.ownPath)
    } catch {
      throw new Error(`${this.#directory} is not the folder any more in which this node began; restore it`)
    }
    try {
      return readdirSync(this.#folderOf(aggregate))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return []
      throw error
    }
  }

  /** Returns whether this version is ours. Whole and on stable storage before it can be seen. */
  async #publish(aggregate: string, record: OwnerRecord): Promise<boolean> {
    const folder = this.#folderOf(aggregate)
    if (record.version === 1) mkdirSync(folder, { recursive: true, mode: 0o700 })
    const draft = join(folder, `draft.${this.#processes.ownName}.${randomUUID()}`)
    try {
      await writeDurably(draft, `${JSON.stringify(record, undefined, 2)}\n`)
      linkSync(draft, this.#pathOf(aggregate, record.version))
      await syncFolder(folder)
      return true
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false
      throw error
    } finally {
      removeIfPossible(draft)
    }
  }

  /** Old versions go, and drafts of processes that ended while writing them. */
  #tidy(aggregate: string, names: readonly string[], newest: number): void {
    for (const name of names) {
      const version = versionOf(name)
      const boot = /^draft\.([^.]+)\./.exec(name)?.[1]
      const isOld = version > 0 && version <= newest - VERSIONS_KEPT
      const isLeft = boot !== undefined && this.#processes.isGone(boot)
      if (isOld || isLeft) removeIfPossible(join(this.#folderOf(aggregate), name))
    }
  }

  #folderOf(aggregate: string): string {
    assert(/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(aggregate), 'the name of an aggregate can name a folder')
    return join(this.#directory, 'aggregates', aggregate)
  }

  #pathOf(aggregate: string, version: number): string {
    return join(this.#folderOf(aggregate), `record.${version}.json`)
  }
}

function recordOf(path: string, version: number, text: string): OwnerRecord {
  const record = parse(path, text)
  const mistake = ownerRecordMistake(record)
  if (mistake !== undefined) throw new Error(`${path}: ${mistake}; restore the file`)
  const named = (record as OwnerRecord).version
  if (named !== version) throw new Error(`${path}: it says version ${named}; restore the file`)
  return record as OwnerRecord
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${path}: it is not JSON; restore the file`)
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const descriptor = openSync(path, 'wx', 0o600)
  try {
    writeFileSync(descriptor, text)
    await promisify(fdatasync)(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

async function syncFolder(path: string): Promise<void> {
  const descriptor = openSync(path, 'r')
  try {
    await promisify(fsync)(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** What stays is removed with a later version. */
function removeIfPossible(path: string): void {
  try {
    unlinkSync(path)
  } catch {}
}

async function answerOf(work: () => Promise<ArbiterAnswer>): Promise<ArbiterAnswer> {
  try {
    return await work()
  } catch (error) {
    // the system's words name the path already
    return {
      kind: 'unreachable',
      reason: `arbiter: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}

/** The version that a file is of; 0: it is something else. */
const versionOf = (name: string): number => Number(/^record\.(\d+)\.json$/.exec(name)?.[1] ?? 0)

const newestOf = (names: readonly string[]): number => Math.max(0, ...names.map(versionOf))

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code
