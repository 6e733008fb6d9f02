import { AssertionFailure } from '../../ts/base/assert.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { Atlas } from './atlas.ts'
import { ImageCheck } from './check-image.ts'
import { checkLeaks, checkMemory } from './check-leaks.ts'
import { LogCheck } from './check-logs.ts'
import { OwnerCheck } from './check-owners.ts'
import { PlexCheck } from './check-plexes.ts'
import { ScrubCheck } from './check-scrubs.ts'
import { SimClient } from './client.ts'
import type { SimEngine } from './engine-host.ts'
import { FaultMaker } from './faults.ts'
import { formatDisk } from './format.ts'
import { SimOperator } from './operator.ts'
import { drawOptions, type SeedOptions } from './options.ts'
import { Random } from './random.ts'
import { Scene } from './scene.ts'
import { SimVolume } from './sim-volume.ts'
import { Tally } from './tally.ts'
import { type AggregateWorld, SimWorld } from './world.ts'

/** Within these the pair has to be well again once the faults are over, in simulated milliseconds. */
const STARTS_WITHIN_MS = 20_000
const CONVERGES_WITHIN_MS = 120_000
const ANSWERS_WITHIN_MS = 60_000

/** The share of consistency points whose disks are checked, and checked after a loss of power. */
const CHECKED = 0.06

export interface RunOptions {
  /** simulated milliseconds with faults */
  readonly ticks?: number | undefined
  /** hears every event as it comes */
  readonly tell?: ((line: string) => void) | undefined
}

export interface Outcome {
  readonly seed: number
  readonly failure: string | undefined
  readonly acknowledged: number
  readonly reads: number
  readonly statuses: number
  readonly reconnects: number
  /** changes of owner of any sort, and of which sort */
  readonly takeovers: number
  readonly givebacks: number
  readonly opened: number
  readonly generations: number
  readonly ringWraps: number
  readonly imageChecks: number
  readonly answers: number
  /** 1: the aggregates had two plexes */
  readonly mirrored: number
  /** plexes that came into sync again, blocks that were given back what they had lost, disks replaced */
  readonly resyncs: number
  readonly repairs: number
  readonly disksLost: number
  /** disks that plexes have got besides their first ones */
  readonly disksAdded: number
  readonly faults: Readonly<Record<string, number>>
  readonly simulatedMs: number
  readonly steps: number
  /** a digest of everything that happened: the same seed gives the same */
  readonly hash: number
  readonly events: readonly string[]
}

/** One world from one seed: load and faults, then peace, in which everything must come back in order. */
export function runSeed(seed: number, options: RunOptions = {}): Outcome {
  const run = new Run(seed, drawOptions(seed, options.ticks))
  run.world.tell = options.tell
  let failure: string | undefined
  try {
    run.whole()
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  return run.outcome(failure)
}

class Run {
  readonly world: SimWorld
  readonly #seed: number
  readonly #options: SeedOptions
  readonly #clients: SimClient[] = []
  readonly #operators: SimOperator[] = []
  readonly #volumes: SimVolume[] = []
  readonly #owners: OwnerCheck
  readonly #logs: LogCheck
  readonly #images: ImageCheck
  readonly #plexes: PlexCheck
  readonly #scrubs: ScrubCheck
  readonly #tally = new Tally()
  /** decides what is looked at, and has no influence on the world */
  readonly #lottery: Random
  #faults: FaultMaker | undefined

  constructor(seed: number, options: SeedOptions) {
    SimClient.newWorld()
    const world = new SimWorld(seed, options.world)
    this.world = world
    this.#seed = seed
    this.#options = options
    this.#lottery = new Random(seed ^ 0x10e)
    this.#owners = new OwnerCheck(world)
    this.#logs = new LogCheck(world)
    this.#images = new ImageCheck(world, new Random(seed ^ 0xc4a5))
    this.#plexes = new PlexCheck(world)
    this.#scrubs = new ScrubCheck(world, this.#images, {
      must: (aggregate, name, body) => this.#must(aggregate, name, body),
      mustHappen: (what, withinMs, condition) => this.#mustHappen(what, withinMs, condition),
    })
    world.castor.clockRate = 1 + options.clockDrift
    world.arbiter.knowsProcesses = options.arbiterKnowsProcesses
    world.check = (_node, host) => this.#afterTurn(host)
    world.answered = (host) => this.#owners.answered(host)
    world.heard = (host, kind, text) => this.#heard(host, kind, text)
  }

  whole(): void {
    const { world } = this
    for (const aggregate of world.aggregates) formatDisk(world, aggregate)
    for (const node of world.nodes) world.start(node)
    this.#mustHappen('both aggregates are served after the start', STARTS_WITHIN_MS, () =>
      world.aggregates.every((aggregate) => world.serverOf(aggregate) !== undefined),
    )
    for (const aggregate of world.aggregates) this.#populate(aggregate)
    for (const operator of this.#operators) operator.isIdle = false
    const atlas = new Atlas(world)
    const scene = new Scene(world, atlas, this.#clients, () => this.#memoryLost())
    this.#faults = new FaultMaker(scene, this.#options)
    if (world.options.addsDisks) world.added.plan(new Random(this.#seed ^ 0xadd), this.#options.faultMs)
    world.runFor(this.#options.faultMs)
    world.added.finish()
    this.#faults.stop()
    this.#converge()
    this.#grow()
    this.#goHome()
    this.#settle()
    if (this.#options.endsWithLies) this.#endWithLies()
  }

  outcome(failure: string | undefined): Outcome {
    const { world } = this
    const sum = (of: (client: SimClient) => number): number =>
      this.#clients.reduce((total, client) => total + of(client), 0)
    return {
      seed: this.#seed,
      failure,
      acknowledged: sum((client) => client.acknowledged),
      reads: sum((client) => client.reads),
      statuses: sum((client) => client.statuses),
      reconnects: sum((client) => client.reconnects),
      ...this.#tally.facts,
      ringWraps: this.#logs.pagesLogged / world.options.logPages,
      imageChecks: this.#images.checks,
      answers: this.#operators.reduce((total, { answers }) => total + answers, 0),
      mirrored: Number(world.options.isMirrored ?? false),
      resyncs: world.arbiter.resyncs,
      repairs: world.repairs,
      disksLost: world.disksLost,
      disksAdded: world.added.count,
      faults: Object.fromEntries(this.#faults?.counts ?? []),
      simulatedMs: world.scheduler.nowMs,
      steps: world.scheduler.executed,
      hash: world.scheduler.hash,
      events: world.events,
    }
  }

  // --- the phases ----------------------------------------------------------------------------------

  #populate(aggregate: AggregateWorld): void {
    const { world } = this
    const { volumeByteLength, elasticByteLength, clientsPerVolume, habits, managementEveryMs } = this.#options
    const main = new SimVolume(world, aggregate, 'main', volumeByteLength)
    const elastic = new SimVolume(world, aggregate, 'elastic', elasticByteLength)
    const operator = new SimOperator(world, aggregate, elastic, managementEveryMs)
    this.#operators.push(operator)
    for (const volume of [main, elastic]) {
      this.#volumes.push(volume)
      this.#must(aggregate, 'volume-create', { name: volume.name, size: volume.byteLength })
    }
    this.#must(aggregate, 'cp-now', {})
    for (let i = 0; i < clientsPerVolume; i += 1) {
      this.#clients.push(new SimClient(world, main, 0, habits))
    }
    this.#clients.push(new SimClient(world, elastic, 0, { ...habits, thinkMs: 2 * (habits.thinkMs ?? 10) }))
  }

  #must(aggregate: AggregateWorld, name: string, body: unknown): void {
    const { world } = this
    let isDone = false
    this.#operators[aggregate.place]!.ask(world.serverOf(aggregate)!, name, body, (answer) => {
      if (answer?.error !== undefined) throw answer.error
      isDone = true
    })
    this.#mustHappen(`${name} is answered`, 20_000, () => isDone)
  }

  /** The copies come into sync, and all that was asked is answered. */
  #converge(): void {
    const { world } = this
    this.#mustHappen('the pair comes into sync', CONVERGES_WITHIN_MS, () =>
      world.aggregates.every((aggregate) => this.#isInSync(aggregate)),
    )
    for (const one of [...this.#clients, ...this.#operators]) one.isIdle = true
    const isQuiet = () =>
      this.#clients.every((client) => client.inFlight === 0) &&
      this.#operators.every((operator) => operator.pending.length === 0)
    this.#mustHappen('all requests are answered', ANSWERS_WITHIN_MS, isQuiet)
  }

  /** Disks that every list has count by themselves, however the owner has come to open the image. */
  #grow(): void {
    const { world } = this
    this.#mustHappen('the images lie on all disks', CONVERGES_WITHIN_MS, () =>
      world.aggregates.every((aggregate) => this.#isInSync(aggregate) && world.added.areListed(aggregate)),
    )
  }

  #isInSync(aggregate: AggregateWorld): boolean {
    const { world } = this
    const state = world.serverOf(aggregate)?.engine.ownership.state
    const isWhole = world.plexesInSync(aggregate).length === aggregate.disks.length
    return isWhole && world.recordOf(aggregate)?.log === 'in-sync' && state === 'serving-mirrored'
  }

  /**
   * Each aggregate goes back to where it belongs. Meanwhile another one may still lose what a fault that has
   * just ended has cost it, like a lease that could not be renewed in time: in the end all are at home.
   */
  #goHome(): void {
    const { world } = this
    const deadlineMs = world.scheduler.nowMs + CONVERGES_WITHIN_MS
    while (!world.aggregates.every((aggregate) => this.#isHome(aggregate)))
      for (const aggregate of world.aggregates) this.#sendHome(aggregate, deadlineMs)
  }

  #isHome(aggregate: AggregateWorld): boolean {
    const server = this.world.serverOf(aggregate)
    return server?.node.name === aggregate.home && server.engine.ownership.state === 'serving-mirrored'
  }

  #sendHome(aggregate: AggregateWorld, deadlineMs: number): void {
    const { world } = this
    const operator = this.#operators[aggregate.place]!
    // the receiver may be held up by what it has asked the arbiter before; then the giver takes it back
    while (!this.#isHome(aggregate)) {
      if (world.scheduler.nowMs > deadlineMs) throw new Error(`${aggregate.name} does not go home`)
      // an owner that has not noticed yet what a fault has left refuses, and is asked again
      const server = world.serverOf(aggregate)
      if (server?.engine.ownership.state === 'serving-mirrored')
        operator.ask(server, 'handover', {}, () => {})
      world.runUntil(() => this.#isHome(aggregate), 5000)
    }
  }

  /** Peace: everything is as it was acknowledged, on the disks too, and nothing is left over. */
  #settle(): void {
    const { world } = this
    for (const volume of this.#volumes) {
      const client = this.#clients.find((one) => one.volume === volume)!
      volume.learnSize()
      // a session keeps the size that it was promised at its start
      client.giveUp()
      client.verifyAll()
    }
    const isRead = () => this.#clients.every((client) => client.inFlight === 0)
    this.#mustHappen('every block is read', ANSWERS_WITHIN_MS, isRead)
    for (const aggregate of world.aggregates) {
      this.#operators[aggregate.place]!.checkVolumes(
        world.serverOf(aggregate)!.serving.volumes.map(({ name }) => name),
      )
      this.#must(aggregate, 'cp-resume', {})
      this.#must(aggregate, 'cp-now', {})
    }
    world.runFor(3000)
    this.#scrubs.stop()
    checkLeaks(world)
    for (const aggregate of world.aggregates) {
      world.added.mustCount(aggregate)
      for (const { volumes } of this.#scrubs.findsWhatCheckFinds(aggregate))
        operatorSees(this.#operators[aggregate.place]!, volumes)
      this.#plexes.mustBeEqual(aggregate)
      this.#images.afterPowerLoss(aggregate)
    }
  }

  /** A disk that lies is beyond what is survived: any error is right then, but no wrong byte. */
  #endWithLies(): void {
    const { world } = this
    for (const client of this.#clients) client.isIdle = false
    world.isDoomed = true
    for (const aggregate of world.aggregates) this.#lie(aggregate)
    world.runFor(1500)
    const doomedMs = world.scheduler.nowMs
    world.note('the disks have lied about flushes, and lose power')
    for (const node of world.nodes) node.kill()
    world.losePower()
    for (const node of world.nodes) world.start(node)
    try {
      world.runFor(4000)
    } catch (error) {
      // a node that finds its own state wrong ends at once, and its partner finds the same: nothing is shown
      if (error instanceof AssertionFailure) return
      throw error
    }
    // a damaged log is never made up for by the vault without a word from the operator
    const opened = world.events.filter((line) => line.includes('log from vault'))
    if (opened.some((line) => Number.parseFloat(line) > doomedMs))
      throw new Error(`a loss was hidden: ${opened}`)
  }

  /** One of two disks lies, or both. */
  #lie(aggregate: AggregateWorld): void {
    const platters = this.world.plattersOf(aggregate)
    const honest = platters.length > 1 ? this.world.random.below(3) : platters.length
    for (const [plex, { faults }] of platters.entries()) faults.lies = plex !== honest
  }

  // --- what is looked at ---------------------------------------------------------------------------

  #afterTurn(host: SimEngine): void {
    this.#owners.afterTurn(host)
    this.#logs.afterTurn(host)
    checkMemory(host)
  }

  #heard(host: SimEngine, kind: string, text: string): void {
    this.#tally.heard(kind, text)
    if (kind === 'block damaged') this.#scrubs.mustBeDamaged(host, text)
    if (kind === 'scrub finding') this.#scrubs.mustBeTrue(host, text)
    if (kind === 'consistency point') this.#plexes.published(host)
    if (kind !== 'consistency point' || this.world.isDoomed || !this.#lottery.chance(CHECKED)) return
    const aggregate = this.world.aggregates[host.place]!
    if (this.#lottery.chance(0.5)) this.#images.asItIs(aggregate)
    else this.#images.afterPowerLoss(aggregate)
  }

  #memoryLost(): void {
    this.world.note('what was not flushed may be lost')
    // answers that are still on their way tell of what may be lost by now
    for (const client of this.#clients) client.giveUp()
    for (const operator of this.#operators) operator.memoryLost()
    for (const volume of this.#volumes) volume.model.regress()
    this.#logs.memoryLost()
  }

  #mustHappen(what: string, withinMs: number, condition: () => boolean): void {
    const { world } = this
    if (world.runUntil(condition, withinMs)) return
    const states = world.hosts().map((host) => stateOf(host, world.aggregates[host.place]!))
    const waiting = [
      ...this.#clients.filter(({ inFlight }) => inFlight > 0).map(({ inFlight }) => `${inFlight} requests`),
      ...this.#operators.flatMap(({ pending }) => pending),
    ]
    const records = JSON.stringify(world.aggregates.map((aggregate) => world.recordOf(aggregate)))
    throw new Error(
      `not so: ${what}\n${states.join('\n')}\nwaiting: ${waiting.join(', ')}\nrecords: ${records}`,
    )
  }
}

/** In words, where an engine is and what it waits for. */
function stateOf({ engine, node, inFlight }: SimEngine, { name }: AggregateWorld): string {
  const { ownership, owner } = engine
  const state = `${node.name}/${name}: ${ownership.state}, ${ownership.reason}`
  if (owner === undefined) return state
  const { aggregate, consistency, vault } = owner
  const { ring, acknowledgements, stabilities, sessions, image } = aggregate
  return [
    state,
    `log ${ring.tail}..${ring.head}, acknowledged ${aggregate.acknowledged}, vault ${vault.durable}`,
    `waiting: ${acknowledgements.count} writes, ${stabilities.count} flushes, ${aggregate.readsInUse} reads`,
    `stalled: ${sessions.hasStalled}, ready: ${sessions.hasReady}, disk operations: ${inFlight}`,
    `consistency point: ${consistency.isRunning ? 'runs' : 'none'}${consistency.isHeld ? ', held' : ''}`,
    `scrub: ${owner.scrubbing.state}, ${owner.scrubbing.bytesRead} bytes read`,
    `space: ${image.space.available} of ${image.space.total} blocks`,
    ...sessions.clients.map((client) => `client: ${client.inFlight} requests, ${client.available} bytes`),
  ].join('; ')
}

function operatorSees(
  operator: SimOperator,
  volumes: readonly { readonly name: string; readonly size: number }[],
): void {
  operator.checkVolumes(volumes.map(({ name }) => name))
  for (const { name, size } of volumes) {
    if (size % BLOCK_SIZE !== 0) throw new Error(`volume ${name} has ${size} bytes`)
  }
}
