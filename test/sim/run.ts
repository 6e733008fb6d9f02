import { AssertionFailure } from '../../ts/base/assert.ts'
import { MIB } from '../../ts/base/units.ts'
import { SimClient } from './client.ts'
import { formatDisk } from './format.ts'
import type { SimNode } from './node.ts'
import { SimWorld } from './world.ts'

const VOLUME_BYTES = 1 * MIB
const DISK_BYTES = 24 * MIB
const SERVE_WITHIN_MS = 20_000

export interface Outcome {
  readonly seed: number
  readonly acknowledged: number
  readonly reads: number
  readonly reconnects: number
  readonly takeovers: number
  readonly generations: number
  readonly simulatedMs: number
  readonly failure: string | undefined
  readonly events: readonly string[]
}

/** One world from one seed: load, faults, then peace, in which everything must come back in order. */
export function runSeed(seed: number): Outcome {
  const durability = seed % 2 === 0 ? 'pair' : 'vault'
  const world = new SimWorld(seed, { durability, logPages: 256, diskByteLength: DISK_BYTES })
  const run = new Run(world)
  let failure: string | undefined
  try {
    run.whole()
  } catch (error) {
    failure = error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error)
    if (!(error instanceof AssertionFailure) && error instanceof TypeError)
      failure = `bug in the code: ${failure}`
  }
  return run.outcome(seed, failure)
}

class Run {
  readonly #world: SimWorld
  #client: SimClient | undefined
  #highestEpoch = 0
  #takeovers = 0
  #generations = 0

  constructor(world: SimWorld) {
    this.#world = world
    world.check = (node) => this.#checkOneOwner(node)
  }

  whole(): void {
    const world = this.#world
    formatDisk(world)
    for (const node of world.nodes) world.start(node)
    this.#mustServe('the pair serves after its start')
    this.#createVolume()
    this.#client = new SimClient(world, 'volume', VOLUME_BYTES)
    for (let round = 0; round < 6; round += 1) {
      world.runFor(world.random.between(50, 600))
      this.#fault()
      world.runFor(world.random.between(20, 1500))
      this.#heal()
    }
    this.#settle()
  }

  outcome(seed: number, failure: string | undefined): Outcome {
    return {
      seed,
      acknowledged: this.#client?.acknowledged ?? 0,
      reads: this.#client?.reads ?? 0,
      reconnects: this.#client?.reconnects ?? 0,
      takeovers: this.#takeovers,
      generations: this.#generations,
      simulatedMs: this.#world.scheduler.nowMs,
      failure,
      events: this.#world.events,
    }
  }

  #createVolume(): void {
    const world = this.#world
    const owner = world.owner!
    const request = owner.request('volume-create', { name: 'volume', size: VOLUME_BYTES })
    const created = () => owner.answers.has(request) && world.owner?.serving.volumes.length === 1
    if (!world.runUntil(created, 5000)) throw new Error('the volume was not created')
    const { error } = owner.answers.get(request)!
    if (error !== undefined) throw error
  }

  #fault(): void {
    const world = this.#world
    const victim = world.random.pick(world.nodes)
    switch (world.random.below(9)) {
      case 0:
      case 1:
        return victim.kill()
      case 2:
        return this.#ownerOr(victim).kill()
      case 3:
        for (const node of world.nodes) node.kill()
        return
      case 4:
        return this.#ownerOr(victim).pause()
      case 5:
        return world.cutLink()
      case 6:
        world.arbiterIsUnreachable = true
        return
      case 7:
        return this.#handover()
      default:
        // one host restarts: its ring is gone, its partner is there
        if (world.nodes.every((node) => node.isAlive) && world.record?.log === 'in-sync') victim.loseHost()
    }
  }

  #ownerOr(other: SimNode): SimNode {
    return this.#world.owner ?? other
  }

  #handover(): void {
    const { owner } = this.#world
    if (owner !== undefined) owner.request('handover', { dryRun: false })
  }

  #heal(): void {
    const world = this.#world
    world.arbiterIsUnreachable = false
    world.mendLink()
    for (const node of world.nodes) {
      if (node.isPaused) {
        this.#client?.giveUp()
        node.resume()
      }
      world.start(node)
    }
    this.#mustServe('somebody serves after the faults have ended')
  }

  /** Peace: in sync, everything answered, everything as acknowledged. */
  #settle(): void {
    const world = this.#world
    const client = this.#client!
    this.#mustServe('somebody serves in peace')
    const inSync = () => world.record?.log === 'in-sync' && world.owner !== undefined
    if (!world.runUntil(inSync, 30_000))
      throw new Error(`the copies do not come into sync: ${JSON.stringify(world.record)}`)
    client.isIdle = true
    if (!world.runUntil(() => client.inFlight === 0, 30_000))
      throw new Error(`${client.inFlight} requests stay unanswered`)
    client.verifyAll()
    if (!world.runUntil(() => client.inFlight === 0, 30_000))
      throw new Error('the last reads stay unanswered')
    if (client.errors.length > 0) throw new Error(`a client got errors: ${client.errors.join('; ')}`)
  }

  #mustServe(what: string): void {
    const world = this.#world
    if (!world.runUntil(() => world.owner !== undefined, SERVE_WITHIN_MS)) {
      const why = world.nodes.map(
        (node) => `${node.name}: ${node.engine?.ownership.state} ${node.serving.because}`,
      )
      throw new Error(`not so: ${what}; ${why.join('; ')}; record ${JSON.stringify(world.record)}`)
    }
  }

  /** Two nodes may believe for a while, but never may two let answers out. */
  #checkOneOwner(node: SimNode): void {
    const { engine } = node
    const world = this.#world
    const now = world.scheduler.nowMs
    const able = world.nodes.filter((one) => one.engine?.isServing && one.engine.fenceAtMs > now)
    if (able.length > 1) throw new Error('two nodes may serve at the same time')
    if (engine === undefined) return
    if (engine.ownership.epoch > this.#highestEpoch) {
      this.#highestEpoch = engine.ownership.epoch
      this.#takeovers += 1
    }
    this.#generations = Math.max(this.#generations, engine.owner?.aggregate.image.generation ?? 0)
  }
}
