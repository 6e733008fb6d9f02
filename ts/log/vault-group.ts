import { Gather } from '../base/gather.ts'
import type { Completion } from '../ports/completion.ts'
import type { VaultZone } from './vault.ts'

type Phase = 'idle' | 'writing' | 'flushing' | 'done'

/** Entries on their way to the vault: some writes, and a flush that begins when all of them have ended. */
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
  readonly #ended: () => void
  /** descriptors, checksums and pages are two stretches each where the ring ends, and the marks are one */
  readonly #gathers = Array.from({ length: 7 }, () => new Gather())

  /** `ended` is called when the flush has ended, or the last of the writes if one of them failed. */
  constructor(zone: VaultZone, ended: () => void) {
    this.#zone = zone
    this.#ended = ended
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

  complete(result: number): void {
    this.#outstanding -= 1
    if (result < 0) this.hasFailed = true
    if (this.#outstanding > 0) return
    if (this.phase === 'writing' && !this.hasFailed) {
      this.phase = 'flushing'
      this.#outstanding = 1
      this.#zone.flush(this)
    } else {
      this.phase = 'done'
      this.#ended()
    }
  }
}
