import { assert } from '../base/assert.ts'
import { Gather } from '../base/gather.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, isMultiple, roundDown } from '../base/units.ts'
import type { Completion } from '../ports/completion.ts'
import type { Disk } from '../ports/disk.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { memoryPool } from './memory-pool.ts'
import { sliceGather } from './slice-gather.ts'

export const DISK_IO_ERROR = -5

/** A disk that fails block after block is not probed any further within one read. */
const BAD_BLOCKS_PER_READ = 8

/** A guarded disk, and the memory that it has of the pool. */
export interface OpenDisk {
  readonly disk: GuardedDisk
  /** scratch of the guard; goes back to the pool when the disk is closed */
  readonly scratch: Memory
}

/** Closes disks as soon as nothing is in flight on them, and waits for that. */
export function* closeDisks(port: MemoryPort, disks: readonly OpenDisk[]): Procedure {
  let open = disks.length
  for (const { disk } of disks) {
    disk.close(() => {
      open -= 1
    })
  }
  while (open > 0) yield 'wait'
  giveBackScratch(port, disks)
}

export function giveBackScratch(port: MemoryPort, disks: readonly OpenDisk[]): void {
  for (const { scratch } of disks) memoryPool(port).giveBack(scratch)
}

type Kind = 'read' | 'write' | 'flush' | 'refusal'

/** One operation on its way; reused, so that I/O allocates nothing. */
class Operation implements Completion {
  kind: Kind = 'read'
  at = 0
  gather: Gather | undefined
  done: Completion | undefined
  bisection: Bisection | undefined
  readonly #disk: GuardedDisk

  constructor(disk: GuardedDisk) {
    this.#disk = disk
  }

  complete(result: number): void {
    this.#disk.ended(this, result)
  }
}

/** The parts of a failed read that are still to be tried, as pairs of offset and length. */
class Bisection {
  readonly part = new Gather()
  readonly todo: number[] = []
  length = 0
  from = 0
  badBlocks = 0
}

export interface DiskCounters {
  reads: number
  writes: number
  flushes: number
  readBytes: number
  writtenBytes: number
  readErrors: number
  writeErrors: number
  badBlocks: number
  refused: number
}

/**
 * A disk that can be believed. After a failed write or flush nobody knows what the disk holds, and
 * the kernel reports such an error only once: so every later write and flush is refused until
 * `readmit`. A failed read of many blocks is halved down to the bad ones: the others still arrive.
 */
export class GuardedDisk implements Disk {
  readonly inner: Disk
  readonly counters: DiskCounters = {
    reads: 0,
    writes: 0,
    flushes: 0,
    readBytes: 0,
    writtenBytes: 0,
    readErrors: 0,
    writeErrors: 0,
    badBlocks: 0,
    refused: 0,
  }
  /** what failed; undefined while the disk is good */
  failure: string | undefined
  /** told once when the disk goes bad */
  onFailure: ((disk: GuardedDisk, what: string) => void) | undefined
  /** told the byte offset of each block that cannot be read */
  onBadBlock: ((disk: GuardedDisk, at: number) => void) | undefined
  inFlight = 0
  readonly #idle: Operation[] = []
  readonly #refusal = new Gather()
  #closing: (() => void) | undefined

  /** `scratch`: one block of memory for this disk alone. */
  constructor(inner: Disk, scratch: Memory) {
    this.inner = inner
    this.#refusal.add(scratch.address, BLOCK_SIZE)
  }

  get path(): string {
    return this.inner.path
  }

  get byteLength(): number {
    return this.inner.byteLength
  }

  read(at: number, into: Gather, done: Completion): void {
    this.#check(at, into)
    this.counters.reads += 1
    this.inner.read(at, into, this.#begin('read', at, into, done))
  }

  write(at: number, from: Gather, done: Completion): void {
    this.#check(at, from)
    if (this.failure !== undefined) return this.#refuse(done)
    this.counters.writes += 1
    this.inner.write(at, from, this.#begin('write', at, from, done))
  }

  flush(done: Completion): void {
    if (this.failure !== undefined) return this.#refuse(done)
    this.counters.flushes += 1
    this.inner.flush(this.#begin('flush', 0, undefined, done))
  }

  /** Whoever had writes under way has given them up, and will write everything again that may be lost. */
  readmit(): void {
    this.failure = undefined
    this.inner.readmit?.()
  }

  /** Closes the disk as soon as nothing is in flight. */
  close(whenClosed?: () => void): void {
    assert(this.#closing === undefined, 'a disk is closed once')
    this.#closing = whenClosed ?? (() => {})
    this.#closeIfIdle()
  }

  ended(operation: Operation, result: number): void {
    if (operation.kind === 'read') {
      if (operation.bisection !== undefined) return this.#probe(operation, result)
      if (result < 0 && operation.gather!.byteLength > BLOCK_SIZE) return this.#bisect(operation)
      if (result < 0) this.#badBlock(operation.at)
    }
    // what another write or flush has lost since it was asked for, a flush must not vouch for
    const isVoid = operation.kind === 'flush' && this.failure !== undefined
    const answer = operation.kind === 'refusal' || isVoid ? Math.min(result, DISK_IO_ERROR) : result
    this.#count(operation, answer)
    this.#finish(operation, answer)
  }

  #check(at: number, gather: Gather): void {
    assert(this.#closing === undefined, `${this.path} is closed`)
    assert(isMultiple(at, BLOCK_SIZE) && isMultiple(gather.byteLength, BLOCK_SIZE), 'disk I/O is aligned')
    assert(at + gather.byteLength <= this.byteLength, `I/O lies within ${this.path}`)
  }

  #begin(kind: Kind, at: number, gather: Gather | undefined, done: Completion): Operation {
    const operation = this.#idle.pop() ?? new Operation(this)
    operation.kind = kind
    operation.at = at
    operation.gather = gather
    operation.done = done
    this.inFlight += 1
    return operation
  }

  /** An answer must not come before the call has returned, so it takes the way of a harmless read. */
  #refuse(done: Completion): void {
    this.counters.refused += 1
    const operation = this.#begin('refusal', 0, undefined, done)
    if (this.inner.refuse !== undefined) this.inner.refuse(operation)
    else this.inner.read(0, this.#refusal, operation)
  }

  #count(operation: Operation, result: number): void {
    const { counters } = this
    if (operation.kind === 'read') {
      if (result < 0) counters.readErrors += 1
      else counters.readBytes += result
      return
    }
    if (operation.kind === 'refusal') return
    if (result >= 0) {
      counters.writtenBytes += operation.gather?.byteLength ?? 0
      return
    }
    counters.writeErrors += 1
    if (this.failure !== undefined) return
    this.failure = `${operation.kind} at ${operation.at} failed with error ${-result}`
    this.onFailure?.(this, this.failure)
  }

  #finish(operation: Operation, result: number): void {
    const done = operation.done!
    operation.done = undefined
    operation.gather = undefined
    operation.bisection = undefined
    this.#idle.push(operation)
    this.inFlight -= 1
    done.complete(result)
    this.#closeIfIdle()
  }

  #closeIfIdle(): void {
    if (this.#closing === undefined || this.inFlight > 0) return
    const whenClosed = this.#closing
    this.inner.close()
    whenClosed()
  }

  #bisect(operation: Operation): void {
    const bisection = new Bisection()
    operation.bisection = bisection
    this.#halve(bisection, 0, operation.gather!.byteLength)
    this.#tryNext(operation, bisection)
  }

  #halve(bisection: Bisection, from: number, byteLength: number): void {
    const half = Math.max(BLOCK_SIZE, roundDown(byteLength / 2, BLOCK_SIZE))
    bisection.todo.push(from + half, byteLength - half, from, half)
  }

  #tryNext(operation: Operation, bisection: Bisection): void {
    bisection.length = bisection.todo.pop()!
    bisection.from = bisection.todo.pop()!
    sliceGather(operation.gather!, bisection.from, bisection.length, bisection.part)
    this.inner.read(operation.at + bisection.from, bisection.part, operation)
  }

  #probe(operation: Operation, result: number): void {
    const bisection = operation.bisection!
    if (result < 0 && bisection.length > BLOCK_SIZE) {
      this.#halve(bisection, bisection.from, bisection.length)
    } else if (result < 0) {
      bisection.badBlocks += 1
      this.#badBlock(operation.at + bisection.from)
    }
    if (bisection.todo.length > 0 && bisection.badBlocks < BAD_BLOCKS_PER_READ) {
      return this.#tryNext(operation, bisection)
    }
    const answer = bisection.badBlocks > 0 ? DISK_IO_ERROR : operation.gather!.byteLength
    this.#count(operation, answer)
    this.#finish(operation, answer)
  }

  #badBlock(at: number): void {
    this.counters.badBlocks += 1
    this.onBadBlock?.(this, at)
  }
}
