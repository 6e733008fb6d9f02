import type { StoreError } from '../../../ts/base/errors.ts'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import type {
  LogFacts,
  LogSource,
  OpenReason,
  OwnershipEffects,
  TakeoverOptions,
} from '../../../ts/ha/facts.ts'
import { Ownership } from '../../../ts/ha/ownership.ts'
import type { ModelPair } from './pair-model.ts'

const LEASE_MS = 1000
const MARGIN_MS = 50
const GRACE_MS = 300

interface Ring {
  incarnation: string
  epoch: number
  entries: Set<number>
  complete: boolean
  lost: boolean
  damage: string
}

export interface Session {
  isUp: boolean
}

/** One node: a process that may be running, stopped for a while, or dead; and a ring that outlives it. */
export class ModelNode implements OwnershipEffects {
  readonly name: string
  readonly partner: string
  ownership: Ownership | undefined
  session: Session | undefined
  pausedUntilMs = 0
  readonly answers: { request: number; result: unknown; error: StoreError | undefined }[] = []
  ring: Ring
  readonly #pair: ModelPair
  #boot = ''
  #rate: number
  #waiting: (() => void)[] = []
  #work = 0
  #pending: { id: number; mirrored: boolean }[] = []
  #mirroring: Session | undefined
  /** the session since whose COMPLETE nothing is acknowledged without the partner */
  #demanding: Session | undefined
  #state = ''

  constructor(pair: ModelPair, name: string, partner: string) {
    this.#pair = pair
    this.name = name
    this.partner = partner
    this.#rate = 1 + (pair.random() - 0.5) / 100
    this.ring = this.#newRing(false)
  }

  get localMs(): number {
    return this.#pair.time.nowMs * this.#rate + 5000
  }

  get isPaused(): boolean {
    return this.#pair.time.nowMs < this.pausedUntilMs
  }

  get mayServe(): boolean {
    return this.ownership?.serves === true && this.ownership.fenceAtMs > this.localMs
  }

  get canLink(): boolean {
    const state = this.ownership?.state ?? 'stopped'
    return state !== 'stopped' && !this.isPaused && this.session === undefined
  }

  hasSession(session: Session): boolean {
    return this.session === session
  }

  facts() {
    const isOwner = this.ownership?.serves === true
    const { complete, lost, damage, incarnation, epoch } = this.ring
    const logState = lost || damage ? 0 : complete || isOwner ? 2 : 1
    return { state: isOwner ? 'owner' : 'keeper', epoch, logState, incarnation } as const
  }

  start(): void {
    const boot = this.#pair.newName()
    this.#boot = boot
    this.#pair.arbiter.alive.add(boot)
    const settings = {
      aggregate: 'a',
      node: this.name,
      partner: this.partner,
      home: 'castor',
      boot,
      leaseMs: LEASE_MS,
      marginMs: MARGIN_MS,
      partnerGraceMs: GRACE_MS,
      takeover: 'automatic',
      plexCount: 1,
      plexesHere: [0],
      plexesThere: [0],
      diskEpoch: () => this.#pair.imageEpoch,
    } as const
    const port = this.#pair.arbiter.port(this.name, () => this.#boot === boot)
    const ownership = new Ownership(settings, port, this)
    this.ownership = ownership
    ownership.start(this.localMs, this.#log())
  }

  /** kill -9; with `host` the NVRAM goes, too. */
  crash(host: boolean): void {
    this.#pair.arbiter.alive.delete(this.#boot)
    this.ownership = undefined
    this.#boot = ''
    this.#forget()
    this.session = undefined
    this.#waiting = []
    this.pausedUntilMs = 0
    if (!host) return
    this.ring = this.#newRing(true)
    this.#pair.count('lost ring')
  }

  linked(session: Session, partner: ReturnType<ModelNode['facts']>): void {
    this.session = session
    this.ownership?.linkUp(this.localMs, partner)
  }

  hangUp(session: Session): void {
    if (this.session !== session) return
    this.#soon(0, () => {
      if (this.session !== session) return
      this.session = undefined
      this.#mirroring = undefined
      this.#demanding = undefined
      this.ownership?.linkDown(this.localMs)
    })
  }

  takeover(request: number, options: Partial<TakeoverOptions>): void {
    const words = { force: false, acceptDataLoss: false, reason: 'a test', at: 'now', dryRun: false }
    this.ownership?.takeover(this.localMs, request, { ...words, ...options })
  }

  turn(): void {
    const ownership = this.ownership
    if (!ownership || this.isPaused) return
    const waiting = this.#waiting
    this.#waiting = []
    // a process that was stopped does not know it: whatever it had on its mind comes first
    for (const run of waiting) run()
    if (this.localMs >= ownership.nextWakeMs) ownership.tick(this.localMs)
    if (this.#mirroring !== this.session && ownership.wantsPartner(this.localMs)) this.#catchUp()
    if (ownership.serves) this.#serveClients(ownership)
  }

  damage(): void {
    if (this.ownership?.state !== 'keeper') return
    this.#pair.count('lost ring')
    this.ring.damage = 'entry 7 does not check'
    this.ownership.logChanged(this.localMs, this.#log())
  }

  open(record: OwnerRecord, how: OpenReason, log: LogSource): void {
    const pair = this.#pair
    pair.count(`${how} ${log}`)
    this.#work += 1
    this.#fenced(pair.random() * 60, () => {
      if (pair.random() < pair.openFailureRate) {
        this.#work += 1
        pair.count('open failed')
        return this.ownership?.openFailed(this.localMs, new Error('a disk is missing'))
      }
      this.#replay(record, how, log)
      this.#fenced(pair.random() * 60, () => {
        if (log !== 'ring') this.ring = { ...this.#newRing(false), incarnation: this.ring.incarnation }
        this.ring.epoch = record.epoch
        this.ring.complete = true
        this.ownership?.logChanged(this.localMs, this.#log())
        this.ownership?.opened(this.localMs)
      })
    })
  }

  keep(): void {
    this.#forget()
  }

  serve(): void {
    this.#work += 1
    this.#pair.count('serve')
  }

  quiesce(): void {
    this.#work += 1
    this.#fenced(this.#pair.random() * 80, () => {
      if (this.#pair.random() < 0.1) return this.ownership?.quiesceFailed(this.localMs, 'the disk failed')
      if (this.#pending.length > 0) return this.ownership?.quiesceFailed(this.localMs, 'requests hang')
      for (const entry of this.ring.entries) this.#pair.image.add(entry)
      this.ownership?.quiesced(this.localMs)
    })
  }

  drop(): void {
    this.#forget()
    const ownership = this.ownership
    this.#soon(20 + this.#pair.random() * 100, () => {
      if (this.ownership === ownership && ownership?.state === 'fenced') {
        this.#pair.count('fenced')
        ownership.rejoin(this.localMs, this.#log())
      }
    })
  }

  handover({ epoch }: OwnerRecord, stays: boolean): void {
    this.#pair.count('handed over')
    const session = this.session
    const other = this.#pair.other(this)
    this.#pair.time.after(this.#pair.random() * 10, () => {
      if (session?.isUp) other.#soon(0, () => other.ownership?.handedOver(other.localMs, epoch, stays))
    })
  }

  changed(): void {
    const state = this.ownership?.state ?? 'starting'
    if (state === this.#state) return
    this.#state = state
    this.#pair.count(state)
    this.#pair.onState(this, state)
    if (state === 'stopped') this.crash(false)
  }

  answer(request: number, result: unknown, error?: StoreError): void {
    this.answers.push({ request, result, error })
  }

  get #isLive(): boolean {
    return (this.ownership?.fenceAtMs ?? 0) > this.localMs
  }

  #newRing(lost: boolean): Ring {
    const incarnation = this.#pair.newName()
    return { incarnation, epoch: 0, entries: new Set(), complete: false, lost, damage: '' }
  }

  #log(): LogFacts {
    const { incarnation, epoch, complete, lost, damage } = this.ring
    const usable = !lost && damage === ''
    const { hasVault } = this.#pair
    const vault = { vaultPossible: hasVault, vaultCovers: hasVault ? 'always' : 'never' } as const
    return { incarnation, usable, complete, epoch, lost, damage, hasDamagedEntry: false, ...vault }
  }

  #forget(): void {
    this.#work += 1
    this.#pending = []
    this.#mirroring = undefined
    this.#demanding = undefined
  }

  /** Later, and only while this process lives and runs. */
  #soon(delayMs: number, run: () => void): void {
    const boot = this.#boot
    this.#pair.time.after(delayMs, () => {
      if (this.#boot === boot && boot !== '') this.#waiting.push(run)
    })
  }

  /** Work of an owner: not after a drop, and never past the fence, from which a renewal may still save it. */
  #fenced(delayMs: number, run: () => void): void {
    const work = this.#work
    this.#soon(delayMs, () => {
      if (this.#work !== work) return
      if (this.#isLive) run()
      else this.#fenced(5, run)
    })
  }

  #replay(record: OwnerRecord, how: OpenReason, log: LogSource): void {
    const { image, vault, acknowledged } = this.#pair
    const source = log === 'ring' ? this.ring.entries : log === 'vault' ? vault : []
    for (const entry of source) image.add(entry)
    this.#pair.imageEpoch = record.epoch
    const missing = [...acknowledged].filter((entry) => !image.has(entry))
    if (missing.length === 0) return
    const what = `${this.name} opened (${how}, ${log}) in epoch ${record.epoch}`
    if (how !== 'forced') throw new Error(`${what} without acknowledged ${missing.join(' ')}`)
    this.#pair.count('accepted loss')
    this.#pair.acknowledged = new Set([...acknowledged].filter((entry) => image.has(entry)))
  }

  #serveClients(ownership: Ownership): void {
    const pair = this.#pair
    if (pair.random() < 0.05) this.#write()
    if (pair.random() < 0.005 && this.#isLive) for (const entry of this.ring.entries) pair.image.add(entry)
    if (!this.mayServe) return
    this.#pending = this.#pending.filter(({ id, mirrored }) => {
      if (!mirrored && (this.#demanding || !ownership.maySoloAck)) return true
      pair.acknowledged.add(id)
      pair.count(mirrored ? 'acknowledged mirrored' : 'acknowledged solo')
      return false
    })
  }

  #write(): void {
    const entry = { id: this.#pair.newEntry(), mirrored: false }
    this.ring.entries.add(entry.id)
    this.#pair.vault.add(entry.id)
    this.#pending.push(entry)
    const session = this.#mirroring
    if (session)
      this.#send(
        session,
        (other) => other.ring.entries.add(entry.id),
        () => (entry.mirrored = true),
      )
  }

  /** Over the link in order: there, and back again. */
  #send(session: Session, there: (other: ModelNode) => void, back: () => void): void {
    const { time } = this.#pair
    const other = this.#pair.other(this)
    time.after(3, () => {
      if (!session.isUp) return
      other.#soon(0, () => {
        if (other.session !== session) return
        there(other)
        time.after(3, () => {
          if (session.isUp) this.#soon(0, () => (this.session === session ? back() : undefined))
        })
      })
    })
  }

  /** What an owner does that wants its partner: that copy starts afresh, gets all and is called complete. */
  #catchUp(): void {
    const session = this.session
    const epoch = this.ownership?.epoch ?? 0
    if (!session) return
    const entries = new Set(this.ring.entries)
    let incarnation = ''
    const base = (other: ModelNode) => {
      other.ring = { ...other.ring, entries, epoch, complete: false, lost: false, damage: '' }
      other.ownership?.logChanged(other.localMs, other.#log())
    }
    this.#mirroring = session
    this.#send(session, base, () => {
      if (!this.ownership?.wantsPartner(this.localMs)) return
      const complete = (other: ModelNode) => {
        other.ring.complete = true
        incarnation = other.ring.incarnation
        other.ownership?.logChanged(other.localMs, other.#log())
      }
      // what was acknowledged alone until now was sent before, so it is there when this comes back
      this.#demanding = session
      this.#send(session, complete, () => this.ownership?.partnerComplete(this.localMs, incarnation))
    })
  }
}
