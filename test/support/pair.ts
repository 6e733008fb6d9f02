import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import type { NodeFile } from '../../ts/config/schema.ts'
import { ControlClient } from '../../ts/control/client.ts'
import { isSilent, type NodeStatus } from '../../ts/control/node-control.ts'
import { DiskLabel } from '../../ts/format/disk-label.ts'
import type { EngineStatus } from '../../ts/node/messages.ts'
import { aggregateOf, editConfig, type NodeConfigFile, nodeConfigs } from './pair-config.ts'
import { plexIs } from './pair-mirror.ts'
import { commandLine, type Ended, isAlive, mustPollux, mustRun, pollux, until } from './program.ts'
import { type RingFile, readRing } from './ring-file.ts'

export type NodeName = 'castor' | 'pollux'
export const nodeNames = ['castor', 'pollux'] as const
export const partnerOf = (node: NodeName): NodeName => (node === 'castor' ? 'pollux' : 'castor')

/** The durability classes that process tests run in; POLLUX_DURABILITY picks one. */
export const durabilities: readonly string[] = process.env['POLLUX_DURABILITY']?.split(',') ?? [
  'pair',
  'vault',
]

export interface PairOptions {
  readonly durability?: string
  readonly size?: string
  readonly logSize?: string
  readonly diskSize?: string
  /** as `up` makes it without options; else both nodes share the disks, which is half as many to fill */
  readonly isApart?: boolean
  /** gives each aggregate a second plex; `start` waits until all are in sync */
  readonly mirror?: (pair: Pair) => Promise<unknown>
  /** changes the configuration of each node before it serves */
  readonly edit?: (file: NodeFile, node: NodeName) => void
}

interface UpReport {
  readonly dir: string
  readonly nodes: readonly { name: NodeName; pid: number; nbd: string; api: string }[]
  readonly volumes: readonly { name: string; size: number; node: string; uri: string }[]
}

/** What `status` says of an engine, with the facts that only tests look at. */
export type EngineFacts = EngineStatus & {
  readonly consistencyPoint: {
    readonly containedSequence: number
    readonly epoch: number
    readonly root: number
  }
  readonly log: { readonly firstSequence: number }
  readonly recovery: {
    readonly source: string
    readonly contained: number
    readonly generation: number
    readonly first: number
    readonly last: number
    readonly entries: number
  } | null
}

/** A pair of real processes in a directory of its own; everything of it is gone when the test ends. */
export class Pair {
  readonly dir: string
  report: UpReport = { dir: '', nodes: [], volumes: [] }
  #configs: ReadonlyMap<string, NodeConfigFile> = new Map()

  constructor(dir: string) {
    this.dir = dir
  }

  /** A running pair with `vol0` on castor and `vol1` on pollux, both in sync. */
  static async start(t: Test, options: PairOptions = {}): Promise<Pair> {
    const pair = Pair.prepare(t)
    const { durability = 'pair', size = '64MiB', logSize = '16MiB', diskSize, mirror, edit } = options
    const sizes = ['--size', size, '--log-size', logSize, ...(diskSize ? ['--disk-size', diskSize] : [])]
    await pair.up('--durability', durability, ...sizes, ...(options.isApart ? [] : ['--shared']))
    if (edit || mirror) {
      await pair.down()
      if (mirror) await mirror(pair)
      if (edit) pair.edit(edit)
      await pair.up()
    }
    await pair.inSync()
    if (mirror) for (const aggregate of nodeNames) await plexIs(pair, 1, 'in-sync', aggregate)
    return pair
  }

  /** A directory for a pair that is not there yet. */
  static prepare(t: Test): Pair {
    const pair = new Pair(mkdtempSync(path.join(tmpdir(), 'pollux-test-')))
    t.teardown(() => pair.#remove(t))
    return pair
  }

  // --- commands ------------------------------------------------------------------------------------

  /** Starts what is not running. */
  async up(...args: string[]): Promise<UpReport> {
    const { stdout } = await mustPollux(['up', '--dir', this.dir, '--detach', '--json', ...args])
    this.report = JSON.parse(stdout) as UpReport
    this.#configs = nodeConfigs(this.dir)
    return this.report
  }

  async down(): Promise<void> {
    await mustPollux(['down', '--dir', this.dir])
  }

  /** Any command on this pair; the exit code is the caller's to judge. */
  command(...args: string[]): Promise<Ended> {
    return pollux([...args, '--dir', this.dir])
  }

  async mustCommand(...args: string[]): Promise<string> {
    return (await mustPollux([...args, '--dir', this.dir])).stdout
  }

  /** One node, with the configuration that `up` has made. `enter`: words before its command, to its host. */
  async serve(node: NodeName, options: { ready?: boolean; enter?: readonly string[] } = {}): Promise<number> {
    const log = openSync(path.join(this.dir, `${node}.log`), 'a')
    const serve = [process.execPath, commandLine, 'serve', '--config', this.config(node).path]
    const [command, ...args] = [...(options.enter ?? []), ...serve]
    const child = spawn(command!, args, { detached: true, stdio: ['ignore', log, log] })
    child.unref()
    closeSync(log)
    if (options.ready ?? true) await until(`${node} answers`, () => this.status(node).catch(() => undefined))
    return child.pid!
  }

  // --- what is said and what is there --------------------------------------------------------------

  config(node: NodeName): NodeConfigFile {
    const config = this.#configs.get(node)
    if (!config) throw new Error(`${this.dir} has no configuration of ${node}`)
    return config
  }

  edit(change: (file: NodeFile, node: NodeName) => void): void {
    for (const node of nodeNames) editConfig(this.config(node), (file) => change(file, node))
  }

  uri(volume: string): string {
    const found = this.report.volumes.find(({ name }) => name === volume)
    if (found) return found.uri
    throw new Error(`the pair has no volume ${volume}`)
  }

  /** The address of the service of a node's home aggregate, for volumes made later. */
  service(home: NodeName): string {
    return `nbd://${aggregateOf(this.config(home).file, home).service}`
  }

  control(node: NodeName): ControlClient {
    return new ControlClient(this.config(node).file.api.socket)
  }

  status(node: NodeName): Promise<NodeStatus> {
    return this.control(node).status()
  }

  /** What the engine of an aggregate on a node says of itself. */
  async engine(node: NodeName, aggregate: string): Promise<EngineFacts> {
    const { aggregates } = await this.status(node)
    const engine = aggregates.find((one) => one.aggregate === aggregate)
    if (!engine || isSilent(engine)) throw new Error(`the engine of ${aggregate} on ${node} is silent`)
    return engine as EngineFacts
  }

  async pid(node: NodeName): Promise<number> {
    return this.processOf(node) ?? (await this.status(node)).pid
  }

  /** The process that serves a node's configuration, found from the outside: it need not answer. */
  processOf(node: NodeName): number | undefined {
    return processes(this.config(node).path)[0]
  }

  /** The newest record of an aggregate in the file arbiter, as it is written. */
  record(aggregate: string): string {
    return newestRecord(this.config('castor').file.arbiter.directory, aggregate)
  }

  ringPath(node: NodeName, aggregate: string): string {
    return path.join(this.config(node).file.nvram.directory, `${aggregate}.nvram`)
  }

  ring(node: NodeName, aggregate: string): RingFile {
    return readRing(this.ringPath(node, aggregate))
  }

  /** Those of plex 0. */
  disks(aggregate: string): readonly string[] {
    return this.plex(aggregate, 0)
  }

  /** Whichever node they are attached to. */
  plex(aggregate: string, plex: number): readonly string[] {
    const places = nodeNames.map((node) => {
      const { disks, mirror } = aggregateOf(this.config(node).file, aggregate)
      return plex === 0 ? disks : (mirror ?? [])
    })
    return places.find((place) => place !== 'partner') ?? []
  }

  /** Digest of an aggregate's disks, without the vault: that is a log, and changes with every flush. */
  diskDigest(aggregate: string): string {
    const hash = createHash('sha256')
    for (const disk of this.disks(aggregate)) hashDisk(disk, hash)
    return hash.digest('hex')
  }

  /** Copies of an aggregate's disks as they are now; stop the writer to get one moment. */
  async copyDisks(aggregate: string, to: string): Promise<string[]> {
    const copies = this.disks(aggregate).map((disk) => path.join(to, path.basename(disk)))
    await mustRun('cp', ['--sparse=always', ...this.disks(aggregate), to])
    return copies
  }

  /** `pollux check` of an aggregate's own disks. */
  check(aggregate: string, ...options: string[]): Promise<Ended> {
    return pollux(['check', ...this.disks(aggregate), ...this.plex(aggregate, 1), ...options])
  }

  // --- waiting and breaking ------------------------------------------------------------------------

  /** Waits until an aggregate is served, by a certain node if one is named. Returns who does. */
  serving(aggregate: string, by?: NodeName, timeoutMs = 20_000): Promise<NodeName> {
    const candidates = by ? [by] : nodeNames
    return until(
      `${aggregate} is served${by ? ` by ${by}` : ''}`,
      async () => {
        for (const node of candidates) {
          const engine = await this.engine(node, aggregate).catch(() => undefined)
          if (engine?.serves) return node
        }
        return undefined
      },
      timeoutMs,
    )
  }

  /** Waits until aggregates are served, and the partner has everything. */
  async inSync(aggregates: readonly string[] = nodeNames, timeoutMs = 30_000): Promise<void> {
    for (const aggregate of aggregates) {
      await until(
        `${aggregate} is in sync`,
        async () => {
          const owner = await this.serving(aggregate)
          const { log, link } = await this.engine(owner, aggregate)
          return log.state === 'in-sync' && link.up
        },
        timeoutMs,
      )
    }
  }

  /** Sends a signal; after SIGKILL it waits until the process is gone. */
  async kill(node: NodeName, signal: NodeJS.Signals = 'SIGKILL'): Promise<number> {
    const pid = this.processOf(node)
    if (pid === undefined) throw new Error(`${node} is not running`)
    process.kill(pid, signal)
    if (signal === 'SIGKILL') await until(`${node} is gone`, () => !isAlive(pid))
    return pid
  }

  log(node: NodeName): string {
    const file = path.join(this.dir, `${node}.log`)
    return existsSync(file) ? readFileSync(file, 'utf8') : ''
  }

  async #remove(t: Test): Promise<void> {
    if (!t.passing()) this.#showLogs(t)
    const left = processes(this.dir)
    for (const pid of left) process.kill(pid, 'SIGKILL')
    await until('all processes are gone', () => left.every((pid) => !isAlive(pid)), 5000).catch(
      () => undefined,
    )
    if (process.env['POLLUX_KEEP'] && !t.passing()) return
    for (const { file } of nodeConfigs(this.dir).values()) {
      rmSync(path.dirname(file.nvram.directory), { recursive: true, force: true })
    }
    rmSync(this.dir, { recursive: true, force: true })
  }

  #showLogs(t: Test): void {
    for (const node of nodeNames) {
      const lines = this.log(node).trimEnd().split('\n').slice(-25)
      t.comment(`${this.dir}: the last lines of ${node}\n${lines.join('\n')}`)
    }
  }
}

/** The newest record of an aggregate in the folder of a file arbiter. */
export function newestRecord(arbiter: string, aggregate: string): string {
  const folder = path.join(arbiter, 'aggregates', aggregate)
  const versions = readdirSync(folder).flatMap((name) => /^record\.(\d+)\.json$/.exec(name)?.[1] ?? [])
  return readFileSync(path.join(folder, `record.${Math.max(...versions.map(Number))}.json`), 'utf8')
}

/** Processes with a path of ours in their arguments. */
function processes(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'latin1')
          .split('\0')
          .some((word) => word.startsWith(mark))
      } catch {
        return false
      }
    })
    .map(Number)
}

function hashDisk(disk: string, hash: ReturnType<typeof createHash>): void {
  const descriptor = openSync(disk, 'r')
  const piece = Buffer.alloc(1024 * 1024)
  let vault = { at: 0, end: 0 }
  for (let at = 0; ; ) {
    const count = readSync(descriptor, piece, 0, piece.length, at)
    if (count === 0) break
    if (at === 0) {
      const label = DiskLabel.decode(piece)
      vault = { at: label.vaultAt, end: label.vaultAt + label.vaultByteLength }
    }
    const [from, to] = [Math.max(vault.at - at, 0), Math.min(vault.end - at, count)]
    if (from < to) piece.fill(0, from, to)
    hash.update(piece.subarray(0, count))
    at += count
  }
  closeSync(descriptor)
}
