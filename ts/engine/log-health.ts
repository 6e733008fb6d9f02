import type { StoreError } from '../base/errors.ts'
import type { Durability } from '../config/engine-settings.ts'
import type { LogFacts } from '../ha/facts.ts'
import type { LogCopy } from '../log/copy.ts'

/** While `pair` holds, a flush is in two memories and in no vault. */
const COVERED = { vault: 'always', pair: 'alone', nvram: 'never' } as const

/** What this node's copy of the log is good for, as the rules of ownership ask it. */
export class LogHealth {
  usable: boolean
  readonly #log: LogCopy
  readonly #durability: Durability
  #damage: string
  #hasDamagedEntry = false
  #vaultIsIncomplete = false

  constructor(log: LogCopy, durability: Durability) {
    this.#log = log
    this.#durability = durability
    this.usable = !log.lost && log.damage === ''
    this.#damage = log.damage
  }

  /** An owner has replayed it, or a keeper has begun it afresh. */
  isGood(): void {
    this.#hasDamagedEntry = false
    this.usable = true
    this.#damage = ''
    this.#vaultIsIncomplete = false
  }

  /** An opening has failed. Returns whether that says something about ring or vault. */
  learn(error: StoreError): boolean {
    if (error.code === 'LOG_DAMAGED') {
      this.#hasDamagedEntry = true
      this.usable = false
      this.#damage = error.message
    }
    // the vault was looked at, and does not have everything that was promised
    if (error.code === 'LOG_LOST') this.#vaultIsIncomplete = true
    return error.code === 'LOG_DAMAGED' || error.code === 'LOG_LOST'
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
      hasDamagedEntry: this.#hasDamagedEntry,
      vaultPossible: this.#durability !== 'nvram',
      vaultCovers: this.#vaultIsIncomplete ? 'never' : COVERED[this.#durability],
    }
  }
}
