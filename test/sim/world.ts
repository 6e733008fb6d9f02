import type { EngineSettings } from '../../ts/config/engine-settings.ts'
import { identityText } from '../../ts/format/identity.ts'
import type { OwnerRecord } from '../../ts/format/owner-record.ts'
import type { ArbiterPort } from '../../ts/ports/arbiter.ts'
import { Platter } from './disk.ts'
import { SimMemory } from './memory.ts'
import { SimNode } from './node.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { SimStream } from './stream.ts'

export const LINK_RETRY_MS = 20

export interface WorldOptions {
  readonly durability: 'pair' | 'vault'
  readonly logPages: number
  readonly diskByteLength: number
}

/**
 * Two nodes, an arbiter, shared disks and a network in one thread, from one seed. Nothing in here
 * depends on anything but the seed, so that a failing one replays exactly.
 */
export class SimWorld {
  readonly random: Random
  readonly scheduler = new Scheduler()
  readonly memory = new SimMemory()
  readonly castor: SimNode
  readonly pollux: SimNode
  record: OwnerRecord | undefined
  readonly events: string[] = []
  /** called after every turn of a node: where invariants are checked */
  check: (node: SimNode) => void = () => {}
  linkIsCut = false
  arbiterIsUnreachable = false
  readonly #platters = new Map<string, Platter>()
  readonly #options: WorldOptions
  readonly #identities = new Map<string, string>()
  readonly #links: SimStream[] = []
  #linkIsUp: [SimStream, SimStream] | undefined

  constructor(seed: number, options: WorldOptions) {
    this.random = new Random(seed)
    this.#options = options
    for (const name of ['pair', 'aggregate', 'castor', 'pollux']) {
      this.#identities.set(name, identityText(new Uint8Array(16).map(() => this.random.below(256))))
    }
    this.castor = new SimNode('castor', 'pollux', this)
    this.pollux = new SimNode('pollux', 'castor', this)
    this.#keepLinked()
  }

  get nodes(): [SimNode, SimNode] {
    return [this.castor, this.pollux]
  }

  get owner(): SimNode | undefined {
    return this.nodes.find((node) => node.serving.serves)
  }

  identity(name: string): string {
    return this.#identities.get(name)!
  }

  platter(path: string): Platter {
    let platter = this.#platters.get(path)
    if (platter === undefined) {
      platter = new Platter(this.#options.diskByteLength)
      this.#platters.set(path, platter)
    }
    return platter
  }

  settings(node: SimNode): Omit<EngineSettings, 'boot'> {
    const named = (name: string) => ({ name, identity: this.identity(name) })
    return {
      aggregate: { ...named('aggregate'), home: 'castor', disks: ['disk0'] },
      node: named(node.name),
      partner: named(node.partnerName),
      pair: this.identity('pair'),
      durability: this.#options.durability,
      logPages: this.#options.logPages,
      nvramDirectory: '/nvram',
      cacheByteLength: 1 << 20,
      leaseMs: 1000,
      leaseMarginMs: 200,
      heartbeatMs: 50,
      linkTimeoutMs: 300,
      partnerGraceMs: 300,
      takeover: 'automatic',
      cpIntervalMs: 200,
      cpFillMark: 0.4,
      connectionsMax: 16,
    }
  }

  start(node: SimNode): void {
    if (!node.isAlive) node.start(this.settings(node))
  }

  /** Runs until the condition holds. False: it did not within the time, in simulated milliseconds. */
  runUntil(condition: () => boolean, withinMs: number): boolean {
    const deadline = this.scheduler.nowMs + withinMs
    while (!condition()) {
      if (this.scheduler.nowMs > deadline || !this.scheduler.step()) return false
    }
    return true
  }

  runFor(durationMs: number): void {
    this.runUntil(() => false, durationMs)
  }

  afterTurn(node: SimNode): void {
    this.check(node)
  }

  event(node: SimNode, level: string, kind: string, text: string): void {
    this.events.push(`${this.scheduler.nowMs.toFixed(2)} ${node.name} ${level} ${kind}: ${text}`)
    if (this.events.length > 500) this.events.shift()
  }

  processDied(node: SimNode): void {
    for (const stream of this.#links) if (stream.peer !== node.name) stream.reset()
  }

  cutLink(): void {
    this.linkIsCut = true
    for (const stream of this.#linkIsUp ?? []) stream.isCut = true
  }

  mendLink(): void {
    this.linkIsCut = false
  }

  losePower(): void {
    for (const platter of this.#platters.values()) platter.losePower(this.random)
  }

  arbiterFor(node: SimNode, boot: number): ArbiterPort {
    const later = (answer: () => void): void => {
      this.scheduler.after(this.random.between(0.2, 3), () => {
        if (node.boot === boot) node.act(answer)
      })
    }
    return {
      read: (_aggregate, done) => {
        later(() => {
          if (this.arbiterIsUnreachable) return done({ kind: 'unreachable', reason: 'simulated' })
          done({ kind: 'record', record: structuredClone(this.record), holderGone: this.#holderGone() })
        })
      },
      swap: (_aggregate, expected, next, done) => {
        const wanted = structuredClone(next)
        this.scheduler.after(this.random.between(0.2, 3), () => {
          const lost = this.arbiterIsUnreachable
          // an unreachable arbiter may have applied the swap all the same
          const applied = (!lost || this.random.chance(0.5)) && this.record?.version === expected
          if (applied) this.record = { ...wanted, version: (expected ?? 0) + 1 }
          const { record } = this
          later(() => {
            if (lost) done({ kind: 'unreachable', reason: 'simulated' })
            else if (applied) done({ kind: 'swapped', record: structuredClone(record!) })
            else done({ kind: 'conflict', record: structuredClone(record) })
          })
        })
      },
    }
  }

  #holderGone(): boolean {
    const boot = this.record?.lease?.boot
    if (boot === undefined) return false
    return !this.nodes.some((node) => node.isAlive && node.bootText === boot)
  }

  /** The two main threads: they dial each other for as long as both engines want a link. */
  #keepLinked(): void {
    const both = this.nodes.every((node) => node.isAlive && node.wantsLink && !node.isPaused)
    const isUp = this.#linkIsUp?.every((stream) => !stream.isClosed && stream.ended === 'no') ?? false
    if (both && !isUp && !this.linkIsCut) {
      const [one, two] = SimStream.pair(
        ['pollux', this.castor.holder()],
        ['castor', this.pollux.holder()],
        this.scheduler,
        this.random,
      )
      this.#linkIsUp = [one, two]
      this.#links.push(one, two)
      for (const [node, stream] of [
        [this.castor, one],
        [this.pollux, two],
      ] as const) {
        node.act(() => node.engine!.link.open(stream, new Uint8Array(0), this.scheduler.nowMs))
      }
    }
    this.scheduler.after(LINK_RETRY_MS, () => this.#keepLinked())
  }
}
