import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { stringify } from 'smol-toml'
import { preallocate } from '../adapters/native.ts'
import { isStoreError, StoreError } from '../base/errors.ts'
import { MIB, roundUp } from '../base/units.ts'
import { byteLengthText, exactByteLengthText } from '../config/quantities.ts'
import { identityText } from '../format/identity.ts'
import { allowedCpus } from './cpus.ts'
import { formatAggregate, vaultByteLength } from './format-aggregate.ts'
import { runProcedure } from './in-process.ts'
import { labelPlexAlone } from './label-plex.ts'
import { note, progress } from './output.ts'
import {
  configPath,
  isApart,
  type PairFile,
  type PairNode,
  readPairFile,
  removePairFile,
  writePairFile,
} from './pair-file.ts'
import { chooseNvram } from './pair-nvram.ts'
import { freePorts } from './pair-ports.ts'

export interface PairWish {
  readonly size: number
  readonly durability: 'pair' | 'vault' | 'default'
  readonly logByteLength: number
  readonly isLogExplicit: boolean
  readonly diskByteLength: number | undefined
  /** nothing is shared: each node has disks of its own, with a plex of each aggregate */
  readonly isApart: boolean
}

const SOCKET_PATH_MAX = 107
const nodeNames = ['castor', 'pollux'] as const
/** Folders of disks: of both nodes, or of one each. */
const folders = ['disks', ...nodeNames]
const diskPath = (dir: string, folder: string, name: string): string => join(dir, folder, `${name}.disk`)

type Disks = Pick<PairNode, 'disk' | 'mirror'>

function disksOf(dir: string, name: string, isApart: boolean): Disks {
  if (!isApart) return { disk: diskPath(dir, 'disks', name) }
  const other = nodeNames.find((node) => node !== name)!
  return { disk: diskPath(dir, name, name), mirror: diskPath(dir, other, name) }
}

const allDisks = ({ nodes }: PairFile): string[] =>
  nodes.flatMap(({ disk, mirror }) => (mirror === undefined ? [disk] : [disk, mirror]))

/** The first run: identities, ports, disks and settings of a new embedded pair. Nothing runs yet. */
export async function preparePair(dir: string, wish: PairWish): Promise<PairFile> {
  refuseOthersDisks(dir)
  const pair = await planPair(dir, wish)
  writePairFile(dir, pair)
  // without disks, logs are of no use to anybody: a first run was interrupted, or the folder was deleted
  rmSync(pair.nvramDirectory, { recursive: true, force: true })
  makeDisks(dir, pair)
  for (const node of pair.nodes) format(pair, node)
  writeConfigs(dir, pair)
  const formatted: PairFile = { ...pair, state: 'formatted' }
  writePairFile(dir, formatted)
  return formatted
}

function format(pair: PairFile, { name, aggregateIdentity: identity, disk, mirror }: PairNode): void {
  progress(`formatting ${disk}`)
  // a first run that was interrupted may have labelled it already
  const facts = { pair: pair.pair, name, identity, logByteLength: pair.logByteLength, force: true }
  runProcedure((world) => formatAggregate(world, { ...facts, plexes: [[disk]] }))
  if (mirror === undefined) return
  runProcedure((world) => labelPlexAlone(world, { ...facts, plex: 1, paths: [mirror], sizes: [] }))
}

/** Disks without the description of their pair may hold data, except after an interrupted first run. */
function refuseOthersDisks(dir: string): void {
  const possible = folders.flatMap((folder) => nodeNames.map((name) => diskPath(dir, folder, name)))
  const found = possible.find((disk) => existsSync(disk))
  if (!found || readPairFile(dir)?.state === 'preparing') return
  const text = `${found} is there but ${dir} has no pair.json`
  throw new StoreError('DISK_FOREIGN', `${text}; restore it, or give another --dir`)
}

async function planPair(dir: string, wish: PairWish): Promise<PairFile> {
  const nvram = chooseNvram(dir, wish.logByteLength, wish.isLogExplicit)
  if (nvram.note !== '') note(nvram.note)
  const ports = await freePorts(4)
  const { logByteLength, directory } = nvram
  const node = (name: string, volume: string, index: number): PairNode => ({
    name,
    identity: newIdentity(),
    aggregateIdentity: newIdentity(),
    volume,
    servicePort: ports[2 * index]!,
    linkPort: ports[2 * index + 1]!,
    api: socketPath(dir, directory, name),
    ...disksOf(dir, name, wish.isApart),
  })
  // room for the volume, for all of it once more that a consistency point has not freed yet, and the log
  const enough = 2 * wish.size + vaultByteLength(logByteLength) + 64 * MIB
  return {
    version: 1,
    state: 'preparing',
    pair: newIdentity(),
    size: wish.size,
    diskByteLength: roundUp(wish.diskByteLength ?? enough, MIB),
    logByteLength,
    durability: wish.durability,
    nvramDirectory: directory,
    nodes: [node(nodeNames[0], 'vol0', 0), node(nodeNames[1], 'vol1', 1)],
  }
}

const newIdentity = (): string => identityText(randomBytes(16))

/** Beside the settings, unless that path is longer than the path of a socket may be. */
function socketPath(dir: string, nvramDirectory: string, name: string): string {
  const path = join(dir, `${name}.sock`)
  return Buffer.byteLength(path) <= SOCKET_PATH_MAX ? path : join(nvramDirectory, `${name}.sock`)
}

/** Files with all their blocks, so that a full file system shows now and not under load. */
function makeDisks(dir: string, pair: PairFile): void {
  const { diskByteLength } = pair
  const disks = allDisks(pair)
  try {
    for (const disk of disks) {
      mkdirSync(dirname(disk), { recursive: true, mode: 0o700 })
      progress(`allocating ${byteLengthText(diskByteLength)} for ${disk}`)
      rmSync(disk, { force: true })
      closeSync(openSync(disk, 'wx', 0o600))
      preallocate(disk, diskByteLength)
    }
  } catch (error) {
    for (const disk of disks) rmSync(disk, { force: true })
    rmSync(pair.nvramDirectory, { recursive: true, force: true })
    removePairFile(dir)
    if (!isStoreError(error)) throw error
    const { bavail, bsize } = statfsSync(dirname(disks[0]!))
    const needed = byteLengthText(disks.length * diskByteLength)
    const room = `${needed} are needed and ${byteLengthText(bavail * bsize)} are free`
    const half = isApart(pair) ? ', --shared for half of it,' : ''
    const text = `${error.message}; ${room}; give a smaller --size${half} or another --dir`
    throw new StoreError('DISK_TOO_SMALL', text, { cause: error })
  }
}

/** One file of settings for each node, as `pollux serve` reads it. */
export function writeConfigs(dir: string, pair: PairFile): void {
  const [castor, pollux] = pair.nodes
  writeFileSync(configPath(dir, castor.name), configText(dir, pair, castor, pollux), { mode: 0o600 })
  writeFileSync(configPath(dir, pollux.name), configText(dir, pair, pollux, castor), { mode: 0o600 })
}

/** Keys of an aggregate for its disks, as one of the nodes sees them. */
function placesOf({ name, disk, mirror }: PairNode, node: PairNode): Record<string, string | string[]> {
  if (mirror === undefined) return { disks: [disk] }
  return name === node.name ? { disks: [disk], mirror: 'partner' } : { disks: 'partner', mirror: [mirror] }
}

/** With fewer CPUs than engines, the two of an aggregate share one. */
function cpuOf(index: number, aggregates: number, cpus: readonly number[]): { cpu?: number } {
  return cpus.length < 2 * aggregates ? { cpu: cpus[index % cpus.length]! } : {}
}

export function configText(
  dir: string,
  pair: PairFile,
  node: PairNode,
  partner: PairNode,
  cpus: readonly number[] = allowedCpus(),
): string {
  const durability = pair.durability === 'default' ? {} : { durability: pair.durability }
  const settings = {
    pair: pair.pair,
    node: { name: node.name, identity: node.identity },
    partner: { name: partner.name, identity: partner.identity, link: `127.0.0.1:${partner.linkPort}` },
    nvram: { directory: join(pair.nvramDirectory, node.name) },
    arbiter: { kind: 'file', directory: join(dir, 'arbiter') },
    link: { listen: `127.0.0.1:${node.linkPort}` },
    api: { socket: node.api },
    aggregate: pair.nodes.map((home, index) => ({
      name: home.name,
      identity: home.aggregateIdentity,
      home: home.name,
      ...placesOf(home, node),
      service: `127.0.0.1:${home.servicePort}`,
      log_size: exactByteLengthText(pair.logByteLength),
      ...cpuOf(index, pair.nodes.length, cpus),
      ...durability,
    })),
  }
  return `# Written by \`pollux up\`; read by \`pollux serve --config\`.\n${stringify(settings)}`
}
