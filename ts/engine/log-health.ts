import type { EngineSettings } from '../config/engine-settings.ts'
import type { LogFacts } from '../ha/facts.ts'
import type { LogCopy } from '../log/copy.ts'

/** What this node's copy of the log is good for, as the rules of ownership ask it. */
export class LogHealth {
  usable: boolean
  readonly #log: LogCopy
  readonly #durability: EngineSettings['durability']
  #damage: string
  #vaultIsIncomplete = false

  constructor(log: LogCopy, durability: EngineSettings['durability']) {
    this.#log = log
    this.#durability = durability
    this.usable = !log.lost && log.damage === ''
    this.#damage = log.damage
  }

  /** An owner has replayed it, or a keeper has begun it afresh. */
  isGood(): void {
    this.usable = true
    this.#damage = ''
    this.#vaultIsIncomplete = false
  }

  /** The vault was looked at: it does not have everything that was promised. */
  vaultIsIncomplete(): void {
    this.#vaultIsIncomplete = true
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
      vaultPossible: this.#durability !== 'nvram',
      vaultHasAll: this.#vaultHasAll(),
    }
  }

  #vaultHasAll(): LogFacts['vaultHasAll'] {
    if (this.#vaultIsIncomplete || this.#durability === 'nvram') return 'never'
    return this.#durability === 'vault' ? 'always' : 'alone'
  }
}
