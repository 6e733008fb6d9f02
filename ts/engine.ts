import { assert } from './base/assert.ts'
import { isStoreError, StoreError } from './base/errors.ts'
import type { Gather } from './base/gather.ts'
import { MemoryBatch } from './base/memory-batch.ts'
import type { Procedure } from './base/procedure.ts'
import type { EngineSettings } from './config/engine-settings.ts'
import { Link, type LinkUser } from './engine/link.ts'
import { Owner } from './engine/owner.ts'
import { handleRequest } from './engine/requests.ts'
import type { Client } from './flow/client.ts'
import { identityFromText, identityText } from './format/identity.ts'
import { FrameKind } from './format/link-frame.ts'
import type { OwnerRecord } from './format/owner-record.ts'
import type { LogFacts, LogSource, OpenReason, OwnershipEffects } from './ha/facts.ts'
import { Ownership } from './ha/ownership.ts'
import { LogCopy, type LogOwnership } from './log/copy.ts'
import type { FrameReader } from './partner/frame.ts'
import type { HelloFacts } from './partner/hello.ts'
import { Keeper } from './partner/keeper.ts'
import type { Memory } from './ports/memory.ts'
import type { Stream } from './ports/stream.ts'
import type { World } from './ports/world.ts'
import { peekEpoch } from './volume/image.ts'

const QUIESCE_MS = 15_000

/** A client whose handshake is over. */
export interface Arrival {
  readonly stream: Stream
  readonly volume: number
  readonly readOnly: boolean
  readonly structured: boolean
  readonly leftover: Uint8Array
}

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
  readonly #whose: LogOwnership
  #logUsable: boolean
  #logDamage: string
  #opening: Procedure<Owner> | undefined
  #quiesce: { deadlineMs: number } | undefined
  /** the partner's copy has been begun in this session of the link */
  #mirroring = false
  /** acknowledgements wait for the partner already, although the record does not say so yet */
  #joining = false
  /** control requests that wait for their log entry to be acknowledged */
  readonly waiting: { sequence: number; answer: () => void }[] = []
  #fencedAtMs = 0
  #linkWentDown = false
  #diskEpoch: number | string = 'the disks have not been looked at yet'
  #peeking: Procedure<number> | undefined

  constructor(world: World, settings: EngineSettings) {
    this.world = world
    this.settings = settings
    this.#whose = {
      pair: identityOf(settings.pair),
      aggregate: identityOf(settings.aggregate.identity),
      node: identityOf(settings.node.identity),
    }
    this.log = LogCopy.open(world, settings.aggregate.name, settings.logPages, this.#whose)
    this.#logUsable = !this.log.lost && this.log.damage === ''
    this.#logDamage = this.log.damage
    if (this.log.damage !== '') world.host.event('error', 'log damaged', this.log.damage)
    this.keeper = new Keeper(this.log, this.batch)
    const { leaseMs, leaseMarginMs, partnerGraceMs, takeover, boot } = settings
    this.ownership = new Ownership(
      {
        aggregate: settings.aggregate.name,
        node: settings.node.name,
        partner: settings.partner.name,
        home: settings.aggregate.home,
        boot,
        leaseMs,
        marginMs: leaseMarginMs,
        partnerGraceMs,
        takeover,
        diskEpoch: () => this.#diskEpoch,
      },
      world.arbiter,
      this,
    )
    const times = { heartbeatMs: settings.heartbeatMs, timeoutMs: settings.linkTimeoutMs }
    this.link = new Link(world.memory, linkIdentity(settings, this.#whose), times, world.host, this)
  }

  start(): void {
    this.ownership.start(this.world.clock.now(), this.#logFacts())
    this.world.host.wantLink(true)
    this.#peeking = peekEpoch(this.world, this.settings.aggregate.disks, {
      pair: this.settings.pair,
      aggregate: this.settings.aggregate.identity,
    })
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
    const opening = this.#stepOpening(nowMs)
    let more = opening
    if (this.owner !== undefined && this.isServing) more = this.#own(nowMs, this.owner) || more
    this.link.rearm()
    this.link.tick(nowMs, this.ownership.epoch)
    this.link.pump()
    this.#afterFence(nowMs)
    return more
  }

  /** When the next turn is due, if nothing happens before. */
  nextWakeMs(): number {
    const nowMs = this.world.clock.now()
    const owner =
      this.isServing && this.owner !== undefined ? this.owner.nextWakeMs(nowMs) : Number.POSITIVE_INFINITY
    const quiesce = this.#quiesce === undefined ? Number.POSITIVE_INFINITY : nowMs + 20
    const fenced = this.#fencedAtMs === 0 ? Number.POSITIVE_INFINITY : this.#fencedAtMs
    return Math.min(this.ownership.nextWakeMs, this.link.nextWakeMs(), owner, quiesce, fenced)
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
      this.link.close('log entries were damaged on their way')
      return
    }
    if (!this.keeper.commit()) return
    const { received, epoch } = this.keeper
    this.link.queue({ kind: FrameKind.ACKNOWLEDGE, epoch, sequence: received })
    if (!this.#logUsable) {
      this.#logUsable = true
      this.#logDamage = ''
      this.ownership.logChanged(nowMs, this.#logFacts())
    }
  }

  #own(nowMs: number, owner: Owner): boolean {
    const { ownership } = this
    const mirrored = ownership.mirrorRequired || this.#joining
    this.#catchUp(nowMs, owner)
    const more = owner.turn(nowMs, { mirrored, solo: !mirrored && ownership.maySoloAck })
    this.#answerWaiting(owner)
    this.#stepQuiesce(nowMs, owner)
    return more
  }

  /** Brings the partner's copy up to date, in the order: begin, send, wait for it, say so to the arbiter. */
  #catchUp(nowMs: number, owner: Owner): void {
    const { partner } = this.link
    if (partner === undefined || partner.state !== 'keeper') return
    if (!this.#mirroring) {
      if (!this.ownership.maySoloAck) return
      this.#mirroring = true
      owner.mirror.start(partner.incarnation)
      this.#sendBase(owner)
    } else if (owner.mirror.hasFallenBehind && this.ownership.mirrorRequired) {
      // cannot be, since the tail waits for a partner that is in sync; a new session settles it in order
      return this.link.close('the partner lacks entries that are no longer in the log')
    } else if (owner.mirror.hasFallenBehind && !owner.mirror.isSending) {
      owner.mirror.restart()
      this.#sendBase(owner)
    }
    if (this.ownership.mirrorRequired) return
    if (!this.#joining && owner.mirror.isCaughtUp && this.ownership.state === 'syncing') this.#joining = true
    if (this.#joining && owner.mirror.acknowledged >= owner.aggregate.acknowledged) {
      this.ownership.partnerComplete(nowMs, identityText(partner.incarnation))
      if (this.ownership.mirrorRequired) this.#joining = false
    }
  }

  #sendBase(owner: Owner): void {
    const { epoch, image } = owner.aggregate
    const { base } = owner.mirror
    this.link.queue({ kind: FrameKind.BASE, epoch, sequence: base, generation: image.generation })
  }

  #answerWaiting(owner: Owner): void {
    while (this.waiting.length > 0 && this.waiting[0]!.sequence <= owner.aggregate.acknowledged) {
      this.waiting.shift()!.answer()
    }
  }

  // --- becoming owner ------------------------------------------------------------------------------

  open(record: OwnerRecord, how: OpenReason, source: LogSource): void {
    assert(this.owner === undefined && this.#opening === undefined, 'the role is taken once')
    const { world, settings, log } = this
    world.host.event(
      'info',
      'opening',
      `aggregate ${settings.aggregate.name}: ${how}, epoch ${record.epoch}, log from ${source}`,
    )
    this.link.close('this node becomes owner')
    this.#opening = Owner.open(
      {
        world,
        settings,
        log,
        whose: this.#whose,
        epoch: record.epoch,
        node: this.#whose.node,
        stillOwner: () => this.ownership.fenceAtMs > world.clock.now(),
        surroundings: {
          requestConsistencyPoint: (why) => this.owner?.consistency.request(why),
          clientGone: (client, reason) => this.#clientGone(client, reason),
        },
        consistencyEvents: {
          published: (generation, sequence) => this.#published(generation, sequence),
          failed: (error, retryMs) =>
            world.host.event(
              'error',
              'consistency point failed',
              `${error.message}; next try in ${retryMs} ms`,
            ),
        },
      },
      source,
    )
  }

  #stepOpening(nowMs: number): boolean {
    if (this.#peeking !== undefined) this.#peek(nowMs)
    if (this.#opening === undefined) return false
    try {
      const { done, value } = this.#opening.next()
      if (!done) return value === 'again'
      this.#opening = undefined
      this.owner = value
      this.#logUsable = true
      this.#logDamage = ''
      const { recovery } = value
      const text = `${recovery.entries} log entries after ${recovery.contained} replayed in ${Math.round(recovery.durationMs)} ms`
      this.world.host.event('info', 'replayed', text, { ...recovery })
      this.ownership.logChanged(nowMs, this.#logFacts())
      this.ownership.opened(nowMs)
    } catch (error) {
      this.#openFailed(nowMs, error)
    }
    return false
  }

  #openFailed(nowMs: number, error: unknown): void {
    if (!(error instanceof StoreError)) throw error
    this.#opening = undefined
    this.world.host.event('error', 'open failed', error.message)
    if (isStoreError(error, 'LOG_DAMAGED')) {
      this.#logUsable = false
      this.#logDamage = error.message
      this.ownership.logChanged(nowMs, this.#logFacts())
    }
    this.ownership.openFailed(nowMs, error)
  }

  #peek(nowMs: number): void {
    try {
      const { done, value } = this.#peeking!.next()
      if (!done) return
      this.#diskEpoch = value
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#diskEpoch = error.message
    }
    this.#peeking = undefined
    this.ownership.logChanged(nowMs, this.#logFacts())
  }

  serve(record: OwnerRecord): void {
    assert(this.owner !== undefined, 'only an opened aggregate is served')
    assert(this.owner.aggregate.epoch === record.epoch, 'it serves in the epoch in which it was opened')
    this.owner.isQuiet = false
    this.#quiesce = undefined
    this.isServing = true
    this.changed()
  }

  // --- ceasing to be owner -------------------------------------------------------------------------

  quiesce(): void {
    assert(this.owner !== undefined, 'only an owner has something to finish')
    const deadlineMs = this.world.clock.now() + QUIESCE_MS
    const quiesce = { deadlineMs }
    this.#quiesce = quiesce
    // most of the work is done while clients are still served; what came meanwhile follows in a second one
    this.owner.consistency.resume()
    this.owner.consistency.complete((error) => {
      if (this.#quiesce !== quiesce || error !== undefined) return
      this.owner!.isQuiet = true
    })
  }

  #stepQuiesce(nowMs: number, owner: Owner): void {
    const quiesce = this.#quiesce
    if (quiesce === undefined) return
    if (nowMs > quiesce.deadlineMs) {
      this.#quiesce = undefined
      owner.isQuiet = false
      return this.ownership.quiesceFailed(nowMs, 'a consistency point did not end in time')
    }
    if (!owner.isQuiet || !owner.isSettled || owner.consistency.isRunning) return
    if (owner.aggregate.image.lastSequence < owner.aggregate.ring.head - 1) {
      return owner.consistency.request('ownership is about to end')
    }
    this.#quiesce = undefined
    this.ownership.quiesced(nowMs)
  }

  drop(reason: string): void {
    const wasOwner = this.owner !== undefined
    this.isServing = false
    this.#opening = undefined
    this.#quiesce = undefined
    this.#mirroring = false
    this.#joining = false
    this.owner?.close(reason)
    this.owner = undefined
    this.batch.clear()
    this.keeper = new Keeper(this.log, this.batch)
    this.link.close('this node is no longer owner')
    for (const waiter of this.waiting.splice(0)) waiter.answer()
    if (wasOwner)
      this.world.host.event('warn', 'dropped', `aggregate ${this.settings.aggregate.name}: ${reason}`)
    this.changed()
  }

  handover(record: OwnerRecord): void {
    this.link.queue({ kind: FrameKind.HANDOVER, epoch: record.epoch })
    this.link.pump()
  }

  keep(_record: OwnerRecord): void {
    this.changed()
  }

  /** After a fence everything was let go of; a moment later this node comes back as a keeper. */
  #afterFence(nowMs: number): void {
    if (this.ownership.state === 'stopped') {
      if (!this.isStopped) this.changed()
      this.isStopped = true
      return
    }
    if (this.ownership.state !== 'fenced') {
      this.#fencedAtMs = 0
    } else if (this.#fencedAtMs === 0) {
      this.#fencedAtMs = nowMs + 100
      this.world.host.event(
        'error',
        'fenced',
        `this node was fenced: ${this.ownership.reason}; it writes nothing more as owner`,
      )
    } else if (nowMs >= this.#fencedAtMs) {
      this.#fencedAtMs = 0
      // its copy of the log is as good as before, until the new owner says in the record that it is not
      this.ownership.rejoin(nowMs, this.#logFacts())
    }
  }

  // --- the link ------------------------------------------------------------------------------------

  helloFacts(): Omit<HelloFacts, 'boot'> {
    const { ring, marks, incarnation } = this.log
    const isOwner = this.owner !== undefined || this.#opening !== undefined
    const logState = !this.#logUsable ? 0 : marks.complete ? 2 : 1
    const epoch = isOwner ? this.ownership.epoch : marks.epoch
    return { state: isOwner ? 'owner' : 'keeper', epoch, logState, lastSequence: ring.head - 1, incarnation }
  }

  linkUp(partner: HelloFacts): void {
    const { state, epoch, logState } = partner
    this.#mirroring = false
    this.#joining = false
    const incarnation = identityText(partner.incarnation)
    this.#noticeLinkDown(this.world.clock.now())
    this.ownership.linkUp(this.world.clock.now(), { state, epoch, logState, incarnation })
  }

  linkDown(_reason: string): void {
    this.#mirroring = false
    this.#joining = false
    this.owner?.mirror.sendEnded()
    this.#linkWentDown = true
    this.world.host.wantLink(true)
  }

  frame(frame: FrameReader, input: Memory, payload: number): string | undefined {
    if (frame.kind === FrameKind.ACKNOWLEDGE)
      return this.#mirroring ? this.owner?.mirror.take(frame) : undefined
    if (this.owner !== undefined) return `a frame of kind ${frame.kind} came to the owner`
    const known = this.ownership.epoch
    if (frame.epoch < known) return `a frame of epoch ${frame.epoch} came, but the record is at ${known}`
    switch (frame.kind) {
      case FrameKind.BASE:
        this.#keep(this.world.clock.now())
        this.keeper.begin(frame)
        this.ownership.logChanged(this.world.clock.now(), this.#logFacts())
        return undefined
      case FrameKind.ENTRIES:
        return this.keeper.take(frame, input, payload)
      case FrameKind.RELEASE:
        // places are free only behind entries that are in the ring
        this.#keep(this.world.clock.now())
        this.keeper.release(frame)
        return undefined
      case FrameKind.HANDOVER:
        this.ownership.handedOver(this.world.clock.now())
        return undefined
      default:
        return `a frame of kind ${frame.kind} came to the keeper`
    }
  }

  addEntries(gather: Gather): void {
    if (this.#mirroring) this.owner?.mirror.addEntries(gather)
  }

  sendEnded(): void {
    this.owner?.mirror.sendEnded()
  }

  #published(generation: number, sequence: number): void {
    const { epoch } = this.ownership
    if (this.#mirroring) this.link.queue({ kind: FrameKind.RELEASE, epoch, sequence, generation })
    this.world.host.event(
      'info',
      'consistency point',
      `generation ${generation} contains the log through ${sequence}`,
    )
  }

  // --- the control path ----------------------------------------------------------------------------

  /** A client from the handshake. It is closed if the aggregate is not served here (any more). */
  client(arrival: Arrival): void {
    const { owner } = this
    const volume = owner?.aggregate.directory.get(arrival.volume)
    if (owner === undefined || !this.isServing || owner.isQuiet || volume === undefined)
      return arrival.stream.close()
    if (!owner.aggregate.admitClient({ ...arrival, byteLength: volume.size })) {
      this.world.host.event(
        'warn',
        'too many clients',
        `a connection from ${arrival.stream.peer} is closed: limit reached`,
      )
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
    const { owner } = this
    const serves = this.isServing && owner !== undefined
    const volumes = serves ? owner.aggregate.directory.list() : []
    this.world.host.serving({
      serves,
      because: serves ? '' : (this.ownership?.reason ?? ''),
      volumes: volumes.map(({ volume, name, size }) => ({ volume, name, size })),
    })
  }

  #clientGone(client: Client, reason: string): void {
    this.world.host.event('info', 'client gone', `client ${client.peer}: ${reason}`)
  }

  #logFacts(): LogFacts {
    const { log } = this
    return {
      incarnation: log.incarnationText,
      usable: this.#logUsable,
      complete: log.marks.complete,
      epoch: log.marks.epoch,
      lost: log.lost && !this.#logUsable,
      damage: this.#logDamage,
      vaultPossible: this.settings.durability !== 'nvram',
    }
  }
}

function identityOf(text: string): Uint8Array {
  const identity = identityFromText(text)
  assert(identity !== undefined, 'the configuration has checked all identities')
  return identity
}

function linkIdentity(settings: EngineSettings, whose: LogOwnership): ConstructorParameters<typeof Link>[1] {
  return {
    pair: whose.pair,
    aggregate: whose.aggregate,
    aggregateName: settings.aggregate.name,
    node: whose.node,
    nodeName: settings.node.name,
    partner: identityOf(settings.partner.identity),
    partnerName: settings.partner.name,
    boot: identityOf(settings.boot),
    pageCount: settings.logPages,
  }
}
