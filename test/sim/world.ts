import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { EngineSettings } from '../../ts/config/engine-settings.ts'
import { layOutZones } from '../../ts/disk/zones.ts'
import { identityText } from '../../ts/format/identity.ts'
import { logLayout, vaultByteLengthOf } from '../../ts/format/log-ring.ts'
import type { OwnerRecord } from '../../ts/format/owner-record.ts'
import { Added } from './added.ts'
import { SimArbiter } from './arbiter.ts'
import type { SimEngine } from './engine-host.ts'
import { Losses } from './losses.ts'
import { Mappings, SimMemory } from './memory.ts'
import { Network } from './network.ts'
import { SimNode } from './node.ts'
import { Platter } from './platter.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'

export interface WorldOptions {
  readonly durability: 'pair' | 'vault' | 'nvram'
  readonly logPages: number
  readonly diskByteLength: number
  /** one or two; the second one's home is pollux, so that both nodes own one at once */
  readonly aggregateCount?: 1 | 2
  readonly cpIntervalMs?: number
  readonly cpFillMark?: number
  /** volumes promise more than there is: writes may find no space */
  readonly isTight?: boolean
  readonly scrubIntervalMs?: number
  readonly scrubByteRate?: number
  /** each aggregate has two plexes, with one disk each */
  readonly isMirrored?: boolean
  /** nothing is shared: castor alone reaches plex 0, pollux alone plex 1 */
  readonly isApart?: boolean
  /** of two plexes, one may lose anything, and the other one nothing: all has to be healed from there */
  readonly provesHealing?: boolean
  /** in the course of a seed, each plex gets one more disk */
  readonly addsDisks?: boolean
}

export interface AggregateWorld {
  readonly place: number
  readonly name: string
  readonly home: 'castor' | 'pollux'
  /** of plex 0 and, if there is one, of plex 1 */
  readonly disks: readonly [string] | readonly [string, string]
  /** the plex to which all damage is done, if the other one has to make up for it */
  readonly losingPlex: number | undefined
}

const AGGREGATES = [
  { place: 0, name: 'aggregate', home: 'castor', disks: ['disk0', 'disk0b'] },
  { place: 1, name: 'second', home: 'pollux', disks: ['disk1', 'disk1b'] },
] as const

const EVENTS_KEPT = 500

/** Worlds follow each other, and use what earlier ones had. */
const mappings = new Mappings()

/**
 * Two nodes, an arbiter, shared disks and a network in one thread, from one seed. Nothing in here
 * depends on anything but the seed, so that a failing one replays exactly.
 */
export class SimWorld {
  readonly random: Random
  readonly scheduler = new Scheduler()
  readonly mappings = mappings
  readonly memory = new SimMemory(mappings)
  readonly options: WorldOptions
  readonly aggregates: readonly AggregateWorld[]
  readonly castor: SimNode
  readonly pollux: SimNode
  readonly nodes: readonly [SimNode, SimNode]
  readonly arbiter: SimArbiter
  readonly network: Network
  readonly events: string[] = []
  /** called after every turn of an engine: where invariants are checked */
  check: (node: SimNode, host: SimEngine) => void = () => {}
  /** called when an engine lets something out to a client */
  answered: (host: SimEngine) => void = () => {}
  /** called with every event that an engine tells */
  heard: (host: SimEngine, kind: string, text: string, facts?: Record<string, unknown>) => void = () => {}
  /** every event as it comes, for people */
  tell: ((line: string) => void) | undefined
  /** on every disk, these blocks hold what superblocks reach; before them: labels, maps, vault */
  readonly blocksFrom: number
  readonly blocksEnd: number
  /** a disk has lied and lost: nothing is promised any more but that what is shown is right */
  isDoomed = false
  /** disks in whose place a blank one has come */
  disksLost = 0
  /** disks that were added to each plex, and what the settings of a node list from its next start on */
  readonly added: Added
  readonly #platters = new Map<string, Platter>()
  readonly #losses = new Map<string, Losses>()
  readonly #identities = new Map<string, string>()

  constructor(seed: number, options: WorldOptions) {
    mappings.giveBackAll()
    this.random = new Random(seed)
    this.options = options
    for (const name of ['pair', 'aggregate', 'second', 'castor', 'pollux']) {
      this.#identities.set(name, identityText(new Uint8Array(16).map(() => this.random.below(256))))
    }
    const vaultByteLength = vaultByteLengthOf(logLayout(options.logPages))
    const { blocksAt, blockCount } = layOutZones('disk', options.diskByteLength, vaultByteLength)
    this.blocksFrom = blocksAt / BLOCK_SIZE
    this.blocksEnd = this.blocksFrom + blockCount
    this.aggregates = AGGREGATES.slice(0, options.aggregateCount ?? 1).map(({ disks, ...aggregate }) => ({
      ...aggregate,
      disks: options.isMirrored ? disks : [disks[0]],
      losingPlex: options.provesHealing ? this.random.below(2) : undefined,
    }))
    for (const aggregate of this.aggregates) this.#losses.set(aggregate.name, new Losses(this, aggregate))
    this.added = new Added(this)
    this.castor = new SimNode('castor', 'pollux', this)
    this.pollux = new SimNode('pollux', 'castor', this)
    this.nodes = [this.castor, this.pollux]
    this.arbiter = new SimArbiter(this)
    this.network = new Network(this)
    for (const { disks, losingPlex } of this.aggregates) {
      if (losingPlex !== undefined) this.platter(disks[losingPlex]!).losesAnything = true
    }
  }

  get isTight(): boolean {
    return this.options.isTight ?? false
  }

  /** All engines of living processes. */
  hosts(): SimEngine[] {
    return [...this.castor.hosts, ...this.pollux.hosts]
  }

  hostsOf({ place }: AggregateWorld): SimEngine[] {
    return this.nodes.flatMap(({ hosts }) => hosts[place] ?? [])
  }

  /** The engine that says that it serves this aggregate. */
  serverOf(aggregate: AggregateWorld): SimEngine | undefined {
    for (const { hosts } of this.nodes) {
      const host = hosts[aggregate.place]
      if (host?.serving.serves) return host
    }
    return undefined
  }

  recordOf(aggregate: AggregateWorld): OwnerRecord | undefined {
    return this.arbiter.records.get(aggregate.name)
  }

  lossesOf(aggregateName: string): Losses | undefined {
    return this.#losses.get(aggregateName)
  }

  /** The plexes that the arbiter's record calls in sync, whatever the nodes know of it. */
  plexesInSync(aggregate: AggregateWorld): number[] {
    const record = this.recordOf(aggregate)
    const states = record === undefined ? [] : [record.plex0, record.plex1]
    return [...aggregate.disks.keys()].filter((plex) => (states[plex] ?? 'in-sync') === 'in-sync')
  }

  // The first aggregate's, for worlds that have only one.
  get owner(): SimNode | undefined {
    return this.nodes.find((node) => node.serving.serves)
  }

  get record(): OwnerRecord | undefined {
    return this.recordOf(this.aggregates[0]!)
  }

  set arbiterIsUnreachable(isUnreachable: boolean) {
    if (isUnreachable) for (const { name } of this.nodes) this.arbiter.unreachableFrom.add(name)
    else this.arbiter.unreachableFrom.clear()
  }

  identity(name: string): string {
    return this.#identities.get(name)!
  }

  platter(path: string): Platter {
    let platter = this.#platters.get(path)
    if (platter === undefined) {
      platter = new Platter(this.options.diskByteLength)
      this.#platters.set(path, platter)
    }
    return platter
  }

  /** The first disk of each plex of an aggregate. */
  plattersOf({ disks }: AggregateWorld): Platter[] {
    return disks.map((disk) => this.platter(disk))
  }

  /** The disks of a plex, as they are labelled. */
  pathsOf(aggregate: AggregateWorld, plex: number): string[] {
    return [aggregate.disks[plex]!, ...this.added.pathsOf(aggregate, plex)]
  }

  /** The disk is lost, with all that it holds: a blank one comes in its place. */
  replaceDisk(path: string): void {
    this.disksLost += 1
    this.#platters.set(path, this.platter(path).replaced())
  }

  /** Blocks that were written again with what they had lost. */
  get repairs(): number {
    return [...this.#platters.values()].reduce((sum, { repairs }) => sum + repairs, 0)
  }

  settings(node: SimNode, aggregate = this.aggregates[0]!): Omit<EngineSettings, 'boot'> {
    const named = (name: string) => ({ name, identity: this.identity(name) })
    const isHere = (plex: number): boolean => !this.options.isApart || (plex === 0) === (node === this.castor)
    const listed = 1 + this.added.listedBy(node, aggregate)
    const plexes = aggregate.disks.map((_, plex) =>
      isHere(plex) ? this.pathsOf(aggregate, plex).slice(0, listed) : ('partner' as const),
    )
    return {
      aggregate: { ...named(aggregate.name), home: aggregate.home, plexes },
      node: named(node.name),
      partner: named(node.partnerName),
      pair: this.identity('pair'),
      durability: this.options.durability,
      logPages: this.options.logPages,
      nvramDirectory: '/nvram',
      cacheByteLength: 1 << 20,
      leaseMs: 1000,
      leaseMarginMs: 200,
      heartbeatMs: 100,
      linkTimeoutMs: 300,
      partnerGraceMs: 300,
      plexTimeoutMs: 700,
      takeover: 'automatic',
      cpIntervalMs: this.options.cpIntervalMs ?? 200,
      cpFillMark: this.options.cpFillMark ?? 0.4,
      connectionsMax: 16,
      scrubIntervalMs: this.options.scrubIntervalMs ?? 0,
      scrubByteRate: this.options.scrubByteRate ?? 1 << 26,
    }
  }

  start(node: SimNode): void {
    if (!node.isAlive) node.start(this.aggregates.map((aggregate) => this.settings(node, aggregate)))
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
    const deadline = this.scheduler.nowMs + durationMs
    while (this.scheduler.nowMs <= deadline && this.scheduler.step());
  }

  afterTurn(node: SimNode, host: SimEngine): void {
    this.#losses.get(this.aggregates[host.place]!.name)?.lookAt(host)
    this.check(node, host)
  }

  event(host: SimEngine, level: string, kind: string, text: string, facts?: Record<string, unknown>): void {
    this.note(`${host.node.name}/${this.aggregates[host.place]!.name} ${level} ${kind}: ${text}`)
    this.heard(host, kind, text, facts)
  }

  /** Adds a line to what is told when a seed fails. */
  note(text: string): void {
    const line = `${this.scheduler.nowMs.toFixed(2)} ${text}`
    for (let i = 0; i < line.length; i += 1) this.scheduler.note(line.charCodeAt(i))
    this.events.push(line)
    if (this.events.length > EVENTS_KEPT) this.events.shift()
    this.tell?.(line)
  }

  processDied(node: SimNode): void {
    this.network.processDied(node)
  }

  cutLink(): void {
    this.network.cut(true, true)
  }

  mendLink(): void {
    this.network.mend()
  }

  /** The disks lose power, and with it what they had not flushed. */
  losePower(): void {
    for (const platter of this.#platters.values()) platter.losePower(this.random)
  }

  unstickDisks(): void {
    for (const platter of this.#platters.values()) platter.heal()
    for (const host of this.hosts()) host.unstick()
  }
}
