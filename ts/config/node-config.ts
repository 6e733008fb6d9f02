import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { PlexPlace } from '../base/plex-place.ts'
import { BLOCK_SIZE, MIB } from '../base/units.ts'
import { type Address, addressBits, type ListenAddress, parseAddress, parseListenAddress } from './address.ts'
import type { Durability, EngineSettings, Named } from './engine-settings.ts'
import { type Mistake, meaningMistakes, schemaMistakes } from './mistakes.ts'
import { type Parsed, parseByteLength, parseDurationMs } from './quantities.ts'
import type { AggregateTable, NodeFile, TimingTable, TlsTable } from './schema.ts'
import { lineOf, pathText } from './toml-lines.ts'

/** node.toml with defaults filled in and units taken off. */
export interface NodeConfig {
  readonly pair: string
  readonly node: Named
  readonly partner: Named
  readonly nvram: { readonly directory: string; readonly persistent: boolean | undefined }
  readonly arbiterDirectory: string
  readonly linkListen: Address
  readonly linkPartner: Address
  readonly apiSocket: string
  readonly timing: Timing
  readonly aggregates: readonly AggregateConfig[]
  readonly listeners: readonly ListenerConfig[]
  /** for clients that come over a network; without it they come in the open */
  readonly tls: TlsConfig | undefined
}

/** Paths of PEM files, and who may do what. */
export interface TlsConfig {
  readonly certificate: string
  readonly key: string
  /** of the certificates of clients */
  readonly authority: string
  /** whether clients without TLS are refused */
  readonly required: boolean
  /** by a name in a client's certificate, the volumes that it may open; undefined: everybody may open all */
  readonly volumesByClient: ReadonlyMap<string, readonly string[]> | undefined
}

/** One more place where clients find the volumes of some aggregates, while this node serves them. */
export interface ListenerConfig {
  readonly address: ListenAddress
  /** names */
  readonly aggregates: readonly string[]
  readonly readOnly: boolean
  /** clients are passed on to the partner while that serves; all aggregates have one service address then */
  readonly forwards: boolean
}

export interface Timing {
  readonly leaseMs: number
  readonly leaseMarginMs: number
  readonly heartbeatMs: number
  readonly linkTimeoutMs: number
  readonly partnerGraceMs: number
  readonly plexTimeoutMs: number
}

/** An interface of this node's host, and how long the prefix of the address is on it. */
export interface ServiceInterface {
  readonly name: string
  readonly prefixLength: number
}

export interface AggregateConfig {
  readonly name: string
  readonly identity: string
  readonly home: string
  /** where the disks of plex 0 are and, if it is mirrored, of plex 1 */
  readonly plexes: readonly PlexPlace[]
  /** where clients find it while its home node, or the partner in its place, serves it */
  readonly service: Address
  /** where the node that serves sets the host of `service`; undefined: it is there, or others bring it */
  readonly serviceInterface: ServiceInterface | undefined
  readonly durability: Durability | undefined
  readonly logByteLength: number
  readonly cacheByteLength: number
  readonly takeover: 'automatic' | 'manual'
  readonly cpIntervalMs: number
  readonly cpFillMark: number
  readonly connectionsMax: number
  readonly scrubIntervalMs: number
  readonly scrubByteRate: number
  readonly cpu: number | undefined
}

export const LOG_BYTE_LENGTH_DEFAULT = 128 * MIB
const CACHE_BYTE_LENGTH_DEFAULT = 64 * MIB
const SCRUB_INTERVAL_MS_DEFAULT = 7 * 24 * 3_600_000
const SCRUB_BYTE_RATE_DEFAULT = 32 * MIB

export function readNodeConfig(path: string): NodeConfig {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new StoreError('CONFIG_INVALID', `${path} cannot be read (${reason})`, { cause: error })
  }
  return parseNodeConfig(text, path)
}

/** Throws CONFIG_INVALID with every mistake, one per line, each with its line and its key. */
export function parseNodeConfig(text: string, path: string): NodeConfig {
  const document = parseToml(text, path)
  const wrongShape = schemaMistakes(document)
  if (wrongShape.length > 0) throw invalid(text, path, wrongShape)
  const file = document as NodeFile
  const wrongMeaning = meaningMistakes(file)
  if (wrongMeaning.length > 0) throw invalid(text, path, wrongMeaning)
  const timing = resolveTiming(file.timing ?? {})
  const wrongTiming = timingMistakes(timing)
  if (wrongTiming.length > 0) throw invalid(text, path, wrongTiming)
  return resolve(file, timing)
}

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n', 1)[0]!.replace('Invalid TOML document: ', '')
    throw new StoreError('CONFIG_INVALID', `${path}:${error.line}: ${what}`, { cause: error })
  }
}

function invalid(text: string, path: string, mistakes: readonly Mistake[]): StoreError {
  const lines = mistakes.map((mistake) => {
    const line = lineOf(text, mistake.path)
    const place = line === undefined ? path : `${path}:${line}`
    return `${place}: ${pathText(mistake.path) || 'the file'} ${mistake.text}`
  })
  return new StoreError('CONFIG_INVALID', lines.join('\n'))
}

function resolve(file: NodeFile, timing: Timing): NodeConfig {
  return {
    pair: file.pair,
    node: file.node,
    partner: { name: file.partner.name, identity: file.partner.identity },
    nvram: { directory: file.nvram.directory, persistent: file.nvram.persistent },
    arbiterDirectory: file.arbiter.directory,
    linkListen: address(file.link.listen),
    linkPartner: address(file.partner.link),
    apiSocket: file.api.socket,
    timing,
    aggregates: file.aggregate.map(resolveAggregate),
    listeners: resolveListeners(file),
    tls: file.tls && resolveTls(file.tls),
  }
}

function resolveTls({ certificate, key, authority, required = true, client }: TlsTable): TlsConfig {
  const volumesByClient = client && new Map(client.map(({ name, volumes }) => [name, volumes]))
  return { certificate, key, authority, required, volumesByClient }
}

function resolveListeners(file: NodeFile): ListenerConfig[] {
  const all = file.aggregate.map(({ name }) => name)
  return (file.nbd ?? []).map(({ listen, aggregates = all, read_only: readOnly, forward }) => {
    const address = parseListenAddress(listen)
    assert(address, 'addresses have been checked')
    return { address, aggregates, readOnly: readOnly ?? false, forwards: forward ?? false }
  })
}

function resolveAggregate(table: AggregateTable): AggregateConfig {
  return {
    name: table.name,
    identity: table.identity,
    home: table.home,
    plexes: table.mirror === undefined ? [table.disks] : [table.disks, table.mirror],
    service: address(table.service),
    serviceInterface: resolveInterface(table),
    durability: table.durability,
    logByteLength: quantity(table.log_size, parseByteLength, LOG_BYTE_LENGTH_DEFAULT),
    cacheByteLength: quantity(table.cache_size, parseByteLength, CACHE_BYTE_LENGTH_DEFAULT),
    takeover: table.takeover ?? 'automatic',
    cpIntervalMs: quantity(table.cp_interval, parseDurationMs, 10_000),
    cpFillMark: table.cp_fill_mark ?? 0.5,
    connectionsMax: table.connections_max ?? 1024,
    scrubIntervalMs: quantity(table.scrub_interval, parseDurationMs, SCRUB_INTERVAL_MS_DEFAULT),
    scrubByteRate: quantity(table.scrub_rate, parseByteLength, SCRUB_BYTE_RATE_DEFAULT),
    cpu: table.cpu,
  }
}

/** Without a prefix it is the address alone: the way to its neighbours is what the interface has already. */
function resolveInterface({ interface: name, prefix_length: prefix, service }: AggregateTable) {
  if (name === undefined) return undefined
  return { name, prefixLength: prefix ?? addressBits(address(service).host) }
}

function resolveTiming(table: TimingTable): Timing {
  return {
    leaseMs: quantity(table.lease, parseDurationMs, 2000),
    leaseMarginMs: quantity(table.lease_margin, parseDurationMs, 400),
    heartbeatMs: quantity(table.heartbeat, parseDurationMs, 200),
    linkTimeoutMs: quantity(table.link_timeout, parseDurationMs, 1000),
    partnerGraceMs: quantity(table.partner_grace, parseDurationMs, 1500),
    plexTimeoutMs: quantity(table.plex_timeout, parseDurationMs, 10_000),
  }
}

function timingMistakes(timing: Timing): Mistake[] {
  const found: Mistake[] = []
  if (timing.leaseMarginMs * 4 > timing.leaseMs) {
    found.push({ path: ['timing', 'lease_margin'], text: 'must be at most a quarter of timing.lease' })
  }
  if (timing.plexTimeoutMs < timing.linkTimeoutMs) {
    found.push({ path: ['timing', 'plex_timeout'], text: 'must be at least timing.link_timeout' })
  }
  if (timing.heartbeatMs * 2 > timing.linkTimeoutMs) {
    found.push({ path: ['timing', 'heartbeat'], text: 'must be at most half of timing.link_timeout' })
  }
  return found
}

function quantity(text: string | undefined, parser: (text: string) => Parsed, otherwise: number): number {
  if (text === undefined) return otherwise
  const parsed = parser(text)
  assert('value' in parsed, 'quantities have been checked')
  return parsed.value
}

function address(text: string): Address {
  const parsed = parseAddress(text)
  assert(parsed, 'addresses have been checked')
  return parsed
}

/** What the engine of one aggregate is told. `nvramPersistent`: what the NVRAM directory was found to be. */
export function engineSettings(
  config: NodeConfig,
  aggregate: AggregateConfig,
  found: { boot: string; nvramPersistent: boolean },
): EngineSettings {
  const persistent = config.nvram.persistent ?? found.nvramPersistent
  return {
    aggregate: {
      name: aggregate.name,
      identity: aggregate.identity,
      home: aggregate.home,
      plexes: aggregate.plexes,
    },
    node: config.node,
    partner: config.partner,
    pair: config.pair,
    boot: found.boot,
    durability: aggregate.durability ?? (persistent ? 'nvram' : 'vault'),
    cpu: aggregate.cpu,
    logPages: aggregate.logByteLength / BLOCK_SIZE,
    nvramDirectory: config.nvram.directory,
    cacheByteLength: aggregate.cacheByteLength,
    ...config.timing,
    takeover: aggregate.takeover,
    cpIntervalMs: aggregate.cpIntervalMs,
    cpFillMark: aggregate.cpFillMark,
    connectionsMax: aggregate.connectionsMax,
    scrubIntervalMs: aggregate.scrubIntervalMs,
    scrubByteRate: aggregate.scrubByteRate,
  }
}
