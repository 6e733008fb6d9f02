import { assert } from '../base/assert.ts'
import type { Gather } from '../base/gather.ts'
import type { PlexDisk } from '../plex/plex.ts'
import type { Completion } from '../ports/completion.ts'

/** A stretch of one disk, addressed from its own beginning. */
export class DiskZone {
  readonly byteLength: number
  readonly #disk: PlexDisk['disk']
  readonly #at: number

  constructor(disk: PlexDisk['disk'], at: number, byteLength: number) {
    this.#disk = disk
    this.#at = at
    this.byteLength = byteLength
  }

  read(at: number, into: Gather, done: Completion): void {
    this.#check(at, into)
    this.#disk.read(this.#at + at, into, done)
  }

  write(at: number, from: Gather, done: Completion): void {
    this.#check(at, from)
    this.#disk.write(this.#at + at, from, done)
  }

  flush(done: Completion): void {
    this.#disk.flush(done)
  }

  #check(at: number, gather: Gather): void {
    assert(at + gather.byteLength <= this.byteLength, 'a zone is not left')
  }
}
