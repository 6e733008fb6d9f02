import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { type AggregateConfig, type NodeConfig, readNodeConfig } from '../config/node-config.ts'
import { byteLengthText, exactByteLengthText, parseByteLength } from '../config/quantities.ts'
import { readLabel } from '../disk/label.ts'
import { identityText } from '../format/identity.ts'
import type { Disk } from '../ports/disk.ts'
import { addDisks } from './add-disks.ts'
import { defaultDir } from './context.ts'
import { type FormattedDisk, formatAggregate, type Sizes } from './format-aggregate.ts'
import { type DiskWorld, runProcedure } from './in-process.ts'
import { labelPlex, labelPlexAlone } from './label-plex.ts'
import { say, sayJson, tableText } from './output.ts'
import { readPairFile } from './pair-file.ts'

export interface LabelOptions {
  config: string
  aggregate: string
  plex?: '0' | '1'
  size?: string
  add?: true
  force?: true
  json?: true
}

/**
 * Labels the disks of an aggregate and makes its empty image; or labels those of one plex, for the owner
 * to fill. The order is that of the settings. Nothing is seen here of a plex that is attached to the partner.
 */
export async function labelDisks(devices: readonly string[], options: LabelOptions): Promise<void> {
  const config = readNodeConfig(options.config)
  const aggregate = config.aggregates.find(({ name }) => name === options.aggregate)
  if (!aggregate) {
    const names = config.aggregates.map(({ name }) => name).join(', ')
    throw new StoreError('USAGE', `${options.config} has no aggregate ${options.aggregate}; it has ${names}`)
  }
  const plex = options.plex === undefined ? undefined : Number(options.plex)
  const plexes = aggregate.plexes.map((place) => (place === 'partner' ? [] : place))
  const isApart = aggregate.plexes.includes('partner')
  if (options.add === true) return labelAdded(config, { ...aggregate, plexes }, devices, options)
  if (isApart) mustBeHere(config, aggregate, plex)
  const sizes = sizesOf(options.size, Math.max(...plexes.map(({ length }) => length)))
  if (sizes.length > 0 && plex !== undefined && !isApart)
    throw new StoreError('USAGE', 'the other plex is here and decides the layout: leave out --size')
  const own = isApart ? plexes.findIndex((disks) => disks.length > 0) : plex
  mustBeAllOf({ name: aggregate.name, plexes }, own, devices)
  const { name, identity, logByteLength } = aggregate
  const facts = { pair: config.pair, name, identity, logByteLength, sizes, force: options.force === true }
  const labelled = runProcedure((world) => {
    // only plex 0 of a new aggregate begins with an image; every other one is filled by its owner
    if (own === undefined || (isApart && own === 0 && plex === undefined))
      return formatAggregate(world, { ...facts, plexes: plexes.filter((disks) => disks.length > 0) })
    if (isApart) return labelPlexAlone(world, { ...facts, plex: own, paths: plexes[own]! })
    return labelPlex(world, { ...facts, plexes, plex: own })
  })
  tell(labelled, { ...aggregate, plexes }, config.partner.name, options)
}

/** Who has no disks of a plex in its settings has a partner that has. */
interface PlexesHere {
  readonly name: string
  readonly plexes: readonly (readonly string[])[]
}

function tell(
  labelled: readonly FormattedDisk[],
  { name, plexes }: PlexesHere,
  partner: string,
  { json }: LabelOptions,
): void {
  const size = layoutText(labelled)
  if (json) return sayJson({ aggregate: name, disks: labelled, size })
  const what = (of: number) => (plexes.length === 1 ? 'a disk' : `a disk of plex ${of}`)
  for (const disk of labelled) say(`${disk.path} is ${what(disk.plex)} of aggregate ${name} now`)
  const theirs = plexes.findIndex((disks) => disks.length === 0)
  if (theirs >= 0) say(`plex ${theirs}, on ${partner}, must be laid out alike: --size ${size}`)
}

/** Labels disks that come last in the lists of the settings, and are new there. */
function labelAdded(
  { pair, partner }: NodeConfig,
  aggregate: PlexesHere & Pick<AggregateConfig, 'identity'>,
  devices: readonly string[],
  options: LabelOptions,
): void {
  if (options.plex !== undefined)
    throw new StoreError('USAGE', 'with --add, the settings say which plex each disk is of: leave out --plex')
  const { name, identity, plexes } = aggregate
  const here = plexes.map((paths, plex) => ({ plex, paths })).filter(({ paths }) => paths.length > 0)
  const count = devices.length / here.length
  const given = devices.map((device) => resolve(device))
  const areLast = ({ paths }: { readonly paths: readonly string[] }): boolean =>
    count < paths.length && paths.slice(-count).every((path) => given.includes(path))
  if (!Number.isInteger(count) || !here.every(areLast) || new Set(given).size < given.length) {
    const lists = here.map(({ paths }) => paths.join(' ')).join(', and ')
    const text = `the disks of aggregate ${name} are ${lists}; --add is for the last ones of each list`
    throw new StoreError('USAGE', `${text}: write the new disks there first, then give exactly those`)
  }
  const wanted = { pair, name, identity, force: options.force === true, plexes: here, count }
  const sizes = sizesOf(options.size, count)
  tell(
    runProcedure((world) => addDisks(world, { ...wanted, sizes })),
    aggregate,
    partner.name,
    options,
  )
  if (!options.json)
    say('they count as soon as a node opens the aggregate with this list; the other one needs it, too')
}

/** One plex is attached to the partner. */
function mustBeHere(
  { node, partner }: NodeConfig,
  { name, plexes, home }: AggregateConfig,
  plex: number | undefined,
): void {
  const theirs = plexes.indexOf('partner')
  if (plex === theirs) {
    const text = `plex ${plex} of aggregate ${name} is attached to ${partner.name}`
    throw new StoreError('USAGE', `${text}: label it there`)
  }
  // the home makes the first record of an aggregate, and finds the image on its own disks
  const homeOfImage = theirs === 0 ? partner.name : node.name
  if (plex !== undefined || home === homeOfImage) return
  const text = `plex 0 of aggregate ${name} is attached to ${homeOfImage}, and its home is ${home}`
  const remedy = 'a new aggregate begins at its home: change disks with mirror in both configurations'
  throw new StoreError('USAGE', `${text}; ${remedy}. To replace the disks of a plex: --plex`)
}

/** As `--size` has them: one for all disks of a plex, or one for each. */
function sizesOf(text: string | undefined, diskCount: number): Sizes {
  if (text === undefined) return []
  const sizes = text.split(',').map((size) => {
    const parsed = parseByteLength(size)
    if ('mistake' in parsed) throw new StoreError('USAGE', `--size: ${parsed.mistake}`)
    return parsed.value
  })
  if (sizes.length === 1 || sizes.length === diskCount) return sizes
  throw new StoreError('USAGE', `--size: one size, or one for each disk: ${diskCount}, not ${sizes.length}`)
}

/** How the disks of a plex are laid out, in order, as `--size` takes it. */
function layoutText(labelled: readonly FormattedDisk[]): string {
  const ofPlex = labelled.filter(({ plex }) => plex === labelled[0]!.plex)
  const sizes = ofPlex.map(({ layoutByteLength }) => exactByteLengthText(layoutByteLength))
  return new Set(sizes).size === 1 ? sizes[0]! : sizes.join(',')
}

/** The devices are exactly those of the plex, or of the whole aggregate. */
function mustBeAllOf(
  { name, plexes }: { name: string; plexes: readonly (readonly string[])[] },
  plex: number | undefined,
  devices: readonly string[],
): void {
  if (plex !== undefined && plexes.length === 1) {
    const remedy = 'leave out --plex, or give it a mirror in the configuration'
    throw new StoreError('USAGE', `aggregate ${name} is not mirrored; ${remedy}`)
  }
  const given = devices.map((device) => resolve(device))
  const isAll = (wanted: readonly string[]) =>
    given.length === wanted.length && wanted.every((disk) => given.includes(disk))
  const wanted = plex === undefined ? plexes.flat() : plexes[plex]!
  if (isAll(wanted)) return
  const whose = plex === undefined ? `aggregate ${name}` : `plex ${plex} of aggregate ${name}`
  const text = `the disks of ${whose} are ${wanted.join(' ')}; label all of them, and no other`
  const found = plexes.length === 1 ? -1 : plexes.findIndex(isAll)
  const hint = found < 0 || found === plex ? '' : `, or with --plex ${found} only those of plex ${found}`
  throw new StoreError('USAGE', `${text}${hint}`)
}

interface ListedDisk {
  readonly path: string
  readonly byteLength: number | null
  readonly aggregate: string | null
  readonly pair: string | null
  readonly plex: number | null
  readonly disk: string | null
  /** how far it is laid out, as `disk label --size` takes it */
  readonly size: string | null
  /** what was found on it, in words */
  readonly found: string
}

/** Labels of the disks given, or of all that this host has and of the pair of `pollux up`. */
export async function listDisks(
  paths: readonly string[],
  options: { dir?: string; json?: true },
): Promise<void> {
  const wanted = paths.length > 0 ? paths.map((path) => resolve(path)) : knownDisks(options.dir)
  const disks = wanted.map((path) => runProcedure((world) => inspect(world, path)))
  if (options.json) return sayJson({ disks })
  say(
    tableText(
      ['DISK', 'SIZE', 'LAID OUT', 'AGGREGATE', 'FOUND'],
      disks.map(({ path, byteLength, size, aggregate, found }) => [
        path,
        byteLength === null ? '-' : byteLengthText(byteLength),
        size ?? '-',
        aggregate ?? '-',
        found,
      ]),
    ),
  )
}

function* inspect(world: DiskWorld, path: string): Procedure<ListedDisk> {
  const unknown = { path, byteLength: null, aggregate: null, pair: null, plex: null, disk: null, size: null }
  let disk: Disk | undefined
  try {
    disk = world.disks.open(path)
    const verdict = yield* readLabel(disk, world.memory)
    const listed = { ...unknown, byteLength: disk.byteLength }
    if (verdict.kind === 'blank') return { ...listed, found: 'blank' }
    if (verdict.kind === 'foreign') return { ...listed, found: verdict.what }
    if (verdict.kind === 'version') return { ...listed, found: `a label of version ${verdict.version}` }
    const { label, damaged } = verdict
    const place = `disk ${label.diskIndex + 1} of ${label.diskCount} in plex ${label.plex}`
    return {
      ...listed,
      aggregate: label.aggregateName,
      pair: identityText(label.pair),
      plex: label.plex,
      disk: identityText(label.disk),
      size: exactByteLengthText(label.byteLength),
      found: damaged === undefined ? place : `${place}, the label at its ${damaged} is damaged`,
    }
  } catch (error) {
    return { ...unknown, found: (error as Error).message }
  } finally {
    disk?.close()
  }
}

function knownDisks(dirOption: string | undefined): string[] {
  const pair = readPairFile(dirOption === undefined ? defaultDir() : resolve(dirOption))
  const ofNodes = pair?.nodes.flatMap(({ disk, mirror }) => (mirror === undefined ? [disk] : [disk, mirror]))
  const ofPair = ofNodes?.filter((disk) => existsSync(disk)) ?? []
  return [...ofPair, ...(dirOption === undefined ? blockDevices() : [])]
}

/** Whole disks and partitions that have a size. */
function blockDevices(): string[] {
  try {
    return readdirSync('/sys/class/block')
      .filter((name) => !/^(ram|zram|sr|fd)/.test(name))
      .filter((name) => Number(readFileSync(join('/sys/class/block', name, 'size'), 'utf8')) > 0)
      .map((name) => join('/dev', name))
  } catch {
    return []
  }
}
