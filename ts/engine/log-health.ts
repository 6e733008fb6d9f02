import type { LogFacts } from '../ha/facts.ts'
import type { LogCopy } from '../log/copy.ts'

/** What this node's copy of the log is good for, as the rules of ownership ask it. */
export class LogHealth {
  usable: boolean
  readonly #log: LogCopy
  readonly #vaultPossible: boolean
  #damage: string

  constructor(log: LogCopy, vaultPossible: boolean) {
    this.#log = log
    this.#vaultPossible = vaultPossible
    this.usable = !log.lost && log.damage === ''
    this.#damage = log.damage
  }

  /** An owner has replayed it, or a keeper has begun it afresh. */
  isGood(): void {
    this.usable = true
    this.#damage = ''
  }

  isDamaged(why: string): void {
    this.usable = false
    this.#damage = why
  }

  facts(): LogFacts {
    const { incarnationText, marks, lost } = this.#log
    return {
      incarnation: incarnationText,
      usable: this.usable,
      complete: marks.complete,
      epoch: marks.epoch,
      lost: lost && !this.usable,
      damage: this.#damage,
      vaultPossible: this.#vaultPossible,
    }
  }
}
