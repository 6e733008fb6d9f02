import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { ArbiterPort } from '../ports/arbiter.ts'
import type { LogFacts, OwnershipEffects, OwnershipSettings, PartnerFacts, TakeoverOptions } from './facts.ts'
import { FlapLimit } from './flap-limit.ts'
import { Lease } from './lease.ts'
import { type Claim, Observer } from './observer.ts'
import type { View } from './plan.ts'
import { Register } from './register.ts'
import { handoverObstacle, possibleTakeover, RequestDesk, type TakeoverCommand } from './requests.ts'
import {
  answersRequests,
  type Event,
  enters,
  holdsLease,
  looks,
  nextState,
  type State,
  serves,
} from './transitions.ts'
import { isAlone, type Wishes, wishedRecord } from './wish.ts'

/**
 * Who may write one aggregate, as this node sees it. Times, facts and the arbiter's answers come in,
 * effects go out. transitions.ts says where an event leads; here is when one occurs and what it sets off.
 *
 * - The record alone makes an owner, and only while its lease is live by this node's clock (`fenceAtMs`).
 * - It is swapped to stale before anything is acknowledged without the partner, and to in-sync only when the
 *   partner has everything; while a swap is in doubt, the stricter of both holds.
 * - A claim leaves what the record says of the log; the new owner announces itself after replay. Dying in
 *   between loses nothing and changes nobody's right.
 */
export class Ownership {
  readonly #settings: OwnershipSettings
  readonly #effects: OwnershipEffects
  readonly #register: Register
  readonly #lease: Lease
  readonly #observer: Observer
  readonly #desk: RequestDesk
  readonly #flaps = new FlapLimit()
  #state: State = 'starting'
  #reason = 'it has not started yet'
  #log: LogFacts | undefined
  #partnerFacts: PartnerFacts | undefined
  #partnerIncarnation = ''
  #claim: Claim | undefined
  /** the epoch of our own claim */
  #claimedEpoch = 0
  /** the epoch of the owner that this node was last told to keep for */
  #keptEpoch = -1
  #wakeMs = 0
  #retryAtMs = 0
  #releaseByMs = 0
  #isClean = false
  #isDropped = true
  #isHandoverFutile = false
  #stopWanted: { readonly pair: boolean } | undefined
  #told = ''

  constructor(settings: OwnershipSettings, arbiter: ArbiterPort, effects: OwnershipEffects) {
    const { aggregate, boot, leaseMs, marginMs } = settings
    assert(settings.node !== settings.partner, 'the partner is another node')
    assert(marginMs > 0 && leaseMs >= 4 * marginMs, 'a lease is much longer than its margin')
    this.#settings = settings
    this.#effects = effects
    this.#register = new Register(aggregate, boot, leaseMs / 2, arbiter)
    this.#lease = new Lease(this.#register, boot, leaseMs, marginMs)
    this.#observer = new Observer(settings, this.#register, this.#lease)
    this.#desk = new RequestDesk(effects)
  }

  get state(): State {
    return this.#state
  }

  get record(): OwnerRecord | undefined {
    return this.#register.known
  }

  get epoch(): number {
    return this.#register.known?.epoch ?? 0
  }

  /** Why it does not serve, or cannot take over; empty while it serves. */
  get reason(): string {
    return this.#reason
  }

  /** Monotonic milliseconds from which on nothing may leave; 0: not owner. */
  get fenceAtMs(): number {
    return holdsLease(this.#state) && this.#isOwner ? this.#lease.fenceAtMs : 0
  }

  /** When `tick` has something to do, if nothing else happens. */
  get nextWakeMs(): number {
    return this.#register.hasNews ? 0 : this.#wakeMs
  }

  /** Whether an acknowledgement needs the partner's copy. */
  get mirrorRequired(): boolean {
    if (!answersRequests(this.#state)) return false
    return this.#state === 'joining' || this.#register.mayBeInSync
  }

  /** Whether changes may be acknowledged without the partner: the record is stale for sure. */
  get maySoloAck(): boolean {
    return answersRequests(this.#state) && !this.mirrorRequired
  }

  /** Whether clients are served, as long as `fenceAtMs` has not come. */
  get serves(): boolean {
    return serves(this.#state)
  }

  start(now: number, log: LogFacts): void {
    assert(!this.#log, 'it starts once')
    this.#log = log
    this.#reason = 'it reads the record of the arbiter'
    this.#observer.started(now)
    this.#step(now)
  }

  /** After `fenced`: the engine has let go of everything and comes back with what its log is worth now. */
  rejoin(now: number, log: LogFacts): void {
    this.#log = log
    if (this.#move('rejoin')) this.#reason = 'it reads the record of the arbiter again'
    this.#observer.lookNow(now)
    this.#step(now)
  }

  /** Called every turn; costs two comparisons when there is nothing to do. */
  tick(now: number): void {
    if (now >= this.#wakeMs || this.#register.hasNews) this.#step(now)
  }

  logChanged(now: number, log: LogFacts): void {
    this.#log = log
    this.#step(now)
  }

  linkUp(now: number, partner: PartnerFacts): void {
    this.linkDown(now)
    this.#partnerFacts = partner
    this.#observer.lookNow(now)
    this.#step(now)
  }

  linkDown(now: number): void {
    if (!this.#partnerFacts) return
    this.#partnerFacts = undefined
    this.#observer.lookOften(now)
    this.#step(now)
    const before = this.#state
    this.#move('link down')
    if (before === 'serving-mirrored' || before === 'joining') this.#flaps.parted(now)
    if (before === 'giving') this.#takeBack(now, `the link to ${this.#settings.partner} went down`)
    this.#step(now)
  }

  /** The keeper has everything that was acknowledged, and from now on nothing is acknowledged without it. */
  partnerComplete(now: number, incarnation: string): void {
    this.#step(now)
    if (this.#move('partner complete')) this.#partnerIncarnation = incarnation
    this.#step(now)
  }

  opened(now: number): void {
    this.#step(now)
    if (this.#move('opened')) this.#observer.opened()
    this.#step(now)
  }

  /** The engine could not open the image, and has closed it again. The partner may have more luck. */
  openFailed(now: number, error: Error): void {
    this.#step(now)
    if (this.#move('open failed')) {
      this.#reason = error.message
      this.#isDropped = true
      this.#releaseByMs = now + this.#settings.leaseMs
      this.#observer.openFailed(now, error.message)
      this.#desk.refuse(new StoreError('TAKEOVER_IMPOSSIBLE', error.message, { cause: error }))
    }
    this.#step(now)
  }

  quiesced(now: number): void {
    this.#step(now)
    if (this.#move('quiesced') && this.#state === 'releasing') {
      this.#isClean = true
      this.#releaseByMs = now + this.#settings.leaseMs
    }
    this.#step(now)
  }

  quiesceFailed(now: number, reason: string): void {
    this.#step(now)
    const next = this.#move('quiesce failed')
    if (next === 'releasing') this.#releaseByMs = now + this.#settings.leaseMs
    else if (next) this.#takeBack(now, reason)
    this.#step(now)
  }

  /** The keeper was told that the record names it. */
  handedOver(now: number): void {
    this.#observer.lookNow(now)
    this.#step(now)
  }

  /** By command: this node shall take over from its partner. Judged by a record that is read after it. */
  takeover(now: number, request: number, options: TakeoverOptions): void {
    this.#step(now)
    const { node, aggregate } = this.#settings
    if (!looks(this.#state) && options.dryRun) this.#effects.answer(request, this.takeoverPossible())
    else if (looks(this.#state) || enters(this.#state)) this.#desk.takeover(now, request, options)
    else if (this.serves) this.#effects.answer(request, this.#outcome())
    else {
      const error = new StoreError('NOT_READY', `${node} is ${this.#state} ${aggregate}: try again`)
      this.#effects.answer(request, undefined, error)
    }
    this.#observer.lookNow(now)
    this.#step(now)
  }

  /** By command: this node, the owner, hands over to its partner. */
  handover(now: number, request: number, options: { readonly dryRun: boolean }): void {
    this.#step(now)
    const because = handoverObstacle(this.#settings, this.#state, this.record, this.#partnerFacts)
    if (options.dryRun) this.#effects.answer(request, { possible: because === '', because })
    else if (because) this.#effects.answer(request, undefined, new StoreError('GIVEBACK_IMPOSSIBLE', because))
    else if (this.#desk.handover(request)) this.#quiesce(now, 'hand over')
    this.#step(now)
  }

  /** For status: whether this node could take over now if the owner died, and why (not). */
  takeoverPossible(): { possible: boolean; because: string } {
    return possibleTakeover(this.#settings, this.#state, this.#register.trouble, this.#view())
  }

  /** The node ends. An owner hands over if its partner is in sync and stays, else leaves all on the disks. */
  stop(now: number, options: { readonly pair: boolean } = { pair: false }): void {
    this.#stopWanted ??= options
    this.#step(now)
  }

  get #isOwner(): boolean {
    const record = this.#register.known
    const isNamed = record?.owner === this.#settings.node && record.epoch === this.#claimedEpoch
    return isNamed && this.#register.isLeaseOurs
  }

  #view(): View | undefined {
    const record = this.#register.known
    if (!record || !this.#log) return undefined
    const { node, partner } = this.#settings
    return { node, partner, record, log: this.#log, partnerFacts: this.#partnerFacts }
  }

  #wishes(now: number): Wishes {
    return {
      node: this.#settings.node,
      partner: this.#settings.partner,
      incarnation: this.#log?.incarnation ?? '',
      partnerIncarnation: this.#partnerIncarnation,
      isLinked: this.#partnerFacts !== undefined,
      mayBeInSync: this.#register.mayBeInSync,
      isClean: this.#isClean,
      mayJoin: now >= this.#flaps.joinAtMs,
    }
  }

  #outcome(): unknown {
    return { owner: this.record?.owner, epoch: this.epoch, how: this.#claim?.how, log: this.#claim?.log }
  }

  #move(event: Event): State | undefined {
    const next = nextState(this.#state, event)
    if (next) this.#state = next
    return next
  }

  #step(now: number): void {
    const wasBusy = this.#register.isBusy
    this.#register.settle(now)
    const failed = wasBusy && !this.#register.isBusy && this.#register.trouble !== ''
    if (failed) this.#retryAtMs = now + this.#settings.leaseMs / 40
    let before: State
    do {
      before = this.#state
      if (looks(before)) this.#look(now)
      else if (before === 'taking-over') this.#takeOver(now)
      else if (holdsLease(before)) this.#hold(now)
      else if (before === 'fenced' && this.#stopWanted) this.#end(now)
    } while (this.#state !== before)
    this.#wakeMs = this.#nextWake(now)
    this.#tell()
  }

  #look(now: number): void {
    const register = this.#register
    if (this.#stopWanted) return this.#end(now)
    if (register.isBusy) return
    const command = this.#desk.takeoverCommand
    if (register.trouble) {
      this.#reason = register.trouble
      this.#desk.refuse(new StoreError('ARBITER_UNREACHABLE', register.trouble))
    } else if (!register.mustRead) {
      if (command && register.freshMs >= command.atMs) this.#obey(now, command)
      else this.#decide(now)
    }
    const isDue = now >= (register.mustRead ? this.#retryAtMs : this.#observer.lookAtMs)
    if (!looks(this.#state) || register.isBusy || !isDue) return
    register.read(now)
    this.#observer.looked(now)
  }

  #decide(now: number): void {
    assert(this.#log, 'it has started')
    const decision = this.#observer.decide(now, this.#log, this.#view(), this.#state === 'keeper')
    if (decision.event === 'claim') return this.#stake(now, decision.claim)
    this.#reason = decision.reason
    this.#move(decision.event)
    const record = this.#register.known
    if (this.#state === 'keeper' && record && record.epoch !== this.#keptEpoch) this.#keep(record)
  }

  #obey(now: number, { options }: TakeoverCommand): void {
    assert(this.#log, 'it has started')
    const verdict = this.#observer.command(now, this.#log, this.#view(), options)
    const isRefused = verdict instanceof StoreError
    if (options.dryRun) {
      const because = isRefused
        ? verdict.message
        : `${this.#settings.node} would open it, log: ${verdict.log}`
      this.#desk.fulfil({ possible: !isRefused, because })
    } else if (isRefused) this.#desk.refuse(verdict)
    else return this.#stake(now, verdict)
    this.#decide(now)
  }

  #stake(now: number, claim: Claim): void {
    this.#claim = claim
    this.#claimedEpoch = claim.next.epoch
    this.#move('claim')
    this.#reason = `${this.#settings.node} claims ${this.#settings.aggregate}`
    this.#register.swap(now, claim.next)
  }

  #takeOver(now: number): void {
    const register = this.#register
    const claim = this.#claim
    assert(claim, 'a claim is under way')
    if (this.#stopWanted) return this.#end(now)
    if (register.isBusy) return
    if (this.#isOwner && now < this.#lease.fenceAtMs) {
      this.#move('claimed')
      this.#reason = `${this.#settings.node} opens ${this.#settings.aggregate}`
      this.#isDropped = false
      this.#keptEpoch = -1
      this.#effects.open(this.#live(now), claim.how, claim.log)
    } else if (this.#isOwner || !register.isInDoubt) this.#move('claim lost')
    else if (now < this.#retryAtMs) return
    else if (register.mustRead) register.read(now)
    else register.swap(now, claim.next)
  }

  #hold(now: number): void {
    const record = this.#register.known
    const { partner } = this.#settings
    if (this.#state === 'releasing' || this.#state === 'withdrawing') this.#release(now)
    else if (this.#state === 'handing' && record?.owner === partner) this.#handed(record)
    else if (!this.#isOwner) this.#fence(`the record names ${record?.owner} in epoch ${record?.epoch}`)
    else if (now >= this.#lease.fenceAtMs) this.#fence(`its lease ended. ${this.#register.trouble}`.trim())
    else {
      if (this.#stopWanted) this.#end(now)
      this.#arrive(now)
    }
    if (holdsLease(this.#state)) this.#pursue(now)
  }

  /** Takes the steps that the record, as it is now, allows. */
  #arrive(now: number): void {
    const record = this.#live(now)
    const wishes = this.#wishes(now)
    const { partner } = this.#settings
    if (this.#state === 'announcing' && isAlone(record, wishes)) {
      this.#move('announced')
      this.#reason = ''
      this.#effects.serve(record)
      this.#desk.fulfil(this.#outcome())
    } else if (this.#state === 'parting' && isAlone(record, wishes)) this.#move('parted')
    else if (this.#state === 'serving-solo' && wishes.isLinked) this.#move('link up')
    else if (this.#state === 'joining' && record.log === 'in-sync') {
      assert(record.incarnations[partner] === this.#partnerIncarnation, 'in-sync is about this ring')
      this.#move('in sync')
    }
  }

  /** Sends the swap that the state wants, or the renewal that is due. */
  #pursue(now: number): void {
    const register = this.#register
    if (register.isBusy || now < this.#retryAtMs) return
    if (register.mustRead) return register.read(now)
    const record = register.known
    if (!record || !register.isLeaseOurs) return
    const wish = wishedRecord(this.#state, record, this.#wishes(now))
    if (!wish && now < this.#lease.renewAtMs) return
    const next = wish ?? record
    register.swap(now, { ...next, lease: next.lease && this.#lease.words(this.#settings.node) })
  }

  #end(now: number): void {
    const { leaseMs } = this.#settings
    const mayGive = this.#state === 'serving-mirrored' && this.#partnerFacts && !this.#isHandoverFutile
    if (mayGive && !this.#stopWanted?.pair) return this.#quiesce(now, 'hand over')
    if (this.serves) return this.#quiesce(now, 'stop')
    if (!this.#move('stop')) return
    this.#reason = 'the node stops'
    this.#releaseByMs = now + leaseMs
    this.#desk.refuse(new StoreError('STOPPING', `${this.#settings.node} is shutting down`))
    this.#drop(this.#reason)
  }

  #quiesce(now: number, why: 'hand over' | 'stop'): void {
    this.#live(now)
    this.#move(why)
    this.#reason = why === 'stop' ? 'the node stops' : `${this.#settings.partner} takes over by command`
    this.#effects.quiesce()
  }

  /** The handover is off: requests are served again. */
  #takeBack(now: number, why: string): void {
    this.#isHandoverFutile = this.#stopWanted !== undefined
    this.#reason = ''
    this.#effects.serve(this.#live(now))
    this.#desk.refuse(new StoreError('GIVEBACK_IMPOSSIBLE', `nothing was handed over: ${why}`))
  }

  #handed(record: OwnerRecord): void {
    this.#move('handed over')
    this.#reason = `${record.owner} owns ${record.aggregate}`
    this.#effects.handover(record)
    this.#drop(`${record.aggregate} was handed over to ${record.owner}`)
    this.#keep(record)
    this.#desk.fulfil({ owner: record.owner, epoch: record.epoch })
  }

  #keep(record: OwnerRecord): void {
    this.#keptEpoch = record.epoch
    this.#isDropped = false
    this.#effects.keep(record)
  }

  #release(now: number): void {
    const { isBusy, isInDoubt, isLeaseOurs } = this.#register
    if ((isBusy || isInDoubt || isLeaseOurs) && now < this.#releaseByMs) {
      if (this.#stopWanted) this.#end(now)
      return
    }
    if (this.#move('released') === 'stopped') this.#drop(this.#reason)
  }

  #fence(why: string): void {
    this.#move('lease lost')
    this.#reason = why
    this.#drop(why)
    this.#desk.refuse(new StoreError('FENCED', `${this.#settings.node} is fenced: ${why}`))
  }

  #drop(reason: string): void {
    if (this.#isDropped) return
    this.#isDropped = true
    this.#keptEpoch = -1
    this.#effects.drop(reason)
  }

  /** The record, by which this node is owner at this very moment. */
  #live(now: number): OwnerRecord {
    const record = this.#register.known
    assert(record && this.#isOwner, 'the record names this node and this claim')
    assert(now < this.#lease.fenceAtMs, 'the lease is live')
    return record
  }

  #nextWake(now: number): number {
    const register = this.#register
    if (this.#state === 'stopped' || this.#state === 'fenced') return Number.POSITIVE_INFINITY
    const isLooking = looks(this.#state)
    let wakeMs = isLooking ? this.#observer.decideAtMs : this.#leaveMs
    if (register.isBusy) return Math.min(wakeMs, register.patienceEndsMs)
    if (register.mustRead || this.#state === 'taking-over') return Math.min(wakeMs, this.#retryAtMs)
    if (isLooking) return Math.min(wakeMs, this.#observer.lookAtMs)
    if (this.#state === 'joining' && now < this.#flaps.joinAtMs)
      wakeMs = Math.min(wakeMs, this.#flaps.joinAtMs)
    return Math.min(wakeMs, Math.max(this.#lease.renewAtMs, this.#retryAtMs))
  }

  /** When the time of an owner is over, if nothing happens. */
  get #leaveMs(): number {
    if (this.#state === 'releasing' || this.#state === 'withdrawing') return this.#releaseByMs
    return this.fenceAtMs || Number.POSITIVE_INFINITY
  }

  #tell(): void {
    const { owner, epoch, log, clean } = this.#register.known ?? {}
    const facts = `${this.#state}|${this.#reason}|${owner}|${epoch}|${log}|${clean}`
    if (facts === this.#told) return
    this.#told = facts
    this.#effects.changed()
  }
}
