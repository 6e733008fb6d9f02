import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, MIB } from '../base/units.ts'
import type { EngineSettings } from '../config/engine-settings.ts'
import { Aggregate, type Surroundings } from '../flow/aggregate.ts'
import { replay } from '../flow/apply.ts'
import { Consistency, type ConsistencyEvents } from '../flow/consistency.ts'
import { EntryKind } from '../format/log-ring.ts'
import type { Branch } from '../format/owner-record.ts'
import type { BranchPoint, LogSource } from '../ha/facts.ts'
import type { PlexWord } from '../ha/plex-words.ts'
import { type LogCopy, type LogOwnership, writeHeader } from '../log/copy.ts'
import { findEntries, retainEntries } from '../log/replay.ts'
import type { LogRing } from '../log/ring.ts'
import { Vault } from '../log/vault.ts'
import {
  findHalves,
  type HalfFound,
  halfToFill,
  loadVault,
  newestComplete,
  newestOfAny,
  vaultHalf,
} from '../log/vault-halves.ts'
import { Mirror } from '../partner/mirror.ts'
import type { Disk } from '../ports/disk.ts'
import type { World } from '../ports/world.ts'
import type { Image } from '../volume/image.ts'
import type { PlexDisks, RecordedPlex } from '../volume/open-plexes.ts'
import { beginBranch } from './branching.ts'
import { openImage } from './open-image.ts'
import { mustOwn, whileOwning } from './owning.ts'
import { Readmission } from './readmission.ts'
import type { ClientLoad } from './resync-rate.ts'
import { Returning } from './returning.ts'
import { Scrubbing } from './scrubbing.ts'

/** Unvaulted bytes at which the vault is written without anybody waiting for it. */
const VAULT_LAG_BYTES = 4 * MIB

export interface RecoveryReport {
  readonly source: LogSource
  /** the last sequence that the superblock contained, and the generation */
  readonly contained: number
  readonly generation: number
  readonly first: number
  readonly last: number
  readonly entries: number
  readonly durationMs: number
}

export interface OwnerParts {
  readonly world: World
  readonly settings: EngineSettings
  readonly log: LogCopy
  readonly whose: LogOwnership
  readonly epoch: number
  /** the operator's word: what promises are lost, is lost */
  readonly acceptsLoss: boolean
  readonly node: Uint8Array
  readonly stillOwner: () => boolean
  readonly surroundings: Surroundings
  readonly consistencyEvents: ConsistencyEvents
  readonly plexes: PlexRecord
  /** opens the disks that are the partner's; waits for the link as long as `mayWait` */
  readonly openRemote: (mayWait?: () => boolean) => Procedure<PlexDisks>
  /** all disks that the partner has open, by its own list */
  readonly remoteDisks: () => readonly Disk[]
  /** nobody answers for those that are in use */
  readonly isRemoteAway: () => boolean
}

/** What the arbiter's record says of the plexes, and is to say. */
export interface PlexRecord {
  /** as it was when the ownership began */
  readonly recorded: readonly RecordedPlex[]
  /** whether it calls a plex stale, for sure */
  isStale(plex: number): boolean
  are(words: readonly PlexWord[]): void
  /** the plex that is opened is an older image, and goes on from here by the operator's word */
  readonly branch: BranchPoint | undefined
  /** says that it is open, and what its log is */
  branches(source: LogSource): void
  newestBranch(): Branch | undefined
}

/** How safe an acknowledgement is at this moment; told by the ownership rules. */
export interface Safety {
  /** acknowledgements need the partner */
  readonly mirrored: boolean
  /** the partner is there, and the record lists its copy: if this node is lost, it takes over by itself */
  readonly inSync: boolean
  /** the record says stale for sure: this node's copy alone decides */
  readonly solo: boolean
}

/**
 * With more requests under way, a thread that sleeps until it is woken finds several things done at once. The
 * partner's acknowledgement is one that all wait for, so that is worth looking for longer.
 */
const SHALLOW_MAX = 8
const SHALLOW_MIRRORED_MAX = 16

/** The role of owner: what exists only while this node may serve the aggregate. */
export class Owner {
  readonly aggregate: Aggregate
  readonly consistency: Consistency
  readonly vault: Vault
  readonly mirror: Mirror
  readonly recovery: RecoveryReport
  readonly scrubbing: Scrubbing
  readonly returning: Returning
  /** no new requests are taken up: ownership is about to be handed over, or the node stops */
  isQuiet = false
  #releaseThrough: number
  readonly #readmission: Readmission
  readonly #parts: OwnerParts

  private constructor(parts: OwnerParts, aggregate: Aggregate, vault: Vault, recovery: RecoveryReport) {
    const { world, settings, log, epoch } = parts
    this.#parts = parts
    this.aggregate = aggregate
    this.vault = vault
    this.recovery = recovery
    this.#readmission = new Readmission(aggregate.image.plex)
    this.#releaseThrough = aggregate.image.lastSequence
    const scrubs = { intervalMs: settings.scrubIntervalMs, byteRate: settings.scrubByteRate }
    this.scrubbing = new Scrubbing(aggregate.image, scrubs, world.clock, world.host)
    this.mirror = new Mirror(log.ring, epoch, log.incarnation, world.memory)
    const marks = { fillMark: settings.cpFillMark, intervalMs: settings.cpIntervalMs }
    this.consistency = new Consistency(aggregate, marks, world.clock, parts.node, parts.stillOwner, {
      published: (generation, sequence) => {
        this.#releaseThrough = sequence
        this.vault.contained(sequence)
        parts.consistencyEvents.published(generation, sequence)
      },
      failed: parts.consistencyEvents.failed,
    })
    this.returning = new Returning({
      world,
      image: aggregate.image,
      consistency: this.consistency,
      vault,
      plexes: settings.aggregate.plexes,
      openRemote: parts.openRemote,
      remoteDisks: parts.remoteDisks,
      whose: { pair: settings.pair, aggregate: settings.aggregate.identity },
      clients: loadOf(aggregate),
      newestBranch: () => parts.plexes.newestBranch(),
      stillOwner: parts.stillOwner,
    })
    this.scrubbing.onMapDamage = () => {
      aggregate.image.freeMap.distrust()
      if (!this.isQuiet) this.consistency.force('the free map is damaged')
    }
  }

  /**
   * Opens the image and applies exactly the log entries that it does not contain. The same code for
   * a restart, a takeover and a giveback: only where the log lies may differ (claim 83).
   */
  static *open(parts: OwnerParts, source: LogSource): Procedure<Owner> {
    const startedMs = parts.world.clock.now()
    const image = yield* openImage(parts)
    try {
      return yield* attending(image, parts, Owner.#replay(parts, source, image, startedMs))
    } catch (error) {
      image.close()
      throw error
    }
  }

  static *#replay(parts: OwnerParts, source: LogSource, image: Image, startedMs: number): Procedure<Owner> {
    const { world, settings, log, epoch } = parts
    // from here on the ring and the disks are changed: not by one that has lost the ownership meanwhile
    mustOwn(parts)
    if (parts.plexes.branch !== undefined)
      source = yield* beginBranch(parts, image, parts.plexes.branch, source)
    mustOwn(parts)
    yield* image.repairLabels()
    mustOwn(parts)
    yield* image.completeSuperblock()
    mustOwn(parts)
    const halves = yield* findHalves(image.vault, log.layout, log.scratch, parts.whose.aggregate)
    mustOwn(parts)
    if (source === 'vault') yield* bringBack(parts, image, halves)
    mustOwn(parts)
    if (source === 'none') log.ring.reset(image.lastSequence + 1)
    else {
      const search = findEntries(log.ring, world.memory, {
        contained: image.lastSequence,
        imageEpoch: image.epoch,
        allowedEpoch: epoch,
        marks: log.marks.load(),
      })
      const found = yield* whileOwning(parts, search)
      // a plex that lacks what the log is about to forget must never be opened with what is left of the log
      yield* image.settlePlexes()
      mustOwn(parts)
      retainEntries(log.ring, found)
    }
    takeBackMarks(log.ring)
    const { tail, head } = log.ring
    log.marks.begin(epoch, tail, true, head - 1)
    const limits = { connectionsMax: settings.connectionsMax }
    const aggregate = new Aggregate(log, image, world.memory, epoch, limits, parts.surroundings)
    yield* whileOwning(parts, replay(aggregate))
    const report: RecoveryReport = {
      source,
      contained: image.lastSequence,
      generation: image.generation,
      first: tail,
      last: head - 1,
      entries: head - tail,
      durationMs: world.clock.now() - startedMs,
    }
    const half = vaultHalf(image.vault, log.layout, halfToFill(halves))
    const vault = new Vault(log.ring, log.marks, half, log.scratch, image.lastSequence)
    const owner = new Owner(parts, aggregate, vault, report)
    yield* owner.#markEpoch()
    mustOwn(parts)
    if (image.isGrowing) owner.consistency.force('disks were added')
    return owner
  }

  /** The first entry of the epoch, on disk before anything is served: entries of a dead branch end there. */
  *#markEpoch(): Procedure {
    const sequence = this.aggregate.appendNothing()
    this.aggregate.runBatch()
    yield* this.vault.stamp(sequence)
  }

  /** Everything before the kernel is entered again. Returns whether there is more to do at once. */
  turn(nowMs: number, safety: Safety): boolean {
    const { aggregate } = this
    aggregate.beginTurn(nowMs)
    this.#attendPlexes()
    // what requests to the server have logged since the last turn is not sealed yet
    aggregate.runBatch()
    this.#release(safety)
    if (!this.isQuiet) aggregate.takeRequests(nowMs)
    aggregate.runBatch()
    if (aggregate.hasDueReplies || (!safety.mirrored && !this.isSettled)) {
      this.#release(safety)
      aggregate.runBatch()
    }
    aggregate.sessions.rearm()
    this.#readmission.step(nowMs, !this.consistency.isAttempting && this.vault.isIdle)
    aggregate.image.cache.isForPoint = true
    this.consistency.step(nowMs)
    aggregate.image.cache.isForPoint = false
    // one that is about to end reads nothing for itself: its lease may end first, and then reads fail
    const scrubs = !this.isQuiet && this.scrubbing.step(nowMs)
    this.returning.isQuiet = this.isQuiet
    const resyncs = this.returning.step(nowMs)
    aggregate.image.cache.submit()
    this.#freeRing(safety)
    this.#keepVault(safety)
    return scrubs || resyncs || this.consistency.hasWork || (!this.isQuiet && aggregate.hasWork)
  }

  nextWakeMs(nowMs: number): number {
    const stalled = this.aggregate.sessions.hasStalled && !this.isQuiet
    const admission = stalled
      ? nowMs + this.aggregate.admission.waitMs(this.aggregate.ring.fill)
      : Number.POSITIVE_INFINITY
    const scrubs = this.isQuiet ? Number.POSITIVE_INFINITY : this.scrubbing.nextWakeMs()
    const repairs = Math.min(scrubs, this.returning.nextWakeMs())
    const duties = Math.min(this.#readmission.nextWakeMs(nowMs), repairs)
    return Math.min(admission, this.consistency.nextWakeMs(), duties)
  }

  /** Everything logged is in all copies and all replies are out. */
  get isSettled(): boolean {
    return this.aggregate.acknowledged === this.aggregate.ring.head - 1
  }

  /** Few requests of clients are under way. */
  get isShallow(): boolean {
    return !this.aggregate.sessions.hasInFlight(this.isSettled ? SHALLOW_MAX : SHALLOW_MIRRORED_MAX)
  }

  /** Lets go of everything; what is in flight ends in the procedure that is returned. */
  close(reason: string): Procedure {
    this.aggregate.sessions.drop(reason)
    this.aggregate.image.copies.close()
    return this.#closing(this.consistency.abandon(new StoreError('FENCED', reason)))
  }

  *#closing(undoing: Procedure): Procedure {
    const { image, sessions, parking } = this.aggregate
    try {
      yield* undoing
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
    }
    yield* this.scrubbing.close()
    yield* this.returning.close()
    while (!this.vault.isIdle) yield 'wait'
    image.close()
    yield* sessions.release()
    parking.release()
  }

  /** The record follows what is known of the plexes; flushes that wait for it are answered. */
  #attendPlexes(): void {
    const { copies } = this.aggregate.image
    if (!copies.isMirrored) return
    this.#parts.plexes.are(copies.recordWords)
    copies.step()
  }

  #release(safety: Safety): void {
    const { aggregate } = this
    const logged = aggregate.ring.head - 1
    const target = safety.mirrored ? Math.min(logged, this.mirror.acknowledged) : safety.solo ? logged : 0
    const acknowledged = Math.max(aggregate.acknowledged, target)
    aggregate.releaseReplies(acknowledged, this.#stable(safety, acknowledged))
  }

  /** What FLUSH and FUA wait for: every entry up to here is kept as the durability class says. */
  #stable(safety: Safety, acknowledged: number): number {
    if (this.#parts.settings.durability === 'nvram') return acknowledged
    if (!this.#restsOnMemory(safety) || !this.vault.isSuspended) return this.vault.promised
    const inBoth = Math.min(acknowledged, this.mirror.acknowledged)
    this.vault.owe(inBoth)
    return inBoth
  }

  /** With the partner gone, or out of reach, `pair` behaves as `vault`. */
  #restsOnMemory(safety: Safety): boolean {
    return this.#parts.settings.durability === 'pair' && safety.mirrored && safety.inSync
  }

  /** The tail moves when the disks contain an entry, and nobody is sending or writing from its pages. */
  #freeRing(safety: Safety): void {
    const { ring } = this.aggregate
    const partnerHas = safety.mirrored ? this.mirror.acknowledged : Number.MAX_SAFE_INTEGER
    const unpinned = Math.min(this.mirror.pinnedFrom, this.vault.pinnedFrom) - 1
    const through = Math.min(this.#releaseThrough, partnerHas, unpinned, ring.head - 1)
    if (through >= ring.tail) ring.release(through)
  }

  #keepVault(safety: Safety): void {
    if (this.#parts.settings.durability === 'nvram') return
    // the handover is on its way: the next owner may have looked at the vault already
    if (!safety.mirrored && !safety.solo) return
    if (this.aggregate.image.plex.failure !== undefined) return
    if (this.#restsOnMemory(safety)) return this.vault.suspend()
    const { ring, stabilities } = this.aggregate
    const lag = ring.head - 1 - this.vault.begun
    const isAwaited = stabilities.lastSequence > this.vault.begun
    if (isAwaited || this.vault.lacksOwed || lag * BLOCK_SIZE >= VAULT_LAG_BYTES) this.vault.start()
  }
}

function loadOf({ acknowledgements, stabilities, sessions }: Aggregate): ClientLoad {
  return {
    waits: [acknowledgements.waits, stabilities.waits],
    hasPending: () => acknowledgements.count + stabilities.count > 0,
    isHeldUp: () => sessions.hasStalled,
  }
}

/**
 * While an image is opened, too, the record is to say which plexes are left out before anything counts; but
 * not earlier. Whoever then cannot open it, since its log is damaged, leaves the other plex to those who can.
 */
function* attending<T>(
  image: Image,
  { plexes, stillOwner }: OwnerParts,
  procedure: Procedure<T>,
): Procedure<T> {
  const { copies } = image
  for (;;) {
    if (copies.isHolding) plexes.are(copies.recordWords)
    if (stillOwner()) copies.step()
    else copies.close()
    const { done, value } = procedure.next()
    if (done === true) return value
    yield value
  }
}

/** Epochs in which nothing was logged leave only marks; a full ring has no room for ever more of them. */
function takeBackMarks(ring: LogRing): void {
  while (ring.entryCount > 0 && ring.kind(ring.head - 1) === EntryKind.NOTHING) ring.retract()
}

/** The NVRAM did not survive, the vault did: its bytes become the ring again, under this incarnation. */
function* bringBack({ log, whose, acceptsLoss }: OwnerParts, image: Image, halves: HalfFound[]): Procedure {
  const index = acceptsLoss ? newestOfAny(halves) : newestComplete(halves)
  if (index === undefined) {
    throw new StoreError('LOG_LOST', 'the vault on disk does not hold everything that was promised')
  }
  yield* loadVault(vaultHalf(image.vault, log.layout, index), log.memory, log.layout)
  writeHeader(log.memory, log.layout, whose, log.incarnation)
}
