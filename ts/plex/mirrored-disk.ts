import { assert } from '../base/assert.ts'
import type { Gather } from '../base/gather.ts'
import { DISK_IO_ERROR, type GuardedDisk } from '../disk/guarded-disk.ts'
import type { Completion } from '../ports/completion.ts'
import type { Copies, Copy } from './copies.ts'

type Kind = 'read' | 'write' | 'flush'

/** What one plex answers. */
class Part implements Completion {
  copy: Copy | undefined
  result = 0
  readonly #operation: Operation

  constructor(operation: Operation) {
    this.#operation = operation
  }

  complete(result: number): void {
    this.result = result
    this.#operation.ended(this)
  }
}

/** One request on its way to one or both plexes; reused, so that I/O allocates nothing. */
class Operation {
  readonly parts: readonly [Part, Part]
  kind: Kind = 'read'
  at = 0
  gather: Gather | undefined
  done: Completion | undefined
  remaining = 0
  readonly #disk: MirroredDisk

  constructor(disk: MirroredDisk) {
    this.#disk = disk
    this.parts = [new Part(this), new Part(this)]
  }

  ended(part: Part): void {
    this.#disk.ended(this, part)
  }
}

/**
 * The disks at the same place of both plexes, as one: written to all plexes that are written, read from one
 * that is in sync. What one of them fails, the other one carries on (`Copies`); it fails only where no plex
 * that is in sync can do it.
 */
export class MirroredDisk {
  readonly #copies: Copies
  readonly #index: number
  readonly #idle: Operation[] = []

  constructor(copies: Copies, index: number) {
    this.#copies = copies
    this.#index = index
  }

  get path(): string {
    return this.#memberOf(this.#copies.reading[0]!).path
  }

  get failure(): string | undefined {
    for (const copy of this.#copies.reading) {
      const { failure } = this.#memberOf(copy)
      if (failure !== undefined) return failure
    }
    return undefined
  }

  readmit(): void {
    for (const copy of this.#copies.reading) this.#memberOf(copy).readmit()
  }

  /**
   * Reads from `copy` alone, as long as it is in sync; without it, from the first that is, and what that
   * cannot read from the next.
   */
  read(at: number, into: Gather, done: Completion, copy?: Copy): void {
    if (copy?.state === 'in-sync') return this.#memberOf(copy).read(at, into, done)
    const operation = this.#begin('read', at, into, done)
    operation.remaining = 1
    this.#readFrom(this.#copies.reading[0]!, operation, 0)
  }

  /** Writes to all plexes that are written; or to `copy` alone, and then the failure is this request's. */
  write(at: number, from: Gather, done: Completion, copy?: Copy): void {
    if (copy !== undefined) return this.#memberOf(copy).write(at, from, done)
    const operation = this.#begin('write', at, from, done)
    const { writing } = this.#copies
    operation.remaining = writing.length
    for (let place = 0; place < writing.length; place += 1) {
      const part = operation.parts[place]!
      part.copy = writing[place]!
      this.#memberOf(part.copy).write(at, from, part)
    }
  }

  flush(done: Completion): void {
    const operation = this.#begin('flush', 0, undefined, done)
    const { writing } = this.#copies
    operation.remaining = writing.length
    for (let place = 0; place < writing.length; place += 1) {
      const part = operation.parts[place]!
      part.copy = writing[place]!
      this.#memberOf(part.copy).flush(part)
    }
  }

  /** Closes all of them as soon as nothing is in flight. */
  close(whenClosed: () => void): void {
    const open = this.#copies.all.flatMap(({ disks }) => disks[this.#index] ?? [])
    let count = open.length
    for (const { disk } of open) {
      disk.close(() => {
        count -= 1
        if (count === 0) whenClosed()
      })
    }
  }

  ended(operation: Operation, part: Part): void {
    operation.remaining -= 1
    const { copy, result } = part
    if (result < 0 && operation.kind === 'read') {
      const next = this.#nextAfter(copy!)
      if (next !== undefined && operation.parts[0] === part) {
        operation.remaining = 1
        return this.#readFrom(next, operation, 1)
      }
    } else if (result < 0 && copy!.state !== 'missing') {
      const { path, failure } = this.#memberOf(copy!)
      this.#copies.failed(copy!, `${path}: ${failure ?? `${operation.kind} failed with error ${-result}`}`)
    }
    if (operation.remaining === 0) this.#finish(operation)
  }

  #readFrom(copy: Copy, operation: Operation, place: number): void {
    operation.parts[place]!.copy = copy
    this.#memberOf(copy).read(operation.at, operation.gather!, operation.parts[place]!)
  }

  #nextAfter(copy: Copy): Copy | undefined {
    return this.#copies.reading.find((other) => other !== copy)
  }

  #finish(operation: Operation): void {
    const done = operation.done!
    const answer = operation.kind === 'read' ? readAnswer(operation) : writeAnswer(operation)
    const isFlushed = operation.kind === 'flush' && answer >= 0
    for (const part of operation.parts) {
      part.copy = undefined
      part.result = 0
    }
    operation.done = undefined
    operation.gather = undefined
    this.#idle.push(operation)
    if (isFlushed) this.#copies.flushed(done, answer)
    else done.complete(answer)
  }

  #begin(kind: Kind, at: number, gather: Gather | undefined, done: Completion): Operation {
    const operation = this.#idle.pop() ?? new Operation(this)
    operation.kind = kind
    operation.at = at
    operation.gather = gather
    operation.done = done
    return operation
  }

  #memberOf({ disks, plex }: Copy): GuardedDisk {
    const labelled = disks[this.#index]
    assert(labelled !== undefined, `plex ${plex} is open`)
    return labelled.disk
  }
}

/** Good, if some plex that is in sync has it, and none that is in sync lacks it. */
function writeAnswer({ parts }: Operation): number {
  let answer = DISK_IO_ERROR
  for (const { copy, result } of parts) {
    if (copy?.state !== 'in-sync') continue
    if (result < 0) return result
    answer = result
  }
  return answer
}

const readAnswer = ({ parts: [first, second] }: Operation): number =>
  second.copy === undefined ? first.result : second.result
