import { Gather } from '../base/gather.ts'
import type { Completion } from '../ports/completion.ts'
import type { VaultZone } from './vault.ts'

type Phase = 'idle' | 'writing' | 'written' | 'flushing' | 'done'

/** Entries on their way to the vault: some writes, and a flush after all of them. */
export class VaultGroup implements Completion {
  phase: Phase = 'idle'
  /** the entries: from here until, but not including, `end`; none, if only marks are written */
  first = 0
  end = 0
  hasMarks = false
  hasFailed = false
  bytesWritten = 0
  #outstanding = 0
  #gathersUsed = 0
  readonly #zone: VaultZone
  readonly #changed: () => void
  /** descriptors, checksums and pages are two stretches each where the ring ends, and the marks are one */
  readonly #gathers = Array.from({ length: 7 }, () => new Gather())

  /** `changed` is called when it is `written`, and when it is `done`. */
  constructor(zone: VaultZone, changed: () => void) {
    this.#zone = zone
    this.#changed = changed
  }

  begin(first: number, end: number, hasMarks: boolean): void {
    this.phase = 'writing'
    this.first = first
    this.end = end
    this.hasMarks = hasMarks
    this.hasFailed = false
    this.bytesWritten = 0
    this.#gathersUsed = 0
  }

  /** Writes `byteLength` bytes of memory at `address` to `at`; all three are aligned to blocks. */
  write(at: number, address: number, byteLength: number): void {
    const gather = this.#gathers[this.#gathersUsed]!
    this.#gathersUsed += 1
    gather.clear()
    gather.add(address, byteLength)
    this.bytesWritten += byteLength
    this.#outstanding += 1
    this.#zone.write(at, gather, this)
  }

  flush(): void {
    this.phase = 'flushing'
    this.#outstanding = 1
    this.#zone.flush(this)
  }

  complete(result: number): void {
    this.#outstanding -= 1
    if (result < 0) this.hasFailed = true
    if (this.#outstanding > 0) return
    this.phase = this.phase === 'writing' ? 'written' : 'done'
    this.#changed()
  }
}
