import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import { newestBranch, type OwnerRecord } from '../format/owner-record.ts'
import type { ArbiterPort } from '../ports/arbiter.ts'
import { branched, withoutLost } from './branch.ts'
import type { LogFacts, LogSource, OwnershipEffects, OwnershipSettings, PartnerFacts } from './facts.ts'
import { FlapLimit } from './flap-limit.ts'
import { Lease } from './lease.ts'
import { Meeting } from './meeting.ts'
import { type Claim, Observer } from './observer.ts'
import type { View } from './plan.ts'
import { areSameWords, mustBeWords, type PlexWord, withPlexWords } from './plex-words.ts'
import { Register } from './register.ts'
import { handoverObstacle, RequestDesk, type TakeoverCommand } from './requests.ts'
import type { Event, State } from './transitions.ts'
import { holdsLease, looks, mayWrite, nextState, releases, serves } from './transitions.ts'
import { isAlone, isTogether, type Wishes, wishedRecord } from './wish.ts'

/**
 * The course of one node's ownership: what the state, the record and the time set off. Inputs come from
 * `Ownership`, which sets the facts here and lets it `step`.
 */
export class Course {
  readonly settings: OwnershipSettings
  readonly effects: OwnershipEffects
  readonly register: Register
  readonly lease: Lease
  readonly observer: Observer
  readonly desk: RequestDesk
  readonly flaps = new FlapLimit()
  readonly meeting = new Meeting()
  state: State = 'starting'
  reason = 'it has not started yet'
  log: LogFacts | undefined
  partnerFacts: PartnerFacts | undefined
  partnerIncarnation = ''
  /** who owns after a handover: the partner, or this node, which then opens the image anew */
  #heir: string
  /** what the record is to say of each plex; undefined: what it says since before our claim */
  #plexWords: readonly PlexWord[] | undefined
  #claim: Claim | undefined
  /** the claim goes on from an older image, and that is open: what its log is */
  branchLog: LogSource | undefined
  /** the epoch of our own claim */
  #claimedEpoch = 0
  /** the epoch of the owner that this node was last told to keep for */
  #keptEpoch = -1
  wakeMs = 0
  #retryAtMs = 0
  releaseByMs = 0
  isClean = false
  isDropped = true
  #isHandoverFutile = false
  stopWanted: { readonly pair: boolean } | undefined
  /** a keeper waits so long for an owner that stops, too */
  stopByMs = Number.POSITIVE_INFINITY
  #told = ''

  constructor(settings: OwnershipSettings, arbiter: ArbiterPort, effects: OwnershipEffects) {
    const { aggregate, boot, leaseMs, marginMs } = settings
    assert(settings.node !== settings.partner, 'the partner is another node')
    assert(marginMs > 0 && leaseMs >= 4 * marginMs, 'a lease is much longer than its margin')
    this.settings = settings
    this.effects = effects
    this.#heir = settings.partner
    this.register = new Register(aggregate, boot, leaseMs / 2, arbiter)
    this.lease = new Lease(this.register, boot, leaseMs, marginMs)
    this.observer = new Observer(settings, this.register, this.lease)
    this.desk = new RequestDesk(effects)
  }

  /** Monotonic milliseconds from which on nothing may leave; 0: not owner. */
  get fenceAtMs(): number {
    return holdsLease(this.state) && this.isOwner ? this.lease.fenceAtMs : 0
  }

  get isOwner(): boolean {
    const { known, isLeaseOurs } = this.register
    return known?.owner === this.settings.node && known.epoch === this.#claimedEpoch && isLeaseOurs
  }

  /** Called every turn: costs some comparisons when nothing has changed. Only an owner has a say. */
  plexesAre(now: number, words: readonly PlexWord[]): void {
    if (!holdsLease(this.state)) return
    if (areSameWords(words, this.#plexWords)) return
    mustBeWords(words, this.settings.plexCount)
    this.#plexWords = [...words]
    // the lease may have ended since this turn began: that is noticed at the beginning of one
    this.wakeMs = now
  }

  /** As the register says; but what is about to be called in sync is no longer missed. */
  isPlexStale(plex: number): boolean {
    if (!mayWrite(this.state) || !this.isOwner) return false
    return this.#plexWords?.[plex] !== 'in-sync' && this.register.isPlexStale(plex)
  }

  view(): View | undefined {
    const record = this.register.known
    if (!record || !this.log) return undefined
    const { node, partner, plexCount, plexesHere: plexes } = this.settings
    const diskEpoch = this.settings.diskEpoch()
    const { log, partnerFacts } = this
    return { node, partner, record, log, diskEpoch, plexCount, plexes, partnerFacts }
  }

  /** Nothing is acknowledged, no log is needed, and the giver may come: its copy may be begun and listed. */
  isMeeting(now: number): boolean {
    const isOpen = this.state === 'announcing' && now < this.meeting.untilMs
    return isOpen && this.isOwner && this.register.known?.clean === true
  }

  /** The image is open; if it was given, the giver's copy is waited for. */
  meet(now: number): void {
    if (this.#claim?.how === 'handover') this.meeting.begin(now, this.#claimedEpoch)
    else this.meeting.end()
  }

  #wishes(now: number): Wishes {
    return {
      node: this.settings.node,
      partner: this.settings.partner,
      heir: this.#heir,
      incarnation: this.log?.incarnation ?? '',
      partnerIncarnation: this.partnerIncarnation,
      isLinked: this.partnerFacts !== undefined,
      mayBeInSync: this.register.mayBeInSync,
      isClean: this.isClean,
      isMeeting: this.isMeeting(now),
      mayJoin: now >= this.flaps.joinAtMs,
    }
  }

  outcome(): unknown {
    const { owner, epoch } = this.register.known ?? {}
    return { owner, epoch, how: this.#claim?.how, log: this.#claim?.log }
  }

  move(event: Event): State | undefined {
    const next = nextState(this.state, event)
    if (next) this.state = next
    return next
  }

  step(now: number): void {
    const wasBusy = this.register.isBusy
    this.register.settle(now)
    const failed = wasBusy && !this.register.isBusy && this.register.trouble !== ''
    if (failed) this.#retryAtMs = now + this.settings.leaseMs / 40
    let before: State
    do {
      before = this.state
      if (looks(before)) this.#look(now)
      else if (before === 'taking-over') this.#takeOver(now)
      else if (holdsLease(before)) this.#hold(now)
      else if (before === 'fenced' && this.stopWanted) this.#end(now)
    } while (this.state !== before)
    this.wakeMs = this.#nextWake(now)
    this.#tell()
  }

  #look(now: number): void {
    const register = this.register
    if (this.stopWanted) return this.#staysFor(now) ? undefined : this.#end(now)
    if (register.isBusy) return
    const command = this.desk.takeoverCommand
    if (register.trouble) {
      this.reason = register.trouble
      if (this.desk.isWaiting) this.desk.refuse(new StoreError('ARBITER_UNREACHABLE', register.trouble))
    } else if (!register.mustRead) {
      if (command && register.freshMs >= command.atMs) this.#obey(now, command)
      else this.#decide(now)
    }
    const isDue = now >= (register.mustRead ? this.#retryAtMs : this.observer.lookAtMs)
    if (!looks(this.state) || register.isBusy || !isDue) return
    register.read(now)
    this.observer.looked(now)
  }

  #decide(now: number): void {
    assert(this.log, 'it has started')
    const decision = this.observer.decide(now, this.log, this.view(), this.state === 'keeper')
    if (decision.event === 'claim') return this.#stake(now, decision.claim)
    this.reason = decision.reason
    this.move(decision.event)
    const record = this.register.known
    if (this.state === 'keeper' && record && record.epoch !== this.#keptEpoch) this.#keep(record)
  }

  #obey(now: number, { options }: TakeoverCommand): void {
    assert(this.log, 'it has started')
    const verdict = this.observer.command(now, this.log, this.view(), options)
    const isRefused = verdict instanceof StoreError
    if (options.dryRun) {
      const because = isRefused ? verdict.message : verdict.text
      this.desk.fulfil({ possible: !isRefused, because })
    } else if (isRefused) this.desk.refuse(verdict)
    else return this.#stake(now, verdict)
    this.#decide(now)
  }

  #stake(now: number, claim: Claim): void {
    this.#claim = claim
    this.#claimedEpoch = claim.next.epoch
    this.#plexWords = undefined
    this.branchLog = undefined
    this.move('claim')
    this.reason = `${this.settings.node} claims ${this.settings.aggregate}`
    this.register.swap(now, claim.next)
  }

  #takeOver(now: number): void {
    const register = this.register
    const claim = this.#claim
    assert(claim, 'a claim is under way')
    if (this.stopWanted) return this.#end(now)
    if (register.isBusy) return
    if (this.isOwner && now < this.lease.fenceAtMs) {
      this.move('claimed')
      this.reason = `${this.settings.node} opens ${this.settings.aggregate}`
      this.isDropped = false
      this.#keptEpoch = -1
      this.effects.open(this.#live(now), claim.how, claim.log, claim.branch)
    } else if (this.isOwner || !register.isInDoubt) this.move('claim lost')
    else if (now < this.#retryAtMs) return
    else if (register.mustRead) register.read(now)
    else register.swap(now, claim.next)
  }

  #hold(now: number): void {
    const record = this.register.known
    const isGiven = record?.owner === this.#heir && record.lease?.holder !== this.settings.node
    if (releases(this.state)) this.#release(now)
    else if (this.state === 'handing' && isGiven) this.#handed(record)
    else if (!this.isOwner) this.#fence(`the record names ${record?.owner} in epoch ${record?.epoch}`)
    else if (now >= this.lease.fenceAtMs) this.#fence(`its lease ended. ${this.register.trouble}`.trim())
    else {
      if (this.stopWanted) this.#end(now)
      this.#arrive(now)
    }
    if (holdsLease(this.state)) this.#pursue(now)
  }

  /** Takes the steps that the record, as it is now, allows. */
  #arrive(now: number): void {
    const record = this.#live(now)
    const wishes = this.#wishes(now)
    const { partner } = this.settings
    if (this.state === 'announcing' && isAlone(record, wishes)) this.#begin(record, 'announced')
    else if (this.state === 'pairing' && isTogether(record, wishes)) this.#begin(record, 'in sync')
    else if (this.state === 'parting' && isAlone(record, wishes)) this.move('parted')
    else if (this.state === 'serving-solo' && wishes.isLinked) this.move('link up')
    else if (this.state === 'joining' && record.log === 'in-sync') {
      assert(record.incarnations[partner] === this.partnerIncarnation, 'in-sync is about this ring')
      this.move('in sync')
    }
  }

  #begin(record: OwnerRecord, event: 'announced' | 'in sync'): void {
    this.move(event)
    this.reason = ''
    this.effects.serve(record)
    this.desk.fulfil(this.outcome())
  }

  /** Sends the swap that the state wants, or the renewal that is due. */
  #pursue(now: number): void {
    const register = this.register
    if (register.isBusy || now < this.#retryAtMs) return
    if (register.mustRead) return register.read(now)
    const record = register.known
    if (!record || !register.isLeaseOurs) return
    const next = this.#spoken(wishedRecord(this.state, record, this.#wishes(now)) ?? record, now)
    if (next === record && now < this.lease.renewAtMs) return
    register.swap(now, { ...next, lease: next.lease && this.lease.words(this.settings.node) })
  }

  /** What is to be said of the plexes; but nothing before the branch, all of which is said at once. */
  #spoken(next: OwnerRecord, now: number): OwnerRecord {
    const [point, log] = [this.#claim?.branch, this.branchLog]
    if (!point || newestBranch(next)?.epoch === this.#claimedEpoch)
      return withoutLost(withPlexWords(next, this.#plexWords))
    return log && mayWrite(this.state) ? branched(next, point, log, this.#wishes(now)) : next
  }

  #end(now: number): void {
    const { settings, state, register, partnerFacts } = this
    const isObstructed = handoverObstacle(settings, state, register.known, partnerFacts) !== ''
    const mayGive = !this.stopWanted?.pair && !this.#isHandoverFutile
    // who was about to open it anew does not come back
    if (state === 'giving' && mayGive && !this.isAnewInVain) this.#heir = settings.partner
    if (mayGive && !isObstructed) return this.quiesce(now, 'hand over')
    if (serves(this.state)) return this.quiesce(now, 'stop')
    if (!this.move('stop')) return
    this.reason = 'the node stops'
    this.releaseByMs = now + settings.leaseMs
    this.desk.refuse(new StoreError('STOPPING', `${this.settings.node} is shutting down`))
    this.#drop(this.reason)
  }

  /** The last consistency point of an owner that stops, too, needs the disks of this node. */
  #staysFor(now: number): boolean {
    const { plexesHere, plexCount } = this.settings
    const isNeeded = plexesHere.length < plexCount && this.partnerFacts?.state === 'owner'
    return this.stopWanted?.pair === true && isNeeded && now < this.stopByMs
  }

  quiesce(now: number, why: 'hand over' | 'stop', heir = this.settings.partner): void {
    this.#live(now)
    this.move(why)
    this.#heir = heir
    this.reason = why === 'stop' ? 'the node stops' : `it is handed over to ${heir}`
    this.effects.quiesce()
  }

  /** The handover is off: requests are served again. */
  takeBack(now: number, why: string): void {
    this.#isHandoverFutile = this.stopWanted !== undefined
    this.reason = ''
    this.effects.serve(this.#live(now))
    this.desk.refuse(new StoreError('GIVEBACK_IMPOSSIBLE', `nothing was handed over: ${why}`))
  }

  /** A plex was lost meanwhile: to open the image anew would interrupt the service for nothing. */
  get isAnewInVain(): boolean {
    return this.#heir === this.settings.node && this.#plexWords?.includes('stale') === true
  }

  #handed(record: OwnerRecord): void {
    this.move('handed over')
    const { owner, epoch, aggregate } = record
    this.reason = `${owner} owns ${aggregate}`
    // nothing is in one memory only, as if another node had given it
    if (owner === this.settings.node) this.meeting.expect(epoch)
    else this.effects.handover(record, this.stopWanted === undefined)
    this.#drop(`${aggregate} was handed over to ${owner}`)
    this.#keep(record)
    this.desk.fulfil({ owner, epoch })
  }

  #keep(record: OwnerRecord): void {
    this.#keptEpoch = record.epoch
    this.isDropped = false
    this.effects.keep(record)
  }

  #release(now: number): void {
    const { isBusy, isInDoubt, isLeaseOurs } = this.register
    if ((isBusy || isInDoubt || isLeaseOurs) && now < this.releaseByMs) {
      if (this.stopWanted) this.#end(now)
      return
    }
    if (this.move('released') === 'stopped') this.#drop(this.reason)
  }

  #fence(why: string): void {
    this.move('lease lost')
    this.reason = why
    this.#drop(why)
    this.desk.refuse(new StoreError('FENCED', `${this.settings.node} is fenced: ${why}`))
  }

  #drop(reason: string): void {
    if (this.isDropped) return
    this.isDropped = true
    this.#keptEpoch = -1
    this.effects.drop(reason)
  }

  /** The record, by which this node is owner at this very moment. */
  #live(now: number): OwnerRecord {
    const record = this.register.known
    assert(record && this.isOwner, 'the record names this node and this claim')
    assert(now < this.lease.fenceAtMs, 'the lease is live')
    return record
  }

  #nextWake(now: number): number {
    const register = this.register
    if (this.state === 'stopped' || this.state === 'fenced') return Number.POSITIVE_INFINITY
    const isLooking = looks(this.state)
    if (isLooking && this.stopWanted) return this.stopByMs
    // nothing is decided by a record that is being read, or has to be: only its answer is waited for
    const leaveMs = releases(this.state) ? this.releaseByMs : this.fenceAtMs
    let wakeMs = isLooking || leaveMs === 0 ? Number.POSITIVE_INFINITY : leaveMs
    if (register.isBusy) return Math.min(wakeMs, register.patienceEndsMs)
    if (register.mustRead || this.state === 'taking-over') return Math.min(wakeMs, this.#retryAtMs)
    if (isLooking) return Math.min(this.observer.decideAtMs, this.observer.lookAtMs)
    if (this.state === 'joining' && now < this.flaps.joinAtMs) wakeMs = Math.min(wakeMs, this.flaps.joinAtMs)
    if (this.isMeeting(now)) wakeMs = Math.min(wakeMs, this.meeting.untilMs)
    return Math.min(wakeMs, Math.max(this.lease.renewAtMs, this.#retryAtMs))
  }

  #tell(): void {
    const { owner, epoch, log, clean, plex0, plex1 } = this.register.known ?? {}
    const facts = `${this.state}|${this.reason}|${owner}|${epoch}|${log}|${clean}|${plex0}|${plex1}`
    if (facts !== this.#told) this.effects.changed()
    this.#told = facts
  }
}
