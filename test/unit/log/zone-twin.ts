import type { Gather } from '../../../ts/base/gather.ts'
import type { Procedure } from '../../../ts/base/procedure.ts'
import type { VaultZone } from '../../../ts/log/vault.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { MemoryTwin } from './memory-twin.ts'

const SECTOR = 512

interface Operation {
  readonly kind: 'read' | 'write' | 'flush'
  readonly at: number
  readonly end: number
  /** what is written */
  readonly from?: Gather
  readonly run: () => void
  readonly done: Completion
}

/** A zone of a disk with a cache: what was written is safe only when a flush that began later has ended. */
export class ZoneTwin implements VaultZone {
  readonly byteLength: number
  /** what a loss of power leaves for sure */
  stable: Uint8Array
  readonly bytes: Uint8Array
  /** writes that no flush has covered, oldest first */
  readonly unflushed: { at: number; bytes: Uint8Array }[] = []
  readonly log: string[] = []
  /** the result of the next operation of a kind, in place of success */
  fail: { kind: Operation['kind']; result: number } | undefined
  readonly #waiting: Operation[] = []
  readonly #memory: MemoryTwin

  constructor(memory: MemoryTwin, byteLength: number) {
    this.#memory = memory
    this.byteLength = byteLength
    this.bytes = new Uint8Array(byteLength)
    this.stable = new Uint8Array(byteLength)
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** What is under way, oldest first. */
  get kinds(): string[] {
    return this.#waiting.map(({ kind }) => kind)
  }

  read(at: number, into: Gather, done: Completion): void {
    const run = () => this.#memory.scatter(this.bytes.subarray(at, at + into.byteLength), into)
    this.#waiting.push({ kind: 'read', at, end: at + into.byteLength, done, run })
  }

  /** Throws if some of it is being written already: nobody knows which of the two a disk takes last. */
  write(at: number, from: Gather, done: Completion): void {
    if (at % 4096 !== 0 || from.byteLength % 4096 !== 0)
      throw new Error(`a write of ${from.byteLength} at ${at}`)
    const end = at + from.byteLength
    for (const other of this.#waiting)
      if (other.kind === 'write' && other.at < end && at < other.end)
        throw new Error(`${at} is written twice`)
    this.log.push(`write ${at} ${from.byteLength}`)
    const run = () => {
      // Read when the transfer happens, as a disk does.
      const bytes = this.#memory.gathered(from)
      this.bytes.set(bytes, at)
      this.unflushed.push({ at, bytes })
    }
    this.#waiting.push({ kind: 'write', at, end, from, done, run })
  }

  flush(done: Completion): void {
    this.log.push('flush')
    const covered = this.unflushed.slice()
    const run = () => {
      for (const write of covered) if (this.unflushed.includes(write)) this.stable.set(write.bytes, write.at)
      this.#forget(covered)
    }
    this.#waiting.push({ kind: 'flush', at: 0, end: 0, done, run })
  }

  /** Ends one operation, the oldest unless it is said which. False: none was under way. */
  step(index = 0): boolean {
    const [next] = this.#waiting.splice(index, 1)
    if (next === undefined) return false
    const failure = this.fail?.kind === next.kind ? this.fail.result : 0
    if (failure < 0) this.fail = undefined
    else next.run()
    // nobody knows what a flush that failed has lost; no later one brings it
    if (failure < 0 && next.kind === 'flush')
      this.#forget(this.unflushed.filter((_, index) => index % 2 === 0))
    next.done.complete(failure)
    return true
  }

  #forget(writes: readonly object[]): void {
    const others = this.unflushed.filter((write) => !writes.includes(write))
    this.unflushed.splice(0, this.unflushed.length, ...others)
  }

  settle(): void {
    while (this.step());
  }

  finish<T>(procedure: Procedure<T>): T {
    for (;;) {
      const { done, value } = procedure.next()
      if (done === true) return value as T
      this.step()
    }
  }

  /**
   * The zone after a loss of power that kept those sectors of writes that `keeps` says: of those that no
   * flush has covered, then of those that were under way.
   */
  afterPowerLoss(keeps: (index: number, sector: number) => boolean): ZoneTwin {
    const after = new ZoneTwin(this.#memory, this.byteLength)
    after.bytes.set(this.stable)
    const underWay = this.#waiting.flatMap(({ at, from }) =>
      from === undefined ? [] : [{ at, bytes: this.#memory.gathered(from) }],
    )
    for (const [index, { at, bytes }] of [...this.unflushed, ...underWay].entries()) {
      for (let place = 0; place < bytes.length; place += SECTOR)
        if (keeps(index, place / SECTOR)) after.bytes.set(bytes.subarray(place, place + SECTOR), at + place)
    }
    after.stable = after.bytes.slice()
    return after
  }
}
