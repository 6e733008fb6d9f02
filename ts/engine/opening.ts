import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import type { EngineSettings } from '../config/engine-settings.ts'
import type { LogSource } from '../ha/facts.ts'
import type { World } from '../ports/world.ts'
import { peekEpoch } from '../volume/image.ts'
import { Owner, type OwnerParts } from './owner.ts'

/** What a step of an opening came to. */
export type Opened = Owner | StoreError | 'again' | undefined

/** Opens the image and replays the log, a step in each turn: of one engine, one ownership at a time. */
export class Opening {
  #procedure: Procedure<Owner> | undefined

  get isUnderWay(): boolean {
    return this.#procedure !== undefined
  }

  begin(parts: OwnerParts, source: LogSource): void {
    this.#procedure = Owner.open(parts, source)
  }

  abandon(): void {
    this.#procedure = undefined
  }

  /** 'again': there is more to do at once. Undefined: it waits, or there is nothing to open. */
  step(): Opened {
    if (this.#procedure === undefined) return undefined
    try {
      const { done, value } = this.#procedure.next()
      if (!done) return value === 'again' ? 'again' : undefined
      this.#procedure = undefined
      return value
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#procedure = undefined
      return error
    }
  }
}

/** Looks once for the epoch that the disks carry: a record older than that is not believed. */
export class DiskEpoch {
  /** the epoch, or why it is not known */
  found: number | string = 'the disks have not been looked at yet'
  #procedure: Procedure<number> | undefined

  begin(world: World, settings: EngineSettings): void {
    const { pair, aggregate } = settings
    this.#procedure = peekEpoch(world, aggregate.disks, { pair, aggregate: aggregate.identity })
  }

  /** Returns whether it was found, or found to be unknowable, in this step. */
  step(): boolean {
    if (this.#procedure === undefined) return false
    try {
      const { done, value } = this.#procedure.next()
      if (!done) return false
      this.found = value
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.found = error.message
    }
    this.#procedure = undefined
    return true
  }
}
