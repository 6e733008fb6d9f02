import { StoreError } from '../base/errors.ts'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { OwnershipEffects, OwnershipSettings, PartnerFacts, TakeoverOptions } from './facts.ts'
import { planAsKeeper, type View } from './plan.ts'
import { reachObstacle } from './plex-words.ts'
import { type State, serves } from './transitions.ts'

export interface TakeoverCommand {
  readonly request: number
  readonly atMs: number
  readonly options: TakeoverOptions
}

/** The one command on ownership that is under way; every command is answered once. */
export class RequestDesk {
  readonly #effects: OwnershipEffects
  #takeover: TakeoverCommand | undefined
  #handover: number | undefined

  constructor(effects: OwnershipEffects) {
    this.#effects = effects
  }

  /** Whether somebody waits for an answer. */
  get isWaiting(): boolean {
    return this.#takeover !== undefined || this.#handover !== undefined
  }

  get takeoverCommand(): TakeoverCommand | undefined {
    return this.#takeover
  }

  takeover(atMs: number, request: number, options: TakeoverOptions): void {
    if (this.#isFree(request)) this.#takeover = { request, atMs, options }
  }

  handover(request: number): boolean {
    const isFree = this.#isFree(request)
    if (isFree) this.#handover = request
    return isFree
  }

  /** What was asked for has come about. */
  fulfil(result: unknown): void {
    for (const request of this.#clear()) this.#effects.answer(request, result)
  }

  refuse(error: StoreError): void {
    for (const request of this.#clear()) this.#effects.answer(request, undefined, error)
  }

  #isFree(request: number): boolean {
    if (!this.isWaiting) return true
    const error = new StoreError('NOT_READY', 'another takeover or giveback is under way: wait for its end')
    this.#effects.answer(request, undefined, error)
    return false
  }

  #clear(): number[] {
    const requests = [this.#takeover?.request, this.#handover].filter((request) => request !== undefined)
    this.#takeover = undefined
    this.#handover = undefined
    return requests
  }
}

/** Why the owner cannot hand over now; empty if it can. */
export function handoverObstacle(
  { node, partner, aggregate, plexesThere }: OwnershipSettings,
  state: State,
  record: OwnerRecord | undefined,
  partnerFacts: PartnerFacts | undefined,
): string {
  const cannot = `${node} cannot hand ${aggregate} over to ${partner}`
  if (state === 'serving-mirrored' && partnerFacts) {
    const plexless = record === undefined ? '' : reachObstacle(record, partner, plexesThere)
    return plexless && `${cannot}: ${plexless}; try again when it is in sync`
  }
  if (state === 'syncing' || state === 'joining') {
    return `${cannot}: the log copy of ${partner} is still catching up; try again when it is in sync`
  }
  if (serves(state)) return `${cannot}: the link to ${partner} is down; start ${partner}`
  if (record && record.owner !== node) return `${cannot}: ${record.owner} owns it`
  return `${cannot}: it is ${state}`
}

/** For status: whether this node could take over now if the owner died. */
export function possibleTakeover(
  { node, aggregate, takeover }: OwnershipSettings,
  state: State,
  trouble: string,
  view: View | undefined,
): { possible: boolean; because: string } {
  if (trouble) return { possible: false, because: trouble }
  if (!view) return { possible: false, because: `the arbiter has no record of ${aggregate}` }
  if (view.record.owner === node) return { possible: false, because: `${node} owns ${aggregate} already` }
  if (state !== 'keeper') return { possible: false, because: `${node} is ${state}` }
  const plan = planAsKeeper(view)
  if ('obstacle' in plan) return { possible: false, because: plan.obstacle }
  const how = plan.log === 'ring' ? 'its log copy is in sync' : 'the owner ended cleanly: all is on the disks'
  return { possible: true, because: takeover === 'manual' ? `${how} (by command only)` : how }
}
