import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { Gather } from '../base/gather.ts'
import { BLOCK_SIZE, isMultiple, roundDown } from '../base/units.ts'
import type { Completion } from '../ports/completion.ts'
import type { Disk, DiskPort } from '../ports/disk.ts'
import { errnoName, native, type OpenedDisk } from './native.ts'
import { isTransient, type Uring } from './uring.ts'

const EIO = -5
/** How often an operation that was interrupted or came out short is asked for again. */
const TRIES_MAX = 3

/** Disks through one io_uring. */
export class NativeDisks implements DiskPort {
  readonly #uring: Uring

  constructor(uring: Uring) {
    this.#uring = uring
  }

  open(path: string): NativeDisk {
    const opened = native.openDisk(path)
    if (typeof opened === 'number') throw openFailure(path, errnoName(opened))
    if (opened.sectorByteLength <= BLOCK_SIZE) return new NativeDisk(this.#uring, path, opened)
    native.closeDescriptor(opened.descriptor)
    const text = `disk ${path} has sectors of ${opened.sectorByteLength} bytes; use one with ${BLOCK_SIZE} or fewer`
    throw new StoreError('DISK_UNUSABLE', text)
  }
}

export class NativeDisk implements Disk {
  readonly path: string
  readonly byteLength: number
  /** false: the file system cannot do it, so writes lie in the page cache until a flush */
  readonly isDirect: boolean
  /** two paths to the same disk have the same one */
  readonly identity: string
  readonly #uring: Uring
  readonly #descriptor: number
  readonly #idle: Transfer[] = []
  #inFlight = 0
  #isClosed = false

  constructor(uring: Uring, path: string, opened: OpenedDisk) {
    this.path = path
    this.byteLength = roundDown(opened.byteLength, BLOCK_SIZE)
    this.isDirect = opened.isDirect
    this.identity = opened.identity
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
    transfer.beginFlush(done)
    this.submit(transfer, false, 0, undefined)
  }

  /** The descriptor is closed when the last operation in flight has ended. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closeWhenIdle()
  }

  ended(transfer: Transfer): void {
    this.#idle.push(transfer)
    this.#inFlight -= 1
    if (this.#isClosed) this.#closeWhenIdle()
  }

  submit(transfer: Transfer, isWrite: boolean, at: number, pieces: Gather | undefined): void {
    if (pieces === undefined) this.#uring.flush(this.#descriptor, transfer)
    else if (isWrite) this.#uring.write(this.#descriptor, at, pieces, transfer)
    else this.#uring.read(this.#descriptor, at, pieces, transfer)
  }

  #begin(isWrite: boolean, at: number, pieces: Gather, done: Completion): void {
    assert(!this.#isClosed, 'a closed disk is not used')
    assert(isMultiple(at, BLOCK_SIZE) && isMultiple(pieces.byteLength, BLOCK_SIZE), 'direct I/O is aligned')
    assert(at >= 0 && at + pieces.byteLength <= this.byteLength, 'a transfer lies inside of the disk')
    this.#inFlight += 1
    const transfer = this.#idle.pop() ?? new Transfer(this)
    transfer.begin(isWrite, at, pieces, done)
    this.submit(transfer, isWrite, at, pieces)
  }

  #closeWhenIdle(): void {
    if (this.#inFlight === 0) native.closeDescriptor(this.#descriptor)
  }
}

/** One operation on a disk: an interrupted or short one is tried again before it is a failure. */
class Transfer implements Completion {
  readonly #disk: NativeDisk
  #done: Completion | undefined
  #isWrite = false
  #at = 0
  #pieces: Gather | undefined
  #byteLength = 0
  #tries = 0

  constructor(disk: NativeDisk) {
    this.#disk = disk
  }

  begin(isWrite: boolean, at: number, pieces: Gather, done: Completion): void {
    this.#isWrite = isWrite
    this.#at = at
    this.#pieces = pieces
    this.#byteLength = pieces.byteLength
    this.#tries = 1
    this.#done = done
  }

  beginFlush(done: Completion): void {
    this.#pieces = undefined
    this.#byteLength = 0
    this.#tries = 1
    this.#done = done
  }

  complete(result: number): void {
    const isShort = result >= 0 && result < this.#byteLength
    if ((isShort || isTransient(result)) && this.#tries < TRIES_MAX) {
      this.#tries += 1
      this.#disk.submit(this, this.#isWrite, this.#at, this.#pieces)
      return
    }
    const done = this.#done!
    this.#done = undefined
    this.#pieces = undefined
    this.#disk.ended(this)
    done.complete(isShort ? EIO : result)
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
