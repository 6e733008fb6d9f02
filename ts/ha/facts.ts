import type { StoreError } from '../base/errors.ts'
import type { OwnerRecord } from '../format/owner-record.ts'

/** What this node's own ring is worth. */
export interface LogFacts {
  readonly incarnation: string
  /** undamaged, and not lost */
  readonly usable: boolean
  /** holds everything up to what its owner had acknowledged; an owner's own ring always is */
  readonly complete: boolean
  readonly epoch: number
  /** the NVRAM was new or resized at the start */
  readonly lost: boolean
  /** what does not check, in words */
  readonly damage: string
  /** an entry that may have been acknowledged does not check: this is not a loss of power, but of data */
  readonly hasDamagedEntry: boolean
  /** there is a vault to rebuild the log from, by the operator's word at least */
  readonly vaultPossible: boolean
  /** when the vault has everything that was flushed: always, while the owner is alone, or never */
  readonly vaultCovers: 'always' | 'alone' | 'never'
}

/** What the partner says about itself when the link comes up. */
export interface PartnerFacts {
  readonly state: 'owner' | 'keeper'
  readonly epoch: number
  /** 0 nothing usable, 1 a ring being filled, 2 a complete one */
  readonly logState: 0 | 1 | 2
  readonly incarnation: string
}

/**
 * What a look at a plex on the disks of this node has found: its newest image, or why it has no whole one.
 */
export type FoundPlex =
  | {
      readonly plex: number
      readonly epoch: number
      readonly generation: number
      readonly writtenAtMs: number
    }
  | { readonly plex: number; readonly lack: string }

/** A plex that the record calls stale, and that is gone on from by the operator's word. */
export interface BranchPoint {
  readonly plex: number
  readonly generation: number
}

export interface OwnershipSettings {
  readonly aggregate: string
  readonly node: string
  readonly partner: string
  readonly home: string
  /** this process, never another one */
  readonly boot: string
  readonly leaseMs: number
  readonly marginMs: number
  /** how long a partner that may come by itself is given the precedence */
  readonly partnerGraceMs: number
  readonly takeover: 'automatic' | 'manual'
  readonly plexCount: 1 | 2
  /** plexes whose disks this node reaches without its partner, and those that the partner does */
  readonly plexesHere: readonly number[]
  readonly plexesThere: readonly number[]
  /** The highest epoch on the disks, 0 if they are only labelled; or why it is not known (yet). */
  diskEpoch(): number | string
}

/** Why an image is opened, and what its log is taken from. */
export type OpenReason = 'first' | 'restart' | 'takeover' | 'handover' | 'forced'
export type LogSource = 'ring' | 'vault' | 'none'

/** What ownership asks of its engine. Called synchronously; none of them calls back from inside. */
export interface OwnershipEffects {
  /**
   * Open the image, replay, stamp the own ring with the record's epoch; then call `opened` or `openFailed`
   * (with everything closed again). A CP that replay needs is this epoch's. With `branch`, this plex is
   * opened, whatever the record calls it; before anything is changed, `branches` is called and the record
   * follows.
   */
  open(record: OwnerRecord, how: OpenReason, log: LogSource, branch?: BranchPoint): void
  /** Be keeper of the record's owner. Called again when its epoch has changed. */
  keep(record: OwnerRecord): void
  /** Accept clients; after `quiesce`: take it back. */
  serve(record: OwnerRecord): void
  /** Take no more requests, finish those in flight, CP; then call `quiesced` or `quiesceFailed`. */
  quiesce(): void
  /** Not owner any more: close clients with nothing answered, write nothing, close the image. */
  drop(reason: string): void
  /** Tell the partner that the record names it now, and whether this node stays and keeps its log. */
  handover(record: OwnerRecord, stays: boolean): void
  /** State, reason or record have changed. */
  changed(): void
  answer(request: number, result: unknown, error?: StoreError): void
}

export interface TakeoverOptions {
  readonly force: boolean
  readonly acceptDataLoss: boolean
  /** the operator's words, for the record */
  readonly reason: string
  /** the time for people, for the record */
  readonly at: string
  readonly dryRun: boolean
  /** with both words: what is on the disks of this node, just now */
  readonly plexes?: readonly FoundPlex[]
}
