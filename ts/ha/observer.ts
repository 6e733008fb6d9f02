import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { OwnerRecord } from '../format/owner-record.ts'
import { branchText, planBranch } from './branch.ts'
import type {
  BranchPoint,
  LogFacts,
  LogSource,
  OpenReason,
  OwnershipSettings,
  TakeoverOptions,
} from './facts.ts'
import type { Lease } from './lease.ts'
import {
  forcedRemedy,
  keptLogObstacle,
  noPlexObstacle,
  planAsKeeper,
  planAsOwner,
  planForced,
  type View,
} from './plan.ts'
import { plexObstacle } from './plex-words.ts'
import type { Register } from './register.ts'
import { claimOf, firstRecord } from './wish.ts'

/** A decision to become owner: the record to swap in, and what the image is then opened with. */
export interface Claim {
  readonly next: OwnerRecord
  readonly how: OpenReason
  readonly log: LogSource
  /** for a dry run: what would happen, in words */
  readonly text: string
  /** a stale plex that is gone on from */
  readonly branch?: BranchPoint
}

export type Decision =
  | { readonly event: 'claim'; readonly claim: Claim }
  | { readonly event: 'no record' | 'must wait' | 'partner owns'; readonly reason: string }

const LOOK_OFTEN_FOR_MS = 1000
const LOOK_OFTEN_EVERY_MS = 20
const REOPEN_FIRST_MS = 2000
const REOPEN_MAX_MS = 60_000

/** What a node without a lease makes of the record: keep, wait or claim; and when it looks again. */
export class Observer {
  /** when the record is read next */
  lookAtMs = 0
  /** when time alone may change the decision */
  decideAtMs = Number.POSITIVE_INFINITY
  #startedMs = 0
  #oftenUntilMs = 0
  #reopenAtMs = 0
  #reopenDelayMs = REOPEN_FIRST_MS
  #openFailure = ''
  readonly #settings: OwnershipSettings
  readonly #register: Register
  readonly #lease: Lease

  constructor(settings: OwnershipSettings, register: Register, lease: Lease) {
    this.#settings = settings
    this.#register = register
    this.#lease = lease
  }

  started(now: number): void {
    this.#startedMs = now
    this.lookAtMs = now
  }

  /** The owner is alive: if it dies later, it was not started together with this node. */
  metOwner(): void {
    this.#startedMs = Number.NEGATIVE_INFINITY
  }

  lookNow(now: number): void {
    this.lookAtMs = now
  }

  /** For a moment after the link went down: whether the partner's process has ended shows soon. */
  lookOften(now: number): void {
    this.lookAtMs = now
    this.#oftenUntilMs = now + LOOK_OFTEN_FOR_MS
  }

  looked(now: number): void {
    const isOften = now < this.#oftenUntilMs
    this.lookAtMs = now + (isOften ? LOOK_OFTEN_EVERY_MS : this.#settings.leaseMs / 4)
  }

  /** An image that could not be opened is tried again, but first the partner may. */
  openFailed(now: number, reason: string): void {
    this.#openFailure = reason
    this.#reopenAtMs = now + Math.max(this.#reopenDelayMs, 2 * this.#settings.partnerGraceMs)
    this.#reopenDelayMs = Math.min(this.#reopenDelayMs * 2, REOPEN_MAX_MS)
  }

  opened(): void {
    this.#openFailure = ''
    this.#reopenAtMs = 0
    this.#reopenDelayMs = REOPEN_FIRST_MS
  }

  decide(now: number, log: LogFacts, view: View | undefined, wasKeeper: boolean): Decision {
    const { node, partner } = this.#settings
    this.decideAtMs = Number.POSITIVE_INFINITY
    if (!view) return this.#withoutRecord(log)
    if (view.record.owner === node) return this.#asOwner(now, view, wasKeeper)
    if (view.record.owner === partner) return this.#asKeeper(now, view)
    const { owner, aggregate } = view.record
    return wait(`the record names ${owner} as owner of ${aggregate}: it does not belong to this pair`)
  }

  /** By the operator's command: as `decide`, but with no precedence for others, and more if forced. */
  command(now: number, log: LogFacts, view: View | undefined, options: TakeoverOptions): Claim | StoreError {
    const isForced = options.force && options.acceptDataLoss
    if (!view) return this.#commandWithoutRecord(log, options, isForced)
    const { node } = this.#settings
    const { record } = view
    if (!this.#lease.isDead(now)) return this.#livingOwner(now, view)
    const branch = isForced ? this.#commandBranch(view, log, options) : undefined
    if (branch) return branch
    const plexless = noPlexObstacle(view)
    if (plexless) return impossible(plexless)
    const isOwn = record.owner === node
    const plan = isOwn ? planAsOwner(view) : planAsKeeper(view)
    if ('log' in plan) return this.#claim(record, isOwn ? 'restart' : 'takeover', plan.log)
    if (!isForced) return impossible(`${node} cannot take over: ${plan.obstacle}`, node)
    const kept = keptLogObstacle(view)
    if (kept) return impossible(kept)
    return this.#force(record, planForced(view), this.#highestEpoch(record.epoch, log), options)
  }

  #force(record: OwnerRecord, log: LogSource, above: number, { at, reason }: TakeoverOptions): Claim {
    const claim = this.#claim(record, 'forced', log, above)
    const forced = [...record.forced, { at, node: this.#settings.node, reason }]
    return { ...claim, next: { ...claim.next, forced } }
  }

  /** From an image that is older than what was acknowledged; undefined: there is a plex in sync. */
  #commandBranch(view: View, log: LogFacts, options: TakeoverOptions): Claim | StoreError | undefined {
    const { record } = view
    const mistake = plexObstacle(record)
    if (mistake) return impossible(mistake)
    const plan = planBranch(view, options.plexes ?? [])
    if (!plan) return undefined
    if ('obstacle' in plan) return impossible(plan.obstacle)
    const { plex, epoch, generation } = plan.image
    const above = Math.max(epoch, this.#highestEpoch(record.epoch, log))
    const text = branchText(view.node, plan)
    return { ...this.#force(record, plan.log, above, options), text, branch: { plex, generation } }
  }

  #withoutRecord(log: LogFacts): Decision {
    const { node, home, aggregate } = this.#settings
    const none = (reason: string): Decision => ({ event: 'no record', reason })
    if (node !== home)
      return none(`the arbiter has no record of ${aggregate} yet; ${home}, its home, makes it`)
    const diskEpoch = this.#settings.diskEpoch()
    if (typeof diskEpoch === 'string') return none(diskEpoch)
    if (diskEpoch > 0) return none(this.#recordGone(diskEpoch))
    return { event: 'claim', claim: this.#first('first', 1, log, 'none') }
  }

  #recordGone(diskEpoch: number): string {
    const { aggregate } = this.#settings
    return (
      `the arbiter has no record of ${aggregate}, but its disks carry epoch ${diskEpoch}: restore the ` +
      "arbiter's data, or take what is there: pollux takeover --force --accept-data-loss"
    )
  }

  #asOwner(now: number, view: View, wasKeeper: boolean): Decision {
    const { record, node, partner } = view
    if (!this.#lease.isDead(now)) {
      this.#decideAt(this.#lease.othersEndMs)
      return wait(`the lease of an earlier process of ${node} is not over yet`)
    }
    const plan = planAsOwner(view)
    if ('obstacle' in plan) return wait(plan.obstacle)
    const wasGiven = wasKeeper && record.lease === null
    // what was given by command is tried at once: the giver has just had it open
    if (now < this.#reopenAtMs && !wasGiven) {
      this.#decideAt(this.#reopenAtMs)
      return wait(`${this.#openFailure}; ${partner} may take over, else ${node} tries again`)
    }
    return { event: 'claim', claim: this.#claim(record, wasGiven ? 'handover' : 'restart', plan.log) }
  }

  #asKeeper(now: number, view: View): Decision {
    const { record, node } = view
    const keep = (reason: string): Decision => ({ event: 'partner owns', reason })
    if (!this.#lease.isDead(now)) {
      this.#decideAt(this.#lease.othersEndMs)
      return keep(`${record.owner} owns ${record.aggregate}`)
    }
    const plan = planAsKeeper(view)
    const gone = `${record.owner} does not serve`
    if ('obstacle' in plan) return keep(`${gone}, and ${node} cannot take over: ${plan.obstacle}`)
    if (this.#settings.takeover === 'manual') return keep(`${gone}; ${node} takes over only by command`)
    const takeoverAtMs = this.#precedenceEndsMs(record)
    if (now >= takeoverAtMs) return { event: 'claim', claim: this.#claim(record, 'takeover', plan.log) }
    this.#decideAt(takeoverAtMs)
    return keep(`${gone}; ${node} takes over unless it comes back at once`)
  }

  /** An owner that has just given up, or was started together with this node, may come by itself. */
  #precedenceEndsMs(record: OwnerRecord): number {
    const { partnerGraceMs } = this.#settings
    const afterStart = this.#startedMs + partnerGraceMs
    return record.lease ? afterStart : Math.max(afterStart, this.#register.seenAtMs + partnerGraceMs)
  }

  #livingOwner(now: number, { record, partnerFacts }: View): StoreError {
    const { node, aggregate } = this.#settings
    const holder = record.lease?.holder
    if (holder !== node && partnerFacts) {
      return impossible(
        `${holder} is alive and owns ${aggregate}: ask it to hand over (pollux giveback, or takeover)`,
      )
    }
    const remainingMs = Math.ceil(this.#lease.othersEndMs - now)
    return impossible(
      `the lease of ${holder} on ${aggregate} may be live for ${remainingMs} ms more: try again after that`,
    )
  }

  #commandWithoutRecord(log: LogFacts, options: TakeoverOptions, isForced: boolean): Claim | StoreError {
    const { node } = this.#settings
    const diskEpoch = this.#settings.diskEpoch()
    if (typeof diskEpoch === 'string') return impossible(diskEpoch)
    if (!isForced) return impossible(this.#recordGone(diskEpoch))
    const isCurrent = log.usable && log.epoch >= diskEpoch
    const source = isCurrent ? 'ring' : log.vaultPossible ? 'vault' : 'none'
    const claim = this.#first('forced', this.#highestEpoch(0, log) + 1, log, source)
    const forced = [{ at: options.at, node, reason: options.reason }]
    return { ...claim, next: { ...claim.next, forced } }
  }

  #first(how: OpenReason, epoch: number, log: LogFacts, source: LogSource): Claim {
    const { node } = this.#settings
    const incarnations = source === 'ring' ? { [node]: log.incarnation } : {}
    const isClean = how === 'first'
    const lease = this.#lease.words(node)
    const next = firstRecord(this.#settings, epoch, lease, incarnations, isClean)
    return { next, how, log: source, text: wouldOpen(node, source) }
  }

  #claim(record: OwnerRecord, how: OpenReason, log: LogSource, above = record.epoch): Claim {
    const { node } = this.#settings
    const next = claimOf(record, node, above + 1, this.#lease.words(node))
    return { next, how, log, text: wouldOpen(node, log) }
  }

  #highestEpoch(recordEpoch: number, log: LogFacts): number {
    const diskEpoch = this.#settings.diskEpoch()
    return Math.max(recordEpoch, log.usable ? log.epoch : 0, typeof diskEpoch === 'number' ? diskEpoch : 0)
  }

  #decideAt(atMs: number): void {
    assert(atMs > 0, 'a decision has a time')
    this.decideAtMs = Math.min(this.decideAtMs, atMs)
  }
}

const wouldOpen = (node: string, log: LogSource): string => `${node} would open it, log: ${log}`

const wait = (reason: string): Decision => ({ event: 'must wait', reason })

const impossible = (why: string, forcedFor?: string): StoreError =>
  new StoreError('TAKEOVER_IMPOSSIBLE', forcedFor ? `${why}. ${forcedRemedy(forcedFor)}` : why)
