import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { ArbiterPort } from '../ports/arbiter.ts'
import { Course } from './course.ts'
import type {
  LogFacts,
  LogSource,
  OwnershipEffects,
  OwnershipSettings,
  PartnerFacts,
  TakeoverOptions,
} from './facts.ts'
import type { PlexWord } from './plex-words.ts'
import { handoverObstacle, possibleTakeover } from './requests.ts'
import { answersRequests, enters, looks, type State, serves } from './transitions.ts'

/** An owner that stops has so long for its last consistency point. */
const STOP_WAIT_MS = 15_000

/**
 * Who may write one aggregate, as this node sees it. Times, facts and the arbiter's answers come in,
 * effects go out. transitions.ts says where an event leads; here is when one occurs and what it sets off.
 *
 * - The record alone makes an owner, and only while its lease is live by this node's clock (`fenceAtMs`).
 * - It is swapped to stale before anything is acknowledged without the partner, and to in-sync only when the
 *   partner has everything; while a swap is in doubt, the stricter of both holds. So it is with each plex: no
 *   consistency point counts without one before the record calls it stale (`isPlexStale`).
 * - A claim leaves what the record says of log and plexes; the new owner announces itself after replay. Dying
 *   in between loses nothing and changes nobody's right.
 */
export class Ownership {
  readonly #course: Course

  constructor(settings: OwnershipSettings, arbiter: ArbiterPort, effects: OwnershipEffects) {
    this.#course = new Course(settings, arbiter, effects)
  }

  get state(): State {
    return this.#course.state
  }

  get record(): OwnerRecord | undefined {
    return this.#course.register.known
  }

  get epoch(): number {
    return this.#course.register.known?.epoch ?? 0
  }

  /** Why it does not serve, or cannot take over; empty while it serves. */
  get reason(): string {
    return this.#course.reason
  }

  /** Monotonic milliseconds from which on nothing may leave; 0: not owner. */
  get fenceAtMs(): number {
    return this.#course.fenceAtMs
  }

  /** When `tick` has something to do, if nothing else happens. */
  get nextWakeMs(): number {
    return this.#course.register.hasNews ? 0 : this.#course.wakeMs
  }

  /** Whether an acknowledgement needs the partner's copy. */
  get mirrorRequired(): boolean {
    if (!answersRequests(this.#course.state)) return false
    return this.#course.state === 'joining' || this.#course.register.mayBeInSync
  }

  /** Whether the record lists the partner's copy, and nothing is under way that changes that. */
  get isRecordInSync(): boolean {
    const { state, register } = this.#course
    return (
      this.mirrorRequired && state !== 'joining' && state !== 'parting' && register.known?.log === 'in-sync'
    )
  }

  /** Whether changes may be acknowledged without the partner: the record is stale for sure. */
  get maySoloAck(): boolean {
    return answersRequests(this.#course.state) && !this.mirrorRequired
  }

  /**
   * Whether the partner's copy may be begun afresh: by the record for sure, this node has everything that was
   * acknowledged without it.
   */
  mayFillPartner(now: number): boolean {
    return this.maySoloAck || this.#course.isMeeting(now)
  }

  /** Whether a partner's copy that has everything changes what the record says. */
  wantsPartner(now: number): boolean {
    return this.state === 'syncing' || this.#course.isMeeting(now)
  }

  /** Whether clients are served, as long as `fenceAtMs` has not come. */
  get serves(): boolean {
    return serves(this.#course.state)
  }

  /**
   * Whether a consistency point may count without this plex: our record says for sure that it is stale or
   * absent. Never while a swap that calls it in sync is wanted, under way or in doubt.
   */
  isPlexStale(plex: number): boolean {
    return this.#course.isPlexStale(plex)
  }

  start(now: number, log: LogFacts): void {
    assert(!this.#course.log, 'it starts once')
    this.#course.log = log
    this.#course.reason = 'it reads the record of the arbiter'
    this.#course.observer.started(now)
    this.#course.step(now)
  }

  /** After `fenced`: the engine has let go of everything and comes back with what its log is worth now. */
  rejoin(now: number, log: LogFacts): void {
    this.#course.log = log
    if (this.#course.move('rejoin')) this.#course.reason = 'it reads the record of the arbiter again'
    this.#course.observer.lookNow(now)
    this.#course.step(now)
  }

  /** Called every turn; costs two comparisons when there is nothing to do. */
  tick(now: number): void {
    if (now >= this.#course.wakeMs || this.#course.register.hasNews) this.#course.step(now)
  }

  logChanged(now: number, log: LogFacts): void {
    this.#course.log = log
    this.#course.step(now)
  }

  linkUp(now: number, partner: PartnerFacts): void {
    this.linkDown(now)
    this.#course.partnerFacts = partner
    if (partner.state === 'owner') this.#course.observer.metOwner()
    this.#course.observer.lookNow(now)
    this.#course.step(now)
  }

  linkDown(now: number): void {
    if (!this.#course.partnerFacts) return
    this.#course.partnerFacts = undefined
    this.#course.observer.lookOften(now)
    this.#course.step(now)
    const before = this.#course.state
    this.#course.move('link down')
    if (before === 'pairing') this.#course.meeting.end()
    if (before === 'serving-mirrored' || before === 'joining') this.#course.flaps.parted(now)
    if (before === 'giving')
      this.#course.takeBack(now, `the link to ${this.#course.settings.partner} went down`)
    this.#course.step(now)
  }

  /**
   * What the record is to say of each plex, by its number, from now on: said in every turn of an owner, and
   * before that when a flush waits for it. Words end with the ownership; until then the record's stay.
   */
  plexesAre(now: number, words: readonly PlexWord[]): void {
    this.#course.plexesAre(now, words)
  }

  /**
   * By the operator's word, an older image is gone on from: it is open, and its log is the own ring, or none.
   * From here on the record calls its plex the one in sync; until `isPlexStale` of the other, nothing may
   * count.
   */
  branches(now: number, log: LogSource): void {
    this.#course.branchLog = log
    this.#course.wakeMs = now
  }

  /** The keeper has everything that was acknowledged, and from now on nothing is acknowledged without it. */
  partnerComplete(now: number, incarnation: string): void {
    this.#course.step(now)
    const isTooLate = this.state === 'announcing' && !this.#course.isMeeting(now)
    if (!isTooLate && this.#course.move('partner complete')) this.#course.partnerIncarnation = incarnation
    this.#course.step(now)
  }

  opened(now: number): void {
    this.#course.step(now)
    if (this.#course.move('opened')) {
      this.#course.observer.opened()
      this.#course.meet(now)
    }
    this.#course.step(now)
  }

  /** The engine could not open the image, and has closed it again. The partner may have more luck. */
  openFailed(now: number, error: Error): void {
    this.#course.step(now)
    if (this.#course.move('open failed')) {
      this.#course.reason = error.message
      this.#course.isDropped = true
      this.#course.releaseByMs = now + this.#course.settings.leaseMs
      this.#course.observer.openFailed(now, error.message)
      this.#course.desk.refuse(new StoreError('TAKEOVER_IMPOSSIBLE', error.message, { cause: error }))
    }
    this.#course.step(now)
  }

  quiesced(now: number): void {
    if (this.#course.isAnewInVain) return this.quiesceFailed(now, 'a plex was lost')
    this.#course.step(now)
    if (this.#course.move('quiesced') && this.#course.state === 'releasing') {
      this.#course.isClean = true
      this.#course.releaseByMs = now + this.#course.settings.leaseMs
    }
    this.#course.step(now)
  }

  quiesceFailed(now: number, reason: string): void {
    this.#course.step(now)
    const next = this.#course.move('quiesce failed')
    if (next === 'releasing') this.#course.releaseByMs = now + this.#course.settings.leaseMs
    else if (next) this.#course.takeBack(now, reason)
    this.#course.step(now)
  }

  /** The keeper was told that the record, of this epoch, names it; and whether the giver stays. */
  handedOver(now: number, epoch: number, stays: boolean): void {
    if (stays) this.#course.meeting.expect(epoch)
    this.#course.observer.lookNow(now)
    this.#course.step(now)
  }

  /** By command: this node shall take over from its partner. Judged by a record that is read after it. */
  takeover(now: number, request: number, options: TakeoverOptions): void {
    this.#course.step(now)
    const { node, aggregate } = this.#course.settings
    if (!looks(this.#course.state) && options.dryRun)
      this.#course.effects.answer(request, this.takeoverPossible())
    else if (looks(this.#course.state) || enters(this.#course.state))
      this.#course.desk.takeover(now, request, options)
    else if (this.serves) this.#course.effects.answer(request, this.#course.outcome())
    else {
      const error = new StoreError('NOT_READY', `${node} is ${this.#course.state} ${aggregate}: try again`)
      this.#course.effects.answer(request, undefined, error)
    }
    this.#course.observer.lookNow(now)
    this.#course.step(now)
  }

  /** By command: this node, the owner, hands over to its partner. */
  handover(now: number, request: number, options: { readonly dryRun: boolean }): void {
    this.#course.step(now)
    const because = handoverObstacle(
      this.#course.settings,
      this.#course.state,
      this.record,
      this.#course.partnerFacts,
    )
    if (options.dryRun) this.#course.effects.answer(request, { possible: because === '', because })
    else if (because)
      this.#course.effects.answer(request, undefined, new StoreError('GIVEBACK_IMPOSSIBLE', because))
    else if (this.#course.desk.handover(request)) this.#course.quiesce(now, 'hand over')
    this.#course.step(now)
  }

  /** For status: whether this node could take over now if the owner died, and why (not). */
  takeoverPossible(): { possible: boolean; because: string } {
    return possibleTakeover(
      this.#course.settings,
      this.#course.state,
      this.#course.register.trouble,
      this.#course.view(),
    )
  }

  /**
   * The owner is to open its image once more: it hands over to itself. Nothing happens before log and plexes
   * are in sync for sure, so that none is left behind. Returns whether it was begun.
   */
  openAnew(now: number): boolean {
    this.#course.step(now)
    const { register, settings, state } = this.#course
    const { plex0, plex1 } = register.known ?? {}
    const isCalm = !register.isBusy && !register.mustRead && !register.isInDoubt && this.isRecordInSync
    const arePlexesInSync = plex0 === 'in-sync' && plex1 !== 'stale'
    const mayBegin = state === 'serving-mirrored' && isCalm && arePlexesInSync
    if (mayBegin) this.#course.quiesce(now, 'hand over', settings.node)
    return mayBegin
  }

  /** The node ends. An owner hands over if its partner is in sync and stays, else leaves all on the disks. */
  stop(now: number, options: { readonly pair: boolean } = { pair: false }): void {
    if (!this.#course.stopWanted) this.#course.stopByMs = now + STOP_WAIT_MS
    this.#course.stopWanted ??= options
    this.#course.step(now)
  }
}
