import type { Gather } from '../../../ts/base/gather.ts'
import type { Procedure } from '../../../ts/base/procedure.ts'
import type { VaultZone } from '../../../ts/log/vault.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { MemoryTwin } from './memory-twin.ts'

interface Operation {
  readonly kind: 'read' | 'write' | 'flush'
  readonly run: () => void
  readonly done: Completion
}

/** A zone of a disk with a cache: what was written is safe only when a flush has ended. */
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

  read(at: number, into: Gather, done: Completion): void {
    const run = () => this.#memory.scatter(this.bytes.subarray(at, at + into.byteLength), into)
    this.#waiting.push({ kind: 'read', done, run })
  }

  write(at: number, from: Gather, done: Completion): void {
    if (at % 4096 !== 0 || from.byteLength % 4096 !== 0)
      throw new Error(`a write of ${from.byteLength} at ${at}`)
    this.log.push(`write ${at} ${from.byteLength}`)
    const run = () => {
      // Read when the transfer happens, as a disk does.
      const bytes = this.#memory.gathered(from)
      this.bytes.set(bytes, at)
      this.unflushed.push({ at, bytes })
    }
    this.#waiting.push({ kind: 'write', done, run })
  }

  flush(done: Completion): void {
    this.log.push('flush')
    const run = () => {
      this.stable = this.bytes.slice()
      this.unflushed.length = 0
    }
    this.#waiting.push({ kind: 'flush', done, run })
  }

  /** Ends one operation. False: none was under way. */
  step(): boolean {
    const next = this.#waiting.shift()
    if (next === undefined) return false
    const failure = this.fail?.kind === next.kind ? this.fail.result : 0
    if (failure < 0) this.fail = undefined
    else next.run()
    next.done.complete(failure)
    return true
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

  /** The zone after a loss of power that kept those unflushed writes that `keeps` says. */
  afterPowerLoss(keeps: (index: number) => boolean): ZoneTwin {
    const after = new ZoneTwin(this.#memory, this.byteLength)
    after.bytes.set(this.stable)
    for (const [index, { at, bytes }] of this.unflushed.entries())
      if (keeps(index)) after.bytes.set(bytes, at)
    after.stable = after.bytes.slice()
    return after
  }
}
