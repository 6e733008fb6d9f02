import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import type { EngineSettings } from '../config/engine-settings.ts'
import type { LogSource } from '../ha/facts.ts'
import type { World } from '../ports/world.ts'
import { peekEpoch } from '../volume/image.ts'
import { Leaving } from './leaving.ts'
import { Owner, type OwnerParts } from './owner.ts'

/** What a step of an opening came to. */
export type Opened = Owner | StoreError | 'again' | undefined

/** Opens the image and replays the log, a step in each turn: of one engine, one ownership at a time. */
export class Opening {
  #procedure: Procedure<Owner> | undefined
  #right = { isLost: false }
  readonly #leaving = new Leaving()

  get isUnderWay(): boolean {
    return this.#procedure !== undefined
  }

  begin(parts: OwnerParts, source: LogSource): void {
    const right = { isLost: false }
    this.#right = right
    const stillOwner = (): boolean => !right.isLost && parts.stillOwner()
    this.#procedure = this.#begin({ ...parts, stillOwner }, source)
  }

  *#begin(parts: OwnerParts, source: LogSource): Procedure<Owner> {
    while (this.isLeaving) {
      if (!parts.stillOwner())
        throw new StoreError('FENCED', 'ownership was lost before the image was opened')
      yield 'wait'
    }
    return yield* Owner.open(parts, source)
  }

  /** Something of an earlier ownership is still in flight. */
  get isLeaving(): boolean {
    return !this.#leaving.isEmpty
  }

  letGo(ending: Procedure): void {
    this.#leaving.add(ending)
  }

  /** The ownership is over before it began: what is in flight ends, then the disks are closed. */
  abandon(reason: string): void {
    this.#right.isLost = true
    if (this.#procedure !== undefined) this.letGo(ending(this.#procedure, reason))
    this.#procedure = undefined
  }

  /** 'again': there is more to do at once. Undefined: it waits, or there is nothing to open. */
  step(): Opened {
    this.#leaving.step()
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

/** An opening that is not wanted any more still runs to its end: it finds that it has lost its right. */
function* ending(opening: Procedure<Owner>, reason: string): Procedure {
  const owner = yield* opening
  yield* owner.close(reason)
}

/** Looks once for the epoch that the disks carry: a record older than that is not believed. */
export class DiskEpoch {
  /** the epoch, or why it is not known */
  found: number | string = 'the disks have not been looked at yet'
  #procedure: Procedure<number> | undefined

  begin(world: World, settings: EngineSettings): void {
    const { pair, aggregate } = settings
    this.#procedure = peekEpoch(world, aggregate.plexes, { pair, aggregate: aggregate.identity })
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
