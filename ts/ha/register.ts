import { assert } from '../base/assert.ts'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { ArbiterAnswer, ArbiterPort } from '../ports/arbiter.ts'
import { callsInSync, hasBit, plexBits } from './plex-words.ts'

interface Operation {
  readonly sentMs: number
  /** undefined: a read */
  readonly next: OwnerRecord | undefined
  answer: ArbiterAnswer | undefined
}

/**
 * The arbiter's record as this node knows it. One operation at a time; answers are taken in by `settle`.
 *
 * A swap whose outcome is not known stays in doubt until a higher version was seen: reading the old version
 * again proves nothing, since the swap may still be on its way to the arbiter.
 */
export class Register {
  known: OwnerRecord | undefined
  /** whether the arbiter has answered at all */
  isRead = false
  /** the arbiter knows that the process which holds the known lease has ended */
  holderGone = false
  /** by our clock, since when the known version has not changed; never earlier than its swap */
  seenAtMs = 0
  /** when the newest operation was sent that told us the record */
  freshMs = -1
  /** why the last operation had no answer */
  trouble = ''
  /** when the swap was sent that made the known record, if it is one of ours; never later than that */
  ownSwapSentMs = 0
  /** the next operation has to be a read */
  mustRead = true
  #operation: Operation | undefined
  #doubtSinceMs: number | undefined
  #doubtInSync = false
  /** plexes, as bits, that a swap in doubt calls in sync */
  #doubtPlexesInSync = 0
  readonly #aggregate: string
  readonly #boot: string
  readonly #patienceMs: number
  readonly #arbiter: ArbiterPort

  constructor(aggregate: string, boot: string, patienceMs: number, arbiter: ArbiterPort) {
    this.#aggregate = aggregate
    this.#boot = boot
    this.#patienceMs = patienceMs
    this.#arbiter = arbiter
  }

  get isBusy(): boolean {
    return this.#operation !== undefined
  }

  /** An answer has come that `settle` has not taken in yet. */
  get hasNews(): boolean {
    return this.#operation?.answer !== undefined
  }

  /** Some swap of ours may have been applied, or may yet be. */
  get isInDoubt(): boolean {
    return this.#doubtSinceMs !== undefined || this.#operation?.next !== undefined
  }

  /** Whether the record says in-sync, or might by a swap of ours that is not settled. */
  get mayBeInSync(): boolean {
    return this.known?.log === 'in-sync' || this.#doubtInSync || this.#operation?.next?.log === 'in-sync'
  }

  /** Whether the record says that the plex is not in sync, and no swap of ours that is not settled does. */
  isPlexStale(plex: number): boolean {
    if (!this.known || callsInSync(this.known, plex) || hasBit(this.#doubtPlexesInSync, plex)) return false
    const next = this.#operation?.next
    return !next || !callsInSync(next, plex)
  }

  get isLeaseOurs(): boolean {
    return this.known?.lease?.boot === this.#boot
  }

  /** When an operation without an answer is given up; Infinity if there is none. */
  get patienceEndsMs(): number {
    return this.#operation ? this.#operation.sentMs + this.#patienceMs : Number.POSITIVE_INFINITY
  }

  read(now: number): void {
    const operation = this.#begin(now, undefined)
    this.#arbiter.read(this.#aggregate, (answer) => {
      operation.answer = answer
    })
  }

  swap(now: number, next: OwnerRecord): void {
    const expected = this.known?.version
    const operation = this.#begin(now, next)
    this.#arbiter.swap(this.#aggregate, expected, next, (answer) => {
      operation.answer = answer
    })
  }

  /** Takes in what the arbiter has answered; late answers to operations that were given up are lost. */
  settle(now: number): void {
    const operation = this.#operation
    if (!operation) return
    const late = now - operation.sentMs >= this.#patienceMs
    if (!operation.answer && !late) return
    this.#operation = undefined
    const answer = operation.answer ?? { kind: 'unreachable', reason: 'the arbiter does not answer' }
    if (answer.kind === 'unreachable') this.#doubt(operation, answer.reason)
    else this.#adopt(now, operation, answer)
  }

  #begin(now: number, next: OwnerRecord | undefined): Operation {
    assert(!this.#operation, 'one operation of the arbiter at a time')
    assert(!next || !this.mustRead, 'an unknown outcome is looked at before the next swap')
    this.#operation = { sentMs: now, next, answer: undefined }
    return this.#operation
  }

  #doubt(operation: Operation, reason: string): void {
    this.trouble = reason
    this.mustRead = true
    if (!operation.next) return
    this.#doubtSinceMs ??= operation.sentMs
    if (operation.next.log === 'in-sync') this.#doubtInSync = true
    this.#doubtPlexesInSync |= plexBits(operation.next)
  }

  #adopt(now: number, operation: Operation, answer: Exclude<ArbiterAnswer, { kind: 'unreachable' }>): void {
    const record = answer.record
    const holderGone = answer.kind === 'record' && answer.holderGone
    if (this.known && (!record || record.version < this.known.version)) {
      const what = record
        ? `has gone back from version ${this.known.version} to ${record.version}`
        : 'is gone'
      this.trouble = `the arbiter's record of ${this.#aggregate} ${what}; restore the arbiter's data`
      this.mustRead = true
      return
    }
    this.isRead = true
    this.trouble = ''
    this.mustRead = false
    this.freshMs = operation.sentMs
    if (record && record.version !== this.known?.version) this.#advance(now, operation, record, answer.kind)
    else if (!record) this.seenAtMs = now
    // a process that has ended never comes back
    this.holderGone ||= holderGone
  }

  #advance(now: number, operation: Operation, record: OwnerRecord, kind: ArbiterAnswer['kind']): void {
    if (kind === 'swapped') this.ownSwapSentMs = operation.sentMs
    else if (this.#doubtSinceMs !== undefined) this.ownSwapSentMs = this.#doubtSinceMs
    this.known = record
    this.seenAtMs = now
    this.holderGone = false
    this.#doubtSinceMs = undefined
    this.#doubtInSync = false
    this.#doubtPlexesInSync = 0
  }
}
