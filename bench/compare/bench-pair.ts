import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'smol-toml'
import { configPath, readPairFile } from '../../ts/cli/pair-file.ts'
import type { NodeFile } from '../../ts/config/schema.ts'
import { ControlClient } from '../../ts/control/client.ts'
import { isSilent } from '../../ts/control/node-control.ts'
import type { RecoveryReport } from '../../ts/engine/owner.ts'
import type { NodeEvent } from '../../ts/node/events.ts'
import type { EngineStatus } from '../../ts/node/messages.ts'
import { atEnd } from '../cleanup.ts'
import { run } from './processes.ts'

const commandLine = fileURLToPath(new URL('../../ts/cli/main.js', import.meta.url))
const CP_MS = 300_000
const IN_SYNC_MS = 120_000
const ROLE_CHANGE_MS = 60_000
export const nodeNames = ['castor', 'pollux'] as const
export type NodeName = (typeof nodeNames)[number]

export const partnerOf = (node: NodeName): NodeName => (node === 'castor' ? 'pollux' : 'castor')

/** The aggregate and the volume that is measured; the pair has another of each, which nobody uses. */
export const AGGREGATE = 'castor'
export const VOLUME = 'vol0'

export type BenchStatus = EngineStatus & { readonly recovery: RecoveryReport | null }

interface UpReport {
  readonly nodes: readonly { name: NodeName; pid: number; api: string }[]
  readonly aggregates: readonly { name: string; node: NodeName }[]
}

/** A pair of processes as `pollux up` makes it; everything of it is gone when the program ends. */
export class BenchPair {
  readonly dir: string
  #report: UpReport = { nodes: [], aggregates: [] }
  #isStoppedAtEnd = false

  constructor(dir: string) {
    this.dir = dir
  }

  /** Starts what is not running. */
  async up(...options: string[]): Promise<void> {
    if (!this.#isStoppedAtEnd) this.stopAtEnd()
    const how = ['up', '--dir', this.dir, '--detach', '--json', ...options]
    this.#report = JSON.parse(await run(process.execPath, [commandLine, ...how])) as UpReport
  }

  async down(): Promise<void> {
    await run(process.execPath, [commandLine, 'down', '--dir', this.dir])
  }

  /** To be said again when something was made that can only be removed after the pair has stopped. */
  stopAtEnd(): void {
    this.#isStoppedAtEnd = true
    atEnd(() => {
      const nvram = readPairFile(this.dir)?.nvramDirectory
      spawnSync(process.execPath, [commandLine, 'down', '--dir', this.dir], { stdio: 'ignore' })
      if (nvram !== undefined) rmSync(nvram, { recursive: true, force: true })
    })
  }

  get uri(): string {
    return this.uriOf(VOLUME)
  }

  /** Where clients find a volume, whoever serves it. */
  uriOf(volume: string, aggregate: string = AGGREGATE): string {
    const table = this.#settings('castor').aggregate.find(({ name }) => name === aggregate)
    if (!table) throw new Error(`the pair has no aggregate ${aggregate}`)
    return `nbd://${table.service}/${volume}`
  }

  /** The owner of the aggregate first: its share of the CPU time is the interesting one. */
  get pids(): number[] {
    const owner = this.#report.aggregates.find(({ name }) => name === AGGREGATE)?.node
    return this.#report.nodes
      .toSorted((a, b) => Number(b.name === owner) - Number(a.name === owner))
      .map(({ pid }) => pid)
  }

  control(node: NodeName): ControlClient {
    const found = this.#report.nodes.find(({ name }) => name === node)
    if (!found) throw new Error(`pollux up names no node ${node}`)
    return new ControlClient(found.api)
  }

  /** What a node says of an aggregate; undefined if it does not answer. */
  async engine(node: NodeName, name: string = AGGREGATE): Promise<BenchStatus | undefined> {
    const status = await this.control(node)
      .status()
      .catch(() => undefined)
    const engine = status?.aggregates.find(({ aggregate }) => aggregate === name)
    return engine === undefined || isSilent(engine) ? undefined : (engine as BenchStatus)
  }

  async owner(aggregate: string = AGGREGATE): Promise<{ node: NodeName; engine: BenchStatus }> {
    for (const node of nodeNames) {
      const engine = await this.engine(node, aggregate)
      if (engine?.serves) return { node, engine }
    }
    throw new Error(`nobody serves the aggregate ${aggregate}`)
  }

  /** Consistency points, of the measured aggregate unless another one is named. */
  async cp(action: 'now' | 'hold' | 'resume', aggregate: string = AGGREGATE): Promise<void> {
    const { node } = await this.owner(aggregate)
    await this.control(node).json('POST', '/cp', { action, aggregate }, CP_MS)
  }

  /** Returns how long it has taken, in milliseconds. */
  async createVolume(name: string, size: number, aggregate: string = AGGREGATE): Promise<number> {
    const control = this.control((await this.owner(aggregate)).node)
    const startedMs = performance.now()
    await control.json('POST', '/volumes', { name, size, aggregate })
    return performance.now() - startedMs
  }

  async deleteVolume(name: string): Promise<void> {
    const { node } = await this.owner()
    await this.control(node).json('DELETE', `/volumes/${name}?aggregate=${AGGREGATE}`)
  }

  async events(node: NodeName, after: number): Promise<NodeEvent[]> {
    const answer = await this.control(node).json<{ events: NodeEvent[] }>('GET', `/events?after=${after}`)
    return answer.events
  }

  /** Waits until the partner could take over, with everything that there is. */
  async inSync(aggregate: string = AGGREGATE): Promise<void> {
    for (const startedMs = performance.now(); ; await sleep(50)) {
      const owner = await this.owner(aggregate).catch(() => undefined)
      const keeper = owner && (await this.engine(partnerOf(owner.node), aggregate))
      if (keeper?.takeover.possible) return
      if (performance.now() - startedMs > IN_SYNC_MS) {
        const because = keeper?.takeover.because ?? 'it does not answer'
        throw new Error(`the partner cannot take over after ${IN_SYNC_MS / 1000} s: ${because}`)
      }
    }
  }

  /** Throws unless what is acknowledged now has every copy that it should have. */
  async mustBeWhole(aggregate: string = AGGREGATE): Promise<void> {
    const { engine } = await this.owner(aggregate)
    const { log, link, plexes } = engine
    const lacking = plexes?.find(({ state }) => state !== 'in-sync')
    if (log.state === 'in-sync' && link.up && lacking === undefined) return
    const because = lacking === undefined ? link.because : `plex ${lacking.plex}: ${lacking.because}`
    throw new Error(`the pair lacks a copy, so what it does is not what was to be measured: ${because}`)
  }

  /** Kills a node at once. Returns the moment, by the monotonic clock and by the wall clock. */
  kill(node: NodeName): { atMs: number; wallMs: number } {
    const { pid } = this.#report.nodes.find(({ name }) => name === node)!
    process.kill(pid, 'SIGKILL')
    return { atMs: performance.now(), wallMs: Date.now() }
  }

  /** The owner hands the measured aggregate over. Ends when its partner could give it back. */
  async handOver(): Promise<NodeName> {
    const { node } = await this.owner()
    await this.control(node).json('POST', '/handover', { aggregates: [AGGREGATE] }, ROLE_CHANGE_MS)
    await this.inSync()
    return (await this.owner()).node
  }

  async giveBack(node: NodeName): Promise<void> {
    await run(process.execPath, [commandLine, 'giveback', node, '--dir', this.dir])
  }

  /** Changes the settings of both nodes; the pair must be down. */
  edit(change: (file: NodeFile) => void): void {
    for (const node of nodeNames) {
      const file = this.#settings(node)
      change(file)
      writeFileSync(configPath(this.dir, node), stringify(file))
    }
  }

  /** Makes the empty image of an aggregate that the settings of both nodes have now, on a disk of both. */
  async format(aggregate: string, disk: string): Promise<void> {
    const how = ['--config', configPath(this.dir, 'castor'), '--aggregate', aggregate]
    await run(process.execPath, [commandLine, 'disk', 'label', disk, ...how])
  }

  #settings(node: NodeName): NodeFile {
    return parse(readFileSync(configPath(this.dir, node), 'utf8')) as unknown as NodeFile
  }
}
