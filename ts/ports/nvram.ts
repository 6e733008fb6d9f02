import type { Memory } from './memory.ts'

/** How the file was found. `resized`: it had another length than the configuration says. */
export type NvramFound = 'kept' | 'new' | 'resized'

export interface NvramFile {
  readonly path: string
  readonly memory: Memory
  readonly found: NvramFound
}

/** Shared memory that outlives the process: /dev/shm, a DAX file system, or a plain file. */
export interface NvramPort {
  /** Whether what it holds survives a loss of power (DAX, pmem). */
  readonly persistent: boolean
  /** Maps `byteLength` bytes. A file of another length is kept aside as `NAME.damaged` and a new one made. */
  open(name: string, byteLength: number): NvramFile
}
