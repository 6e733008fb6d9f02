import { type FileHandle, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import path from 'node:path'
import type { Random } from '../sim/random.ts'
import { SECTOR, stamped } from './stamps.ts'

const BLOCK = 4096
const BLOCKS = 256
const KEPT = 100
const LINE = 100

/** Versions of something: the newest that was forced to stable storage, and all that were begun since. */
interface Versions {
  forced: number
  begun: number[]
}

/**
 * Programs that force what they write, as a database or a mail server would, and the memory of what was
 * promised to them: files that are made and removed, one that is replaced by renaming, one that grows,
 * and one whose blocks are overwritten. Each goes on until something fails.
 */
export class ForcedFiles {
  forced = 0
  /** a program has failed, which is the end of each */
  someEnded = false
  #isPowerOn = false
  #isOver = false
  readonly #folder: string
  readonly #random: Random
  readonly #made = new Map<number, number>()
  readonly #removed = new Set<number>()
  readonly #current: Versions = { forced: 0, begun: [] }
  readonly #blocks: Versions[] = Array.from({ length: BLOCKS }, () => ({ forced: 0, begun: [] }))
  #lines = 0
  #number = 0
  #replaced = 0
  #version = 0
  #ends: Promise<PromiseSettledResult<void>[]> = Promise.resolve([])

  constructor(folder: string, random: Random) {
    this.#folder = folder
    this.#random = random
  }

  start(): void {
    this.someEnded = false
    this.#isPowerOn = true
    this.#isOver = false
    const programs = [this.#make(), this.#replace(), this.#append(), this.#overwrite()]
    this.#ends = Promise.allSettled(programs)
    void Promise.race(programs).catch(() => {
      this.someEnded = true
    })
  }

  /** Ends the programs in good order; returns why those ended that have ended before. */
  async stop(): Promise<string[]> {
    this.#isOver = true
    return (await this.#ends).flatMap((end) => (end.status === 'rejected' ? String(end.reason) : []))
  }

  /**
   * To be called right before the power is cut: what is told as forced later is not counted. Just after its
   * journal has failed, ext4 tells of a folder that it is forced, and is read-only a moment later; under
   * load, with any server that is killed, in about one cut of thirty (nbdkit's file plugin: 15 of 500).
   */
  powerGoes(): void {
    this.#isPowerOn = false
  }

  /** Waits until the power has gone, for all programs; returns how each saw it. */
  async failures(): Promise<string[]> {
    return (await this.#ends).map((end) => (end.status === 'rejected' ? String(end.reason) : 'it has ended'))
  }

  /** What is not as it was promised; the file system may have been mounted anew meanwhile. */
  async broken(): Promise<string[]> {
    const wrong: string[] = []
    for (const [number, byteLength] of this.#made) {
      const found = await this.#read(`file-${number}`)
      if (!found?.equals(content(number, byteLength, 1))) wrong.push(`file-${number}: ${told(found)}`)
    }
    for (const name of await readdir(this.#folder)) {
      if (this.#removed.has(Number(/^file-(\d+)$/.exec(name)?.[1]))) wrong.push(`${name} was removed`)
    }
    const { forced, begun } = this.#current
    const current = await this.#read('current')
    const versions = [forced, ...begun]
    const isOne = versions.some((version) => current?.equals(content(0, 3 * BLOCK, version)))
    if (forced > 0 && !isOne) wrong.push(`current is none of ${versions.join(', ')}: ${told(current)}`)
    const log = await this.#read('log')
    const expected = Array.from({ length: this.#lines }, (_, index) => line(index)).join('')
    if (this.#lines > 0 && log?.toString('latin1', 0, expected.length) !== expected)
      wrong.push(`log: not its ${this.#lines} lines`)
    return [...wrong, ...this.#brokenBlocks(await this.#read('blocks'))]
  }

  /** Each sector has what was forced last, or what was under way in this cut or an earlier one. */
  #brokenBlocks(bytes: Buffer | undefined): string[] {
    return this.#blocks.flatMap(({ forced, begun }, block) => {
      if (forced === 0) return []
      const choices = [forced, ...begun].map((version) => stamped(1, block * 8, 8, version))
      for (let at = 0; at < BLOCK; at += SECTOR) {
        const found = bytes?.subarray(block * BLOCK + at, block * BLOCK + at + SECTOR)
        if (choices.every((choice) => !found?.equals(choice.subarray(at, at + SECTOR))))
          return [`block ${block} is none of ${[forced, ...begun].join(', ')}`]
      }
      return []
    })
  }

  async #make(): Promise<void> {
    while (!this.#isOver) {
      const number = ++this.#number
      const byteLength = 1 + this.#random.below(80_000)
      await this.#write(`file-${number}`, content(number, byteLength, 1))
      await this.#forceFolder()
      if (!this.#isForced()) continue
      this.#made.set(number, byteLength)
      const oldest = number - KEPT
      if (!this.#made.delete(oldest)) continue
      await unlink(this.#path(`file-${oldest}`))
      await this.#forceFolder()
      if (this.#isForced()) this.#removed.add(oldest)
    }
  }

  async #replace(): Promise<void> {
    while (!this.#isOver) {
      const version = ++this.#replaced
      this.#current.begun.push(version)
      await this.#write('current.new', content(0, 3 * BLOCK, version))
      await rename(this.#path('current.new'), this.#path('current'))
      await this.#forceFolder()
      this.#settle(this.#current, version)
    }
  }

  async #append(): Promise<void> {
    await this.#with('log', 'a', async (file) => {
      await file.truncate(this.#lines * LINE)
      while (!this.#isOver) {
        await file.write(line(this.#lines))
        await file.datasync()
        if (this.#isForced()) this.#lines += 1
      }
    })
  }

  async #overwrite(): Promise<void> {
    const flags = this.#version === 0 ? 'w+' : 'r+'
    await this.#with('blocks', flags, async (file) => {
      while (!this.#isOver) {
        const block = this.#random.below(BLOCKS)
        const version = ++this.#version
        const versions = this.#blocks[block]!
        versions.begun.push(version)
        await file.write(stamped(1, block * 8, 8, version), 0, BLOCK, block * BLOCK)
        await file.datasync()
        this.#settle(versions, version)
      }
    })
  }

  /** Counts what was forced, if it was while the power was on. */
  #isForced(): boolean {
    if (this.#isPowerOn) this.forced += 1
    return this.#isPowerOn
  }

  #settle(versions: Versions, version: number): void {
    if (!this.#isForced()) return
    versions.forced = version
    versions.begun = []
  }

  #write(name: string, bytes: Buffer): Promise<void> {
    return this.#with(name, 'w', async (file) => {
      await file.writeFile(bytes)
      await file.sync()
    })
  }

  #forceFolder(): Promise<void> {
    return this.#with('.', 'r', (folder) => folder.sync())
  }

  async #with(name: string, flags: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
    const file = await open(this.#path(name), flags)
    try {
      await use(file)
    } finally {
      await file.close().catch(() => undefined)
    }
  }

  #read(name: string): Promise<Buffer | undefined> {
    return readFile(this.#path(name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return undefined
    })
  }

  #path(name: string): string {
    return path.join(this.#folder, name)
  }
}

function content(number: number, byteLength: number, version: number): Buffer {
  return stamped(number, 0, Math.ceil(byteLength / SECTOR), version).subarray(0, byteLength)
}

function line(index: number): string {
  return `${`line ${index} `.padEnd(LINE - 1, '.')}\n`
}

function told(found: Buffer | undefined): string {
  return found ? `${found.length} other bytes` : 'it is not there'
}
