import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../base/errors.ts'
import type { NvramFile, NvramPort } from '../ports/nvram.ts'
import { MEMORY_BYTES_MAX, memoryOf } from './memory.ts'
import { errnoName, native } from './native.ts'

/** Log rings as files in one directory: /dev/shm, a DAX file system, or any other. */
export class NativeNvram implements NvramPort {
  readonly persistent: boolean
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
    } catch (cause) {
      const why = (cause as NodeJS.ErrnoException).code
      const text = `the NVRAM directory ${directory} cannot be made: ${why}; check \`directory\` under [nvram]`
      throw new StoreError('NVRAM_UNUSABLE', text, { cause })
    }
    this.persistent = native.isPersistent(directory)
  }

  open(name: string, byteLength: number): NvramFile {
    const path = join(this.#directory, `${name}.nvram`)
    if (byteLength > MEMORY_BYTES_MAX) {
      throw new StoreError('NVRAM_UNUSABLE', `${path}: a log ring has at most 4 GiB; make log_size smaller`)
    }
    const mapped = native.mapShared(path, byteLength)
    if (typeof mapped !== 'number') return { path, memory: memoryOf(mapped), found: mapped.found }
    const why = errnoName(mapped)
    if (why !== 'ENOSPC') throw new StoreError('NVRAM_UNUSABLE', `${path}: cannot be mapped: ${why}`)
    throw new StoreError(
      'NVRAM_FULL',
      `${path}: no room for a log ring of ${byteLength} bytes; free space in ${this.#directory}, or make log_size smaller`,
    )
  }
}
