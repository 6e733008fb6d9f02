import type { Gather } from '../base/gather.ts'
import type { Completion } from './completion.ts'

/**
 * One raw disk: a block device or, for the demo, a file. Offsets, lengths and memory are multiples
 * of 4096. A short transfer never shows: it completes with the full length or with -errno.
 */
export interface Disk {
  readonly path: string
  readonly byteLength: number
  read(at: number, into: Gather, done: Completion): void
  write(at: number, from: Gather, done: Completion): void
  /** Completes when all writes that completed before are on stable storage. */
  flush(done: Completion): void
  /** Fails later, without touching the disk. */
  refuse?(done: Completion): void
  /** What failed before may be tried again: whoever had writes under way has given them up. */
  readmit?(): void
  close(): void
}

export interface DiskPort {
  /**
   * Opens with O_DIRECT. Throws StoreError (DISK_MISSING, DISK_BUSY, DISK_UNUSABLE) naming the path
   * and the remedy.
   */
  open(path: string): Disk
}
