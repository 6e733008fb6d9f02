import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { readNodeConfig } from '../config/node-config.ts'
import { byteLengthText } from '../config/quantities.ts'
import { readLabel } from '../disk/label.ts'
import { identityText } from '../format/identity.ts'
import type { Disk } from '../ports/disk.ts'
import { defaultDir } from './context.ts'
import { formatAggregate } from './format-aggregate.ts'
import { type DiskWorld, runProcedure } from './in-process.ts'
import { say, sayJson, tableText } from './output.ts'
import { readPairFile } from './pair-file.ts'

export interface LabelOptions {
  config: string
  aggregate: string
  force?: true
  json?: true
}

/** Labels the disks of an aggregate, in the order of the settings, and makes its empty image. */
export async function labelDisks(devices: readonly string[], options: LabelOptions): Promise<void> {
  const config = readNodeConfig(options.config)
  const aggregate = config.aggregates.find(({ name }) => name === options.aggregate)
  if (!aggregate) {
    const names = config.aggregates.map(({ name }) => name).join(', ')
    throw new StoreError('USAGE', `${options.config} has no aggregate ${options.aggregate}; it has ${names}`)
  }
  const given = devices.map((device) => resolve(device))
  const wanted = aggregate.disks
  if (given.length !== wanted.length || wanted.some((disk) => !given.includes(disk))) {
    const disks = `the disks of aggregate ${aggregate.name} are ${wanted.join(' ')}`
    const text = `${disks}; label all of them, and no other`
    throw new StoreError('USAGE', text)
  }
  const { name, identity, disks, logByteLength } = aggregate
  const force = options.force === true
  const labelled = runProcedure((world) =>
    formatAggregate(world, { pair: config.pair, name, identity, disks, logByteLength, force }),
  )
  if (options.json) sayJson({ aggregate: name, disks: labelled })
  else for (const disk of labelled) say(`${disk.path} is a disk of aggregate ${name} now`)
}

interface ListedDisk {
  readonly path: string
  readonly byteLength: number | null
  readonly aggregate: string | null
  readonly pair: string | null
  readonly disk: string | null
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
      ['DISK', 'SIZE', 'AGGREGATE', 'FOUND'],
      disks.map(({ path, byteLength, aggregate, found }) => [
        path,
        byteLength === null ? '-' : byteLengthText(byteLength),
        aggregate ?? '-',
        found,
      ]),
    ),
  )
}

function* inspect(world: DiskWorld, path: string): Procedure<ListedDisk> {
  const unknown = { path, byteLength: null, aggregate: null, pair: null, disk: null }
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
      disk: identityText(label.disk),
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
  const ofPair = pair?.nodes.map(({ disk }) => disk).filter((disk) => existsSync(disk)) ?? []
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
