import type { Ownership } from '../ha/ownership.ts'
import { Backoff } from './backoff.ts'
import type { Owner } from './owner.ts'

const QUIESCE_MS = 15_000
const LOOK_AGAIN_MS = 20
/** Clients wait for what cannot be finished in time: it is tried again less and less often. */
const OPEN_ANEW = { firstMs: 60_000, maxMs: 3_600_000, forgivenAfterMs: 86_400_000 }

/** The end of an ownership in order: every request answered, everything on the disks. */
export class Quiesce {
  readonly #ownership: Ownership
  #begun: { deadlineMs: number } | undefined
  #openAnewAtMs = 0
  readonly #backoff = new Backoff(OPEN_ANEW)

  constructor(ownership: Ownership) {
    this.#ownership = ownership
  }

  begin(nowMs: number, owner: Owner): void {
    const begun = { deadlineMs: nowMs + QUIESCE_MS }
    this.#begun = begun
    // most of the work is done while clients are still served; what came meanwhile follows in a second one
    owner.consistency.resume()
    owner.consistency.complete((error) => {
      if (this.#begun === begun && error === undefined) owner.isQuiet = true
    })
  }

  /** The image is to be opened once more. Called in every turn in which that is wanted. */
  openAnew(nowMs: number, { consistency }: Owner): void {
    const mayBegin = this.#ownership.state === 'serving-mirrored' && !consistency.isHeld
    if (!mayBegin || nowMs < this.#openAnewAtMs) return
    if (this.#ownership.openAnew(nowMs)) this.#openAnewAtMs = nowMs + this.#backoff.failed(nowMs)
  }

  cancel(): void {
    this.#begun = undefined
  }

  step(nowMs: number, owner: Owner): void {
    if (this.#begun === undefined) return
    if (nowMs > this.#begun.deadlineMs) {
      this.#begun = undefined
      owner.isQuiet = false
      return this.#ownership.quiesceFailed(nowMs, 'a consistency point did not end in time')
    }
    if (!owner.isQuiet || !owner.isSettled || owner.consistency.isRunning || !owner.vault.isIdle) return
    if (owner.returning.isRunning) return
    if (owner.aggregate.image.lastSequence < owner.aggregate.ring.head - 1) {
      return owner.consistency.request('ownership is about to end')
    }
    this.#begun = undefined
    this.#ownership.quiesced(nowMs)
  }

  nextWakeMs(nowMs: number): number {
    return this.#begun === undefined ? Number.POSITIVE_INFINITY : nowMs + LOOK_AGAIN_MS
  }
}
