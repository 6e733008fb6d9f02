import { MIB } from '../../../ts/base/units.ts'
import type { Durability, EngineSettings } from '../../../ts/config/engine-settings.ts'
import { identityText } from '../../../ts/format/identity.ts'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import type { ArbiterPort } from '../../../ts/ports/arbiter.ts'
import { Mappings, SimMemory } from '../memory.ts'
import { ScopeNode } from './node.ts'
import type { Platter } from './platter.ts'
import { ScopeStream } from './stream.ts'

export const DISK_BYTES = 14 * MIB
const LOG_PAGES = 256
/** A world that ends gives all of its memory to the next. */
export const mappings = new Mappings()
/** Much longer than any run: what comes before is stuck. */
const ROUNDS_MAX = 20_000

const identityOf = (fill: number): string => identityText(new Uint8Array(16).fill(fill))
export const identities = {
  pair: identityOf(1),
  aggregate: identityOf(2),
  castor: identityOf(3),
  pollux: identityOf(4),
}

/** All that outlives a crash of both nodes. */
export interface Remains {
  readonly platter: Platter
  readonly record: OwnerRecord | undefined
  /** the bytes of each node's ring, undefined if they were lost */
  readonly rings: { readonly castor: Uint8Array | undefined; readonly pollux: Uint8Array | undefined }
}

/**
 * A pair without delays, chance or faults, and small enough to be crashed and opened again at every
 * single write. Time moves only when nothing else can happen.
 */
export class ScopeWorld {
  nowMs = 1000
  readonly memory = new SimMemory(mappings)
  readonly platter: Platter
  readonly castor: ScopeNode
  readonly pollux: ScopeNode
  record: OwnerRecord | undefined
  readonly events: string[] = []
  /** called right after a write or a flush has had its effect, before anybody hears of it */
  onDisk: (what: 'write' | 'flush') => void = () => {}
  readonly durability: Durability
  #link: [ScopeStream, ScopeStream] | undefined
  #random: number

  /** `lifetime`: what is drawn in one life of a world must not be drawn again in the next. */
  constructor(remains: Remains, durability: Durability, lifetime: number) {
    this.platter = remains.platter
    this.record = remains.record
    this.durability = durability
    this.#random = lifetime * 0x9e3779b1
    this.castor = this.#node('castor', remains)
    this.pollux = this.#node('pollux', remains)
  }

  #node(name: 'castor' | 'pollux', { rings }: Remains): ScopeNode {
    const node = new ScopeNode(name, this)
    const ring = rings[name]
    if (ring !== undefined) {
      node.nvram = this.memory.allocate(ring.length)
      node.nvram.bytes.set(ring)
    }
    return node
  }

  get nodes(): readonly [ScopeNode, ScopeNode] {
    return [this.castor, this.pollux]
  }

  get owner(): ScopeNode | undefined {
    return this.nodes.find((node) => node.serving.serves)
  }

  get isInSync(): boolean {
    return this.owner?.engine?.ownership.state === 'serving-mirrored'
  }

  other(node: ScopeNode): ScopeNode {
    return node === this.castor ? this.pollux : this.castor
  }

  start(node: ScopeNode): void {
    const other = this.other(node).name as 'castor' | 'pollux'
    node.start(settingsOf(node.name as 'castor' | 'pollux', other, this.durability))
  }

  dispose(): void {
    this.memory.giveBackAll()
  }

  /** Everything goes on until the condition holds. False: it never will. */
  runUntil(condition: () => boolean, withinMs = 30_000): boolean {
    const deadlineMs = this.nowMs + withinMs
    for (let rounds = 0; !condition(); rounds += 1) {
      if (rounds > ROUNDS_MAX) return false
      if (this.#round() || this.#dial()) continue
      const wakeMs = Math.min(
        ...this.nodes.map((node) => node.engine?.nextWakeMs() ?? Number.POSITIVE_INFINITY),
      )
      if (wakeMs > deadlineMs) return false
      this.nowMs = Math.max(this.nowMs + 0.01, wakeMs)
    }
    return true
  }

  #round(): boolean {
    const moved = this.nodes.map((node) => node.step())
    return moved.includes(true)
  }

  /** The nodes dial each other once all that an earlier connection has set off is over. */
  #dial(): boolean {
    const both = this.nodes.every((node) => node.engine !== undefined && node.wantsLink)
    if (!both || (this.#link?.every((end) => end.isUp) ?? false)) return false
    const { castor, pollux } = this
    this.#link = ScopeStream.pair(['pollux', castor.holder()], ['castor', pollux.holder()])
    for (const [index, node] of this.nodes.entries()) {
      node.engine!.link.open(this.#link[index]!, new Uint8Array(0), this.nowMs)
      node.wake()
    }
    return true
  }

  processDied(node: ScopeNode): void {
    this.#link?.[node === this.castor ? 0 : 1].reset()
  }

  arbiterFor(node: ScopeNode): ArbiterPort {
    return {
      read: (_aggregate, done) =>
        node.later(() => done({ kind: 'record', record: this.record, holderGone: this.#holderGone() })),
      swap: (_aggregate, expected, next, done) =>
        node.later(() => {
          if (this.record?.version !== expected) return done({ kind: 'conflict', record: this.record })
          this.record = { ...structuredClone(next), version: (expected ?? 0) + 1 }
          done({ kind: 'swapped', record: this.record })
        }),
    }
  }

  #holderGone(): boolean {
    const boot = this.record?.lease?.boot
    return boot !== undefined && this.nodes.every((node) => node.bootText !== boot)
  }

  randomBytes(bytes: Uint8Array): Uint8Array {
    for (let i = 0; i < bytes.length; i += 1) {
      this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0
      bytes[i] = this.#random >>> 24
    }
    return bytes
  }
}

export function settingsOf(
  name: 'castor' | 'pollux',
  partner: 'castor' | 'pollux',
  durability: Durability,
): Omit<EngineSettings, 'boot'> {
  return {
    aggregate: { name: 'aggregate', identity: identities.aggregate, home: 'castor', plexes: [['disk0']] },
    node: { name, identity: identities[name] },
    partner: { name: partner, identity: identities[partner] },
    pair: identities.pair,
    durability,
    logPages: LOG_PAGES,
    nvramDirectory: '/nvram',
    cacheByteLength: 1 * MIB,
    leaseMs: 1000,
    leaseMarginMs: 200,
    heartbeatMs: 100,
    linkTimeoutMs: 300,
    partnerGraceMs: 100,
    plexTimeoutMs: 1e9,
    takeover: 'automatic',
    // consistency points are taken by the sequence, and by nothing else
    cpIntervalMs: 1e9,
    cpFillMark: 0.9,
    connectionsMax: 4,
    scrubIntervalMs: 0,
    scrubByteRate: 1 << 30,
  }
}
