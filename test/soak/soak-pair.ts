import { existsSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { type NodeName, newestRecord, nodeNames, Pair } from '../support/pair.ts'
import { aggregateOf } from '../support/pair-config.ts'
import { mustPollux } from '../support/program.ts'
import { FaultDisk } from './fault-disk.ts'
import { loopback, Namespaces, type Network } from './network.ts'
import type { Means } from './plan.ts'
import { SoakNode } from './soak-node.ts'

export interface SoakPairOptions {
  readonly dir: string
  readonly durability: string
  readonly means: Means
  readonly volumeByteLength: number
  readonly logSize: string
  readonly note: (text: string) => void
  readonly failed: (error: Error) => void
}

/** A pair that `pollux up` has made, moved to hosts, wires and disks that can fail. */
export class SoakPair {
  readonly pair: Pair
  readonly options: SoakPairOptions
  network: Network = loopback
  /** by the aggregate that lies on it */
  readonly disks = new Map<NodeName, FaultDisk>()
  readonly nodes = new Map<NodeName, SoakNode>()
  /** when the arbiter was last in reach; undefined: it is */
  readonly #noArbiter = new Map<NodeName, number | undefined>()

  constructor(options: SoakPairOptions) {
    this.options = options
    this.pair = new Pair(options.dir)
  }

  get arbiter(): string {
    return path.join(this.options.dir, 'arbiter')
  }

  node(name: NodeName): SoakNode {
    return this.nodes.get(name)!
  }

  async make(): Promise<void> {
    const { durability, means, volumeByteLength, logSize, dir } = this.options
    if (means.network) this.network = await Namespaces.make()
    const sizes = ['--size', `${volumeByteLength}B`, '--log-size', logSize]
    await this.pair.up('--shared', '--durability', durability, ...sizes)
    await this.pair.down()
    if (means.disks) {
      for (const name of nodeNames) {
        this.disks.set(name, await FaultDisk.make(path.join(dir, 'disks', `${name}.disk`)))
      }
    }
    this.#moveConfigs()
    for (const name of nodeNames) {
      this.setArbiter(name, true)
      const { note, failed } = this.options
      const [config, enter] = [this.pair.config(name).path, this.network.enter(name)]
      const excuse = () => this.#excuse(name)
      this.nodes.set(name, new SoakNode({ name, dir, config, enter, excuse, note, failed }))
    }
  }

  start(): void {
    for (const node of this.nodes.values()) node.start()
  }

  /** Stops both nodes in good order. */
  async stop(): Promise<void> {
    const left = [...this.nodes.values()].map((node) => node.leaving())
    await this.pair.down()
    await Promise.all(left)
  }

  /** Kills what is left, and takes everything away that is not a file. */
  async close(): Promise<void> {
    // before they are ours, `pollux up` has them
    if (this.nodes.size === 0) await this.pair.down().catch(() => undefined)
    for (const node of this.nodes.values()) {
      node.goOn()
      await node.kill()
    }
    for (const disk of this.disks.values()) await disk.close()
    this.network.close()
  }

  /** The folder of both nodes' NVRAM; empty if there is none yet. */
  rings(): string {
    if (this.nodes.size === 0) return ''
    return path.dirname(this.pair.config('castor').file.nvram.directory)
  }

  /** Takes the files away, too. */
  remove(): void {
    for (const folder of [this.rings(), this.options.dir]) {
      if (folder !== '') rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Where clients may find an aggregate's volume. */
  servers(home: NodeName, volume: string): string[] {
    const { service } = aggregateOf(this.pair.config(home).file, home)
    const port = service.slice(service.lastIndexOf(':') + 1)
    const hosts = new Set(nodeNames.map((name) => this.network.clientHost(name)))
    return [...hosts].map((host) => `nbd://${host}:${port}/${volume}`)
  }

  epoch(aggregate: NodeName): number {
    return (JSON.parse(newestRecord(this.arbiter, aggregate)) as { epoch: number }).epoch
  }

  /** Each node reaches the arbiter's folder by a link of its own, which may lead nowhere. */
  setArbiter(name: NodeName, inReach: boolean): void {
    const link = this.#arbiterLink(name)
    symlinkSync(inReach ? this.arbiter : '/dev/null/out-of-reach', `${link}.new`)
    renameSync(`${link}.new`, link)
    this.#noArbiter.set(name, inReach ? performance.now() : Number.POSITIVE_INFINITY)
  }

  /** `pollux check` of everything; the nodes are stopped. */
  async check(): Promise<void> {
    for (const name of nodeNames) {
      if (existsSync(this.pair.disks(name)[0]!)) await mustPollux(['check', ...this.pair.disks(name)])
    }
  }

  #arbiterLink(name: NodeName): string {
    return path.join(this.options.dir, `arbiter-${name}`)
  }

  #moveConfigs(): void {
    const { network } = this
    this.pair.edit((file, name) => {
      const partner = name === 'castor' ? 'pollux' : 'castor'
      const on = (host: string, address: string) => `${host}${address.slice(address.lastIndexOf(':'))}`
      file.link.listen = on(network.linkHost(name), file.link.listen)
      file.partner.link = on(network.linkHost(partner), file.partner.link)
      file.arbiter.directory = this.#arbiterLink(name)
      for (const aggregate of file.aggregate) {
        aggregate.service = on(network.serviceHost(name), aggregate.service)
        const disk = this.disks.get(aggregate.name as NodeName)
        if (disk !== undefined) aggregate.disks = [disk.device(name)]
      }
    })
  }

  /** A node that cannot reach the arbiter when it starts, or its folder, says so and ends. */
  #excuse(name: NodeName): string | undefined {
    const inReachMs = this.#noArbiter.get(name) ?? 0
    return performance.now() - inReachMs < 3000 ? 'the arbiter was out of reach' : undefined
  }
}
