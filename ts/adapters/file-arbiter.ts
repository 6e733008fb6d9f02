import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { access, link, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { type OwnerRecord, ownerRecordMistake } from '../format/owner-record.ts'
import type { ArbiterAnswer, ArbiterPort } from '../ports/arbiter.ts'
import { ProcessLocks } from './process-locks.ts'

/** Versions that stay behind the newest, so that who lists the folder meanwhile always finds one. */
const VERSIONS_KEPT = 8
const READ_ATTEMPTS = 10

interface Newest {
  readonly version: number
  readonly record: OwnerRecord | undefined
}

/**
 * The arbiter for nodes on one host: a folder for each aggregate, with a file for each of the last versions
 * of its record; the highest one counts. `link` makes a version exist as a whole or not at all, and for one
 * writer only: that is the compare-and-swap. No lock is held, so a stopped process is in nobody's way.
 */
export class FileArbiter implements ArbiterPort {
  readonly #directory: string
  readonly #boot: string
  readonly #processes: ProcessLocks

  /** `boot` names this process; others see by it whether it still lives. */
  constructor(directory: string, boot: string) {
    this.#directory = directory
    this.#boot = boot
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#processes = new ProcessLocks(join(directory, 'alive'), boot)
  }

  read(aggregate: string, done: (answer: ArbiterAnswer) => void): void {
    void this.#answer(done, async () => {
      const { record } = await this.#newest(aggregate)
      const holder = record?.lease?.boot
      const holderGone = holder !== undefined && this.#processes.isGone(holder)
      return { kind: 'record', record, holderGone }
    })
  }

  swap(
    aggregate: string,
    expected: number | undefined,
    next: OwnerRecord,
    done: (answer: ArbiterAnswer) => void,
  ): void {
    void this.#answer(done, async () => {
      const before = await this.#newest(aggregate)
      const isExpected = before.record === undefined ? expected === undefined : before.version === expected
      if (!isExpected) return { kind: 'conflict', record: before.record }
      const record = { ...next, version: before.version + 1 }
      const isFirst = await this.#publish(aggregate, record)
      const after = await this.#newest(aggregate)
      if (!isFirst || after.version !== record.version) return { kind: 'conflict', record: after.record }
      return { kind: 'swapped', record }
    })
  }

  /** Others see this process as ended from now on. */
  close(): void {
    this.#processes.close()
  }

  async #answer(done: (answer: ArbiterAnswer) => void, work: () => Promise<ArbiterAnswer>): Promise<void> {
    let answer: ArbiterAnswer
    try {
      answer = await work()
    } catch (error) {
      answer = { kind: 'unreachable', reason: `arbiter: ${messageOf(error)}` }
    }
    done(answer)
  }

  async #newest(aggregate: string): Promise<Newest> {
    for (let attempt = 1; ; attempt += 1) {
      const newest = Math.max(0, ...(await this.#versions(aggregate)))
      if (newest === 0) return { version: 0, record: undefined }
      const path = this.#pathOf(aggregate, newest)
      try {
        return { version: newest, record: recordOf(path, newest, await readFile(path, 'utf8')) }
      } catch (error) {
        // so many newer versions in the meantime that this one was removed
        if (codeOf(error) !== 'ENOENT' || attempt === READ_ATTEMPTS) throw error
      }
    }
  }

  async #versions(aggregate: string): Promise<number[]> {
    // an empty folder in place of ours is not the same as having no record
    await access(this.#processes.ownPath).catch(() => {
      throw new Error(`${this.#directory} is not the folder any more in which this node began; restore it`)
    })
    try {
      const names = await readdir(this.#folderOf(aggregate))
      return names.map((name) => Number(/^record\.(\d+)\.json$/.exec(name)?.[1] ?? 0))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return []
      throw error
    }
  }

  /** Returns whether this version is ours. Whole and on stable storage before it can be seen. */
  async #publish(aggregate: string, record: OwnerRecord): Promise<boolean> {
    const folder = this.#folderOf(aggregate)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const draft = join(folder, `draft.${this.#boot}.${randomUUID()}`)
    try {
      await writeDurably(draft, `${JSON.stringify(record, undefined, 2)}\n`)
      await link(draft, this.#pathOf(aggregate, record.version))
      await syncFolder(folder)
      await this.#tidy(aggregate, record.version)
      return true
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false
      throw error
    } finally {
      await unlink(draft).catch(() => undefined)
    }
  }

  /** Old versions go, and drafts of processes that ended while writing them. */
  async #tidy(aggregate: string, newest: number): Promise<void> {
    const folder = this.#folderOf(aggregate)
    for (const name of await readdir(folder)) {
      const version = /^record\.(\d+)\.json$/.exec(name)?.[1]
      const boot = /^draft\.([^.]+)\./.exec(name)?.[1]
      const isOld = version !== undefined && Number(version) <= newest - VERSIONS_KEPT
      const isLeft = boot !== undefined && this.#processes.isGone(boot)
      if (isOld || isLeft) await unlink(join(folder, name)).catch(() => undefined)
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
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.datasync()
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** The system's words name the path already. */
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
