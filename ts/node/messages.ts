import type { MessagePort } from 'node:worker_threads'
import type { ErrorCode } from '../base/errors.ts'
import type { HistogramSummary } from '../base/histogram.ts'
import type { EngineSettings } from '../config/engine-settings.ts'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { SessionTerms } from '../nbd/session-terms.ts'
import type { ArbiterAnswer } from '../ports/arbiter.ts'
import type { ServingState } from '../ports/host.ts'

export type { Durability, EngineSettings, Named } from '../config/engine-settings.ts'

/**
 * What the main thread of a node and an engine worker say to each other. Messages go over `port`,
 * since a worker that is blocked in the kernel has no event loop: it takes them with
 * `receiveMessageOnPort` when the eventfd of its `ready` message has been signalled.
 */
export interface EngineWorkerData {
  readonly settings: EngineSettings
  readonly port: MessagePort
}

/** Requests of the control path: the body that comes with each, and the result of each. */
export interface Requests {
  status: { body: Record<string, never>; result: EngineStatus }
  'volume-create': { body: { name: string; size: number }; result: VolumeStatus }
  'volume-delete': { body: { name: string }; result: VolumeStatus }
  'volume-resize': { body: { name: string; size: number }; result: VolumeStatus }
  'volume-rename': { body: { name: string; newName: string }; result: VolumeStatus }
  /** this node takes over from its partner */
  takeover: {
    body: { force: boolean; acceptDataLoss: boolean; reason: string; dryRun: boolean }
    result: RoleChange
  }
  /** this node, the owner, hands over to its partner */
  handover: { body: { dryRun: boolean }; result: RoleChange }
  /** answered when the consistency point is complete */
  'cp-now': { body: Record<string, never>; result: ConsistencyPointStatus }
  'cp-hold': { body: Record<string, never>; result: ConsistencyPointStatus }
  'cp-resume': { body: Record<string, never>; result: ConsistencyPointStatus }
  'cp-info': { body: Record<string, never>; result: ConsistencyPointStatus }
  'scrub-start': { body: { byteRate?: number }; result: ScrubStatus }
  'scrub-stop': { body: Record<string, never>; result: ScrubStatus }
  'log-dump': { body: { copy: 'own' | 'partner'; limit: number; part?: LogPart }; result: LogDump }
}

export type RequestName = keyof Requests
export type RequestBody<N extends RequestName> = Requests[N]['body']
export type RequestResult<N extends RequestName> = Requests[N]['result']

/** One request with the body that belongs to its name. */
export type EngineRequest = {
  [N in RequestName]: { kind: 'request'; request: number; name: N; body: RequestBody<N> }
}[RequestName]

export type ToEngine =
  /** a client whose handshake is over. The descriptor is the engine's from now on */
  | {
      kind: 'client'
      descriptor: number
      peer: string
      volume: number
      terms: SessionTerms
      readOnly: boolean
      leftover: Uint8Array
    }
  /** a connection to the partner; `leftover` begins with its HELLO if it was not dialed by us */
  | { kind: 'link'; descriptor: number; peer: string; dialed: boolean; leftover: Uint8Array }
  | EngineRequest
  | { kind: 'arbiter'; call: number; answer: ArbiterAnswer }
  /** `pair`: the whole pair goes down, so nobody takes over */
  | { kind: 'stop'; pair: boolean }

export type EventLevel = 'info' | 'warn' | 'error'

export type FromEngine =
  | { kind: 'ready'; wakeDescriptor: number }
  | { kind: 'event'; level: EventLevel; event: string; text: string; facts?: Record<string, unknown> }
  | { kind: 'serving'; state: ServingState }
  | { kind: 'answer'; request: number; result?: unknown; error?: { code: ErrorCode; message: string } }
  | { kind: 'wantLink'; wanted: boolean }
  | { kind: 'arbiter'; call: number; operation: 'read'; aggregate: string }
  | {
      kind: 'arbiter'
      call: number
      operation: 'swap'
      aggregate: string
      expected: number | undefined
      next: OwnerRecord
    }
  | { kind: 'stopped' }
  /** an assertion failed: the node ends, the partner takes over */
  | { kind: 'died'; message: string }

export interface VolumeStatus {
  readonly volume: number
  readonly name: string
  readonly size: number
  /** bytes of it that take space on the disks */
  readonly usedByteLength: number
}

/** What is so after a takeover or a handover; for a dry run, whether it would be possible. */
export type RoleChange =
  | {
      readonly owner: string
      readonly epoch: number
      /** in which way this node became owner, and from where it has the log */
      readonly how?: string
      readonly log?: string
    }
  | { readonly possible: boolean; readonly because: string }

export interface ConsistencyPointStatus {
  readonly generation: number
  /** in which that generation was written */
  readonly epoch: number
  /** the last log entry that it contains */
  readonly containedSequence: number
  /** one number that stands for the whole content of the generation */
  readonly root: number
  readonly state: 'idle' | 'running' | 'held'
  /** why the last one failed; empty if it did not */
  readonly failure: string
  readonly lastDurationMs: number
  readonly lastEndedMs: number
  readonly blocksWritten: number
  readonly metadataBlocksWritten: number
}

/** The scrub that is running, or the last one since the aggregate was opened here. */
export interface ScrubStatus {
  readonly state: 'never' | 'running' | 'finished' | 'stopped'
  /** of one that has ended */
  readonly durationMs: number
  readonly readByteLength: number
  readonly byteRate: number
  readonly findingCount: number
  /** of those, how many were written again from the other plex */
  readonly mendedCount: number
  /** plexes of which not everything was read: not in sync, or nobody answered for their disks */
  readonly unreadPlexes: readonly number[]
  /** the first hundred */
  readonly findings: readonly {
    readonly where: string
    readonly physical: number
    readonly why: string
    readonly isMended: boolean
  }[]
}

export interface ResyncProgress {
  readonly copiedBytes: number
  /** all that is in use and was not copied; how much of it the plex has already is found on the way */
  readonly restBytesMax: number
  /** since it has begun */
  readonly bytesPerSecond: number
}

/** One plex of an aggregate, as its owner sees it. */
export interface PlexStatus {
  readonly plex: number
  readonly state: 'in-sync' | 'filling' | 'missing'
  /** what the arbiter's record says */
  readonly recorded: 'in-sync' | 'stale' | 'absent'
  /** why it is not in sync; empty if it is */
  readonly because: string
  readonly disks: readonly string[]
  /** null unless the plex is being filled */
  readonly resync: ResyncProgress | null
}

/** Counters only rise while the process lives; rates are made by whoever asks twice. */
export interface EngineCounters {
  readonly reads: number
  readonly writes: number
  readonly flushes: number
  readonly trims: number
  readonly readByteLength: number
  readonly writtenByteLength: number
  readonly errors: number
}

export interface EngineStatus {
  readonly aggregate: string
  /** state of the ownership machine */
  readonly state: string
  readonly role: 'owner' | 'keeper' | 'none'
  readonly serves: boolean
  /** why it does not serve, in words; empty if it does */
  readonly because: string
  readonly owner: string
  readonly home: string
  readonly epoch: number
  readonly durability: string
  readonly takeover: { readonly possible: boolean; readonly because: string }
  readonly link: { readonly up: boolean; readonly peer: string; readonly because: string }
  readonly log: {
    /** as the record has it */
    readonly state: 'in-sync' | 'stale'
    /** whether the copy on this node has everything that was acknowledged */
    readonly complete: boolean
    readonly pagesUsed: number
    readonly pageCount: number
    readonly firstSequence: number
    readonly lastSequence: number
    /** acknowledged by the partner through; 0 when there is no link */
    readonly partnerSequence: number
  }
  readonly consistencyPoint: ConsistencyPointStatus
  /** of the aggregate; null while the image is not open here */
  readonly space: { readonly byteLength: number; readonly usedByteLength: number } | null
  /** null while this node is not the owner */
  readonly scrub: ScrubStatus | null
  /** null: this node is not the owner */
  readonly plexes: readonly PlexStatus[] | null
  /** blocks that one plex had damaged, written again from the other one */
  readonly mendedBlocks: number
  /** null: this node is not the owner */
  readonly stages: StageTimes | null
  readonly clients: number
  readonly counters: EngineCounters
  readonly volumes: readonly VolumeStatus[]
}

/** How long things have taken since this node became the owner. */
export interface StageTimes {
  /** each turn of the engine, from when the kernel is left until it is entered again; since the start */
  readonly turn: HistogramSummary
  /** a change, from when it is in this node's log until its reply may leave: it is in every copy then */
  readonly write: HistogramSummary
  /** a FLUSH or a change with FUA, until all before it is as safe as the durability class promises */
  readonly flush: HistogramSummary
  /** consistency points: trees allocated and written, the free map, the flush of both, the superblock */
  readonly trees: HistogramSummary
  readonly map: HistogramSummary
  readonly diskFlush: HistogramSummary
  readonly superblock: HistogramSummary
}

/** Where the next part of a dump begins, and the last entry that was there when the first was told. */
export interface LogPart {
  readonly from: number
  readonly through: number
}

/** A part of a log. A whole one is too much to be checked and told in one turn of an engine. */
export interface LogDump {
  readonly copy: 'own' | 'partner'
  readonly incarnation: string
  readonly entries: readonly LogDumpEntry[]
  /** there is more; asked for with the next request */
  readonly next?: LogPart
}

export interface LogDumpEntry {
  readonly sequence: number
  readonly epoch: number
  readonly kind: string
  readonly volume: number
  readonly offset: number
  readonly length: number
  readonly generation: number
  readonly firstPage: number
  readonly pageCount: number
  /** whether its checksums hold */
  readonly good: boolean
}
