import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { Gather } from '../base/gather.ts'
import { BLOCK_SIZE, isMultiple, roundDown } from '../base/units.ts'
import type { Completion } from '../ports/completion.ts'
import type { Disk, DiskPort } from '../ports/disk.ts'
import { errnoName, native, type OpenedDisk } from './native.ts'
import type { Uring } from './uring.ts'

const EIO = -5
const EINTR = -4
const EAGAIN = -11

/** Disks through one io_uring. */
export class NativeDisks implements DiskPort {
  readonly #uring: Uring

  constructor(uring: Uring) {
    this.#uring = uring
  }

  open(path: string): Disk {
    const opened = native.openDisk(path)
    if (typeof opened !== 'number') return new NativeDisk(this.#uring, path, opened)
    throw openFailure(path, errnoName(opened))
  }
}

class NativeDisk implements Disk {
  readonly path: string
  readonly byteLength: number
  readonly #uring: Uring
  readonly #descriptor: number
  readonly #idle: Transfer[] = []
  #inFlight = 0
  #isClosed = false

  constructor(uring: Uring, path: string, opened: OpenedDisk) {
    this.path = path
    this.byteLength = roundDown(opened.byteLength, BLOCK_SIZE)
    this.#uring = uring
    this.#descriptor = opened.descriptor
  }

  read(at: number, into: Gather, done: Completion): void {
    this.#begin(false, at, into, done)
  }

  write(at: number, from: Gather, done: Completion): void {
    this.#begin(true, at, from, done)
  }

  flush(done: Completion): void {
    assert(!this.#isClosed, 'a closed disk is not used')
    this.#inFlight += 1
    const transfer = this.#idle.pop() ?? new Transfer(this)
    transfer.begin(0, done)
    this.#uring.flush(this.#descriptor, transfer)
  }

  /** The descriptor is closed when the last operation in flight has ended. */
  close(): void {
    this.#isClosed = true
    this.#closeWhenIdle()
  }

  ended(transfer: Transfer): void {
    this.#idle.push(transfer)
    this.#inFlight -= 1
    if (this.#isClosed) this.#closeWhenIdle()
  }

  submit(isWrite: boolean, at: number, pieces: Gather, transfer: Transfer): void {
    if (isWrite) this.#uring.write(this.#descriptor, at, pieces, transfer)
    else this.#uring.read(this.#descriptor, at, pieces, transfer)
  }

  #begin(isWrite: boolean, at: number, pieces: Gather, done: Completion): void {
    assert(!this.#isClosed, 'a closed disk is not used')
    assert(isMultiple(at, BLOCK_SIZE) && isMultiple(pieces.byteLength, BLOCK_SIZE), 'direct I/O is aligned')
    assert(at >= 0 && at + pieces.byteLength <= this.byteLength, 'a transfer lies inside of the disk')
    this.#inFlight += 1
    const transfer = this.#idle.pop() ?? new Transfer(this)
    transfer.beginTransfer(isWrite, at, pieces, done)
    this.submit(isWrite, at, pieces, transfer)
  }

  #closeWhenIdle(): void {
    if (this.#inFlight === 0) native.closeDescriptor(this.#descriptor)
  }
}

/** One operation on a disk: interrupted or short ones are tried again once before they are failures. */
class Transfer implements Completion {
  readonly #disk: NativeDisk
  #done: Completion | undefined
  #expected = 0
  #isWrite = false
  #at = 0
  #pieces: Gather | undefined
  #tries = 0

  constructor(disk: NativeDisk) {
    this.#disk = disk
  }

  begin(expected: number, done: Completion): void {
    this.#done = done
    this.#expected = expected
    this.#pieces = undefined
    this.#tries = 0
  }

  beginTransfer(isWrite: boolean, at: number, pieces: Gather, done: Completion): void {
    this.begin(pieces.byteLength, done)
    this.#isWrite = isWrite
    this.#at = at
    this.#pieces = pieces
  }

  complete(result: number): void {
    const isOdd = result === EINTR || result === EAGAIN || (result >= 0 && result < this.#expected)
    if (isOdd && this.#pieces !== undefined && this.#tries < 3) {
      this.#tries += 1
      return this.#disk.submit(this.#isWrite, this.#at, this.#pieces, this)
    }
    const done = this.#done!
    this.#done = undefined
    this.#pieces = undefined
    this.#disk.ended(this)
    done.complete(result >= 0 && result < this.#expected ? EIO : result)
  }
}

function openFailure(path: string, why: string): StoreError {
  switch (why) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new StoreError(
        'DISK_MISSING',
        `disk ${path} does not exist; check the path in \`disks\` of the configuration`,
      )
    case 'EBUSY':
      return new StoreError(
        'DISK_BUSY',
        `disk ${path} is in use (mounted, or claimed by something else); free it first`,
      )
    case 'EACCES':
    case 'EPERM':
      return new StoreError(
        'DISK_UNUSABLE',
        `disk ${path} may not be opened: ${why}; give this user read and write access`,
      )
    case 'ENOTBLK':
      return new StoreError('DISK_UNUSABLE', `disk ${path} is neither a block device nor a file`)
    default:
      return new StoreError('DISK_UNUSABLE', `disk ${path} cannot be opened: ${why}`)
  }
}
