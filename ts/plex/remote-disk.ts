import { assert } from '../base/assert.ts'
import type { Gather } from '../base/gather.ts'
import { FrameKind, OpenedDisk } from '../format/link-frame.ts'
import type { Completion } from '../ports/completion.ts'
import type { Disk } from '../ports/disk.ts'
import type { RemotePlex } from './remote-plex.ts'

/** One disk of the partner's host. */
export class RemoteDisk implements Disk {
  readonly path: string
  readonly byteLength: number
  readonly #plex: RemotePlex
  readonly #disk: number
  #isOpen = true
  #session: number

  constructor(plex: RemotePlex, disk: number, path: string, byteLength: number) {
    this.#plex = plex
    this.#session = plex.session
    this.#disk = disk
    this.path = path
    this.byteLength = byteLength
  }

  read(at: number, into: Gather, done: Completion): void {
    this.#plex.transfer(FrameKind.DISK_READ, this.#disk, at, into, done)
  }

  /** What was written before the link went down may be lost with that host: a flush cannot vouch. */
  write(at: number, from: Gather, done: Completion): void {
    if (this.#session !== this.#plex.session) return this.#plex.fail(done)
    this.#plex.transfer(FrameKind.DISK_WRITE, this.#disk, at, from, done)
  }

  flush(done: Completion): void {
    if (this.#session !== this.#plex.session) return this.#plex.fail(done)
    this.#plex.flush(this.#disk, done)
  }

  refuse(done: Completion): void {
    this.#plex.fail(done)
  }

  readmit(): void {
    this.#session = this.#plex.session
    this.#plex.readmit()
  }

  /** The partner closes its disks when it opens them again, or when the link goes down. */
  close(): void {
    assert(this.#isOpen, `${this.path} is closed once`)
    this.#isOpen = false
  }
}

/** What the partner says of the disks that it has opened. */
export function disksIn(opened: Uint8Array): { byteLength: number; path: string; disk: Uint8Array }[] {
  const count = Math.floor(opened.length / OpenedDisk.byteLength)
  return Array.from({ length: count }, (_, at) => OpenedDisk.decode(opened, at * OpenedDisk.byteLength))
}

export const remoteDisks = (plex: RemotePlex, partner: string, opened: Uint8Array): RemoteDisk[] =>
  disksIn(opened).map(
    ({ path, byteLength }, at) => new RemoteDisk(plex, at, `${partner}:${path}`, byteLength),
  )
