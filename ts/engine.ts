import { assert } from './base/assert.ts'
import { StoreError } from './base/errors.ts'
import type { Gather } from './base/gather.ts'
import { Histogram } from './base/histogram.ts'
import { MemoryBatch } from './base/memory-batch.ts'
import type { EngineSettings } from './config/engine-settings.ts'
import { tellGivenUp } from './engine/branching.ts'
import { CatchUp } from './engine/catch-up.ts'
import { DiskLink } from './engine/disk-link.ts'
import { linkIdentity, logOwnership, ownershipSettings } from './engine/from-settings.ts'
import { Link, type LinkUser } from './engine/link.ts'
import { hasManyChanges } from './engine/load.ts'
import { LogHealth } from './engine/log-health.ts'
import { DiskEpoch, Opening } from './engine/opening.ts'
import type { Owner } from './engine/owner.ts'
import { ownerParts } from './engine/owner-parts.ts'
import { PlexLooks } from './engine/plex-looks.ts'
import { Quiesce } from './engine/quiesce.ts'
import { Rejoin } from './engine/rejoin.ts'
import { handleRequest } from './engine/requests.ts'
import { servingState } from './engine/status.ts'
import type { ClientArrival } from './flow/client.ts'
import { identityText } from './format/identity.ts'
import { FrameKind } from './format/link-frame.ts'
import type { OwnerRecord } from './format/owner-record.ts'
import type { BranchPoint, LogSource, OpenReason, OwnershipEffects } from './ha/facts.ts'
import { Ownership } from './ha/ownership.ts'
import { LogCopy, type LogOwnership } from './log/copy.ts'
import type { FrameReader } from './partner/frame.ts'
import type { HelloFacts } from './partner/hello.ts'
import { Keeper } from './partner/keeper.ts'
import type { Memory } from './ports/memory.ts'
import type { World } from './ports/world.ts'

/**
 * One aggregate on one node. It owns all of its state; events come in as completions and messages,
 * and once per turn everything that has become possible is done: `turn` is the whole life of an engine.
 */
export class Engine implements OwnershipEffects, LinkUser {
  readonly world: World
  readonly settings: EngineSettings
  readonly log: LogCopy
  readonly ownership: Ownership
  readonly link: Link
  /** the role of owner, from `open` to `drop` */
  owner: Owner | undefined
  keeper: Keeper
  isServing = false
  /** stopped for good; the process may end */
  isStopped = false
  readonly batch = new MemoryBatch(4096)
  /** of each turn, from when the kernel was left until it is entered again */
  readonly turnTimes = new Histogram()
  readonly #whose: LogOwnership
  readonly #health: LogHealth
  readonly #opening = new Opening()
  readonly #quiesce: Quiesce
  readonly #catchUp: CatchUp
  readonly #diskEpoch = new DiskEpoch()
  readonly looks = new PlexLooks()
  readonly diskLink: DiskLink
  /** control requests that wait for their log entry to be acknowledged */
  readonly waiting: { sequence: number; answer: () => void }[] = []
  readonly #rejoin: Rejoin
  #linkWentDown = false

  constructor(world: World, settings: EngineSettings) {
    this.world = world
    this.settings = settings
    this.#whose = logOwnership(settings)
    this.log = LogCopy.open(world, settings.aggregate.name, settings.logPages, this.#whose)
    this.#health = new LogHealth(this.log, settings.durability)
    if (this.log.damage !== '') world.host.event('error', 'log damaged', this.log.damage)
    this.keeper = new Keeper(this.log, this.batch)
    const rules = ownershipSettings(settings, () => this.#diskEpoch.found)
    this.ownership = new Ownership(rules, world.arbiter, this)
    const times = { heartbeatMs: settings.heartbeatMs, timeoutMs: settings.linkTimeoutMs }
    this.link = new Link(world.memory, linkIdentity(settings, this.#whose), times, world.host, this)
    this.#catchUp = new CatchUp(this.link, this.ownership)
    this.diskLink = new DiskLink(world, settings, this.log, this.link, {
      overdue: (why) => this.owner?.returning.leaveOutRemote(why),
      epoch: () => this.ownership.epoch,
      copies: () => this.owner?.aggregate.image.copies,
      sharedPageAt: (at) => (this.#catchUp.isMirroring ? (this.owner?.mirror.sharedPageAt(at) ?? -1) : -1),
    })
    this.#quiesce = new Quiesce(this.ownership)
    this.#rejoin = new Rejoin(this.ownership, this.#health, world.host)
  }

  start(): void {
    this.ownership.start(this.world.clock.now(), this.#health.facts())
    this.world.host.wantLink(true)
    this.#diskEpoch.begin(this.world, this.settings)
  }

  stop(options: { pair: boolean }): void {
    this.ownership.stop(this.world.clock.now(), options)
  }

  // --- the turn ------------------------------------------------------------------------------------

  /** Returns whether there is more to do at once, before any completion. */
  turn(): boolean {
    const nowMs = this.world.clock.now()
    this.#noticeLinkDown(nowMs)
    this.link.parse(nowMs)
    this.#keep(nowMs)
    this.#noticeLinkDown(nowMs)
    this.ownership.tick(nowMs)
    this.diskLink.step(nowMs)
    let more = this.looks.step()
    more = this.#stepOpening(nowMs) || more
    if (this.owner !== undefined) more = this.#own(nowMs, this.owner) || more
    this.link.rearm()
    this.link.tick(nowMs, this.ownership.epoch)
    this.link.pump()
    this.#rejoin.step(nowMs)
    this.#noticeStop()
    return more || this.diskLink.hasWork
  }

  /** When the next turn is due, if nothing happens before. */
  nextWakeMs(): number {
    const nowMs = this.world.clock.now()
    const owner = (this.isServing ? this.owner?.nextWakeMs(nowMs) : undefined) ?? Number.POSITIVE_INFINITY
    const rest = Math.min(this.#quiesce.nextWakeMs(nowMs), this.#rejoin.atMs)
    return Math.min(this.ownership.nextWakeMs, this.link.nextWakeMs(), owner, rest)
  }

  get isShallow(): boolean {
    return this.owner?.isShallow ?? true
  }

  get hasMany(): boolean | undefined {
    return hasManyChanges(this)
  }

  /** Nothing may leave this node from here on; 0: it is not the owner, and nothing leaves as owner. */
  get fenceAtMs(): number {
    return this.ownership.fenceAtMs
  }

  /** The kernel was not entered because the lease had ended. */
  fenced(): void {
    this.ownership.tick(this.world.clock.now())
  }

  /** A link may be closed from within an effect of `ownership`; it hears of it afterwards. */
  #noticeLinkDown(nowMs: number): void {
    if (!this.#linkWentDown) return
    this.#linkWentDown = false
    this.ownership.linkDown(nowMs)
  }

  /** A keeper's turn: check what came, then say so. */
  #keep(nowMs: number): void {
    if (this.owner !== undefined) return
    if (this.world.memory.run(this.batch) > 0) {
      this.keeper.discard()
      this.link.close('log entries were damaged on their way')
      return
    }
    if (!this.keeper.commit()) return
    const { received, epoch } = this.keeper
    this.link.queue({ kind: FrameKind.ACKNOWLEDGE, epoch, sequence: received })
    if (!this.#health.usable) {
      this.#health.isGood()
      this.ownership.logChanged(nowMs, this.#health.facts())
    }
  }

  #own(nowMs: number, owner: Owner): boolean {
    const { ownership } = this
    const mirrored = ownership.mirrorRequired || this.#catchUp.isJoining
    this.#catchUp.step(nowMs, owner)
    if (!this.isServing) return false
    const more = owner.turn(nowMs, {
      mirrored,
      inSync: ownership.isRecordInSync && this.link.isUp,
      solo: !mirrored && ownership.maySoloAck,
    })
    this.#answerWaiting(owner)
    this.#quiesce.step(nowMs, owner)
    if (owner.returning.hasMoreDisks) this.#quiesce.openAnew(nowMs, owner)
    return more
  }

  #answerWaiting(owner: Owner): void {
    while (this.waiting.length > 0 && this.waiting[0]!.sequence <= owner.aggregate.acknowledged) {
      this.waiting.shift()!.answer()
    }
  }

  // --- becoming owner ------------------------------------------------------------------------------

  open(record: OwnerRecord, how: OpenReason, source: LogSource, branch?: BranchPoint): void {
    assert(this.owner === undefined && !this.#opening.isUnderWay, 'the role is taken once')
    const text = `aggregate ${this.settings.aggregate.name}: ${how}, epoch ${record.epoch}, log from ${source}`
    this.world.host.event('info', 'opening', text)
    this.link.close('this node becomes owner')
    this.#opening.letGo(this.diskLink.closing())
    const published = (generation: number, sequence: number): void => this.#published(generation, sequence)
    const word = { acceptsLoss: how === 'forced', branch }
    this.#opening.begin(ownerParts(this, this.#whose, record, word, published), source)
  }

  #stepOpening(nowMs: number): boolean {
    if (this.#diskEpoch.step()) this.ownership.logChanged(nowMs, this.#health.facts())
    const opened = this.#opening.step()
    if (opened === 'again') return true
    if (opened instanceof StoreError) this.#openFailed(nowMs, opened)
    else if (opened !== undefined) this.#opened(nowMs, opened)
    return false
  }

  #opened(nowMs: number, owner: Owner): void {
    this.owner = owner
    // a link that came up while it was opened was told to nobody
    if (this.link.isUp) owner.returning.linkUp(this.diskLink.isOutlived)
    this.#health.isGood()
    const { entries, contained, durationMs } = owner.recovery
    const text = `${entries} log entries after ${contained} replayed in ${Math.round(durationMs)} ms`
    this.world.host.event('info', 'replayed', text, { ...owner.recovery })
    this.ownership.logChanged(nowMs, this.#health.facts())
    this.ownership.opened(nowMs)
  }

  #openFailed(nowMs: number, error: StoreError): void {
    this.world.host.event('error', 'open failed', error.message)
    if (this.#health.learn(error)) this.ownership.logChanged(nowMs, this.#health.facts())
    this.ownership.openFailed(nowMs, error)
  }

  serve(record: OwnerRecord): void {
    assert(this.owner !== undefined, 'only an opened aggregate is served')
    assert(this.owner.aggregate.epoch === record.epoch, 'it serves in the epoch in which it was opened')
    this.owner.isQuiet = false
    this.#quiesce.cancel()
    this.isServing = true
    this.changed()
  }

  // --- ceasing to be owner -------------------------------------------------------------------------

  quiesce(): void {
    assert(this.owner !== undefined, 'only an owner has something to finish')
    this.#quiesce.begin(this.world.clock.now(), this.owner)
  }

  drop(reason: string): void {
    this.isServing = false
    // before connections are closed: clients come again at once, and should not be taken here any more
    this.changed()
    this.#opening.abandon(reason)
    this.#quiesce.cancel()
    this.#catchUp.reset()
    if (this.owner !== undefined) {
      this.#opening.letGo(this.owner.close(reason))
      this.owner = undefined
      this.world.host.event('warn', 'dropped', `aggregate ${this.settings.aggregate.name}: ${reason}`)
    }
    this.diskLink.giveUp()
    this.batch.clear()
    this.keeper = new Keeper(this.log, this.batch)
    this.link.close('this node is no longer owner')
    for (const waiter of this.waiting.splice(0)) waiter.answer()
  }

  handover(record: OwnerRecord, stays: boolean): void {
    this.link.queue({ kind: FrameKind.HANDOVER, epoch: record.epoch, count: stays ? 1 : 0 })
    this.link.pump()
  }

  keep(_record: OwnerRecord): void {
    this.changed()
  }

  #noticeStop(): void {
    if (this.ownership.state !== 'stopped' || this.isStopped) return
    this.changed()
    this.isStopped = true
  }

  /** It serves, or is about to: its copy of the log takes nothing from anybody else. */
  get #isOwner(): boolean {
    return this.owner !== undefined || this.#opening.isUnderWay
  }

  // --- the link ------------------------------------------------------------------------------------

  helloFacts(): Omit<HelloFacts, 'boot'> {
    const { ring, marks, incarnation } = this.log
    const isOwner = this.#isOwner
    const logState = !this.#health.usable ? 0 : marks.complete ? 2 : 1
    const epoch = isOwner ? this.ownership.epoch : marks.epoch
    return { state: isOwner ? 'owner' : 'keeper', epoch, logState, lastSequence: ring.head - 1, incarnation }
  }

  linkUp(partner: HelloFacts): void {
    const { state, epoch, logState } = partner
    this.#catchUp.reset()
    this.#noticeLinkDown(this.world.clock.now())
    // first: the link may be down again when the ownership has heard of it
    this.diskLink.linkUp()
    const facts = { state, epoch, logState, incarnation: identityText(partner.incarnation) }
    this.ownership.linkUp(this.world.clock.now(), facts)
    this.owner?.returning.linkUp(this.diskLink.isOutlived)
  }

  linkDown(_reason: string): void {
    this.#catchUp.reset()
    this.diskLink.linkDown()
    this.#linkWentDown = true
    this.world.host.wantLink(true)
  }

  frame(frame: FrameReader, input: Memory, payload: number): string | undefined {
    if (frame.kind === FrameKind.ACKNOWLEDGE)
      return this.#catchUp.isMirroring ? this.owner?.mirror.take(frame) : undefined
    if (frame.kind === FrameKind.DISK_DONE) return this.diskLink.take(frame, input, payload)
    if (this.#isOwner) return `a frame of kind ${frame.kind} came to the owner`
    const known = this.ownership.epoch
    if (frame.epoch < known) return `a frame of epoch ${frame.epoch} came, but the record is at ${known}`
    switch (frame.kind) {
      case FrameKind.BASE:
        if (this.#opening.isLeaving) return 'this node still has I/O of an earlier ownership in flight'
        this.#keep(this.world.clock.now())
        tellGivenUp(this)
        this.keeper.begin(frame)
        this.ownership.logChanged(this.world.clock.now(), this.#health.facts())
        return undefined
      case FrameKind.ENTRIES:
        return this.keeper.take(frame, input, payload)
      case FrameKind.RELEASE:
        // places are free only behind entries that are in the ring
        this.#keep(this.world.clock.now())
        this.keeper.release(frame)
        return undefined
      case FrameKind.HANDOVER:
        this.ownership.handedOver(this.world.clock.now(), frame.epoch, frame.count === 1)
        return undefined
      case FrameKind.DISK_OPEN:
        if (this.#opening.isLeaving) return 'this node still has I/O of an earlier ownership in flight'
        return this.diskLink.take(frame, input, payload)
      case FrameKind.DISK_READ:
      case FrameKind.DISK_WRITE:
      case FrameKind.DISK_FLUSH:
        return this.diskLink.take(frame, input, payload)
      default:
        return `a frame of kind ${frame.kind} came to the keeper`
    }
  }

  addEntries(gather: Gather): void {
    this.#catchUp.addEntries(gather, this.owner)
    this.diskLink.addFrames(gather)
  }

  sendEnded(): void {
    this.owner?.mirror.sendEnded()
  }

  #published(generation: number, sequence: number): void {
    this.#catchUp.release(this.ownership.epoch, sequence, generation)
    const text = `generation ${generation} contains the log through ${sequence}`
    this.world.host.event('info', 'consistency point', text)
  }

  // --- the control path ----------------------------------------------------------------------------

  /** A client from the handshake. It is closed if the aggregate is not served here (any more). */
  client(arrival: Omit<ClientArrival, 'byteLength'>): void {
    const { owner } = this
    const volume = owner?.aggregate.directory.get(arrival.volume)
    if (owner === undefined || !this.isServing || owner.isQuiet || volume === undefined)
      return arrival.stream.close()
    if (!owner.aggregate.sessions.admit({ ...arrival, byteLength: volume.size })) {
      const text = `a connection from ${arrival.stream.peer} is closed: limit reached`
      this.world.host.event('warn', 'too many clients', text)
      arrival.stream.close()
    }
  }

  request(request: number, name: string, body: unknown): void {
    try {
      handleRequest(this, request, name, body)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.answer(request, undefined, error)
    }
  }

  answer(request: number, result: unknown, error?: StoreError): void {
    this.world.host.answer(request, result, error)
  }

  changed(): void {
    this.world.host.serving(servingState(this))
  }
}
