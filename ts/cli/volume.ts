import { StoreError } from '../base/errors.ts'
import { byteLengthText, parseByteLength } from '../config/quantities.ts'
import type { VolumeStatus } from '../node/messages.ts'
import { type Context, findContext, type KnownNode } from './context.ts'
import { say, sayJson } from './output.ts'
import { askNodes, type PairStatus, pairStatus, summarize } from './pair-status.ts'
import { volumeTable } from './status-text.ts'

export interface VolumeOptions {
  dir?: string
  json?: true
  aggregate?: string
}

type Changed = VolumeStatus & { aggregate: string }

export async function createVolume(name: string, options: VolumeOptions & { size: string }): Promise<void> {
  const size = sizeOf(options.size)
  const context = findContext(options.dir)
  const { node, aggregate } = await placeForNew(context, name, options.aggregate)
  const volume = await node.client.json<Changed>('POST', '/volumes', { name, size, aggregate })
  await report(context, options, volume, `volume ${name} of ${byteLengthText(volume.size)} is there`)
}

export async function resizeVolume(name: string, options: VolumeOptions & { size: string }): Promise<void> {
  const size = sizeOf(options.size)
  const context = findContext(options.dir)
  const { node, aggregate } = await placeOf(context, name, options.aggregate)
  const volume = await node.client.json<Changed>('PATCH', pathOf(name), { size, aggregate })
  await report(context, options, volume, `volume ${name} has ${byteLengthText(volume.size)} now`)
}

export async function renameVolume(name: string, newName: string, options: VolumeOptions): Promise<void> {
  const context = findContext(options.dir)
  const { node, aggregate } = await placeOf(context, name, options.aggregate)
  const volume = await node.client.json<Changed>('PATCH', pathOf(name), { newName, aggregate })
  await report(context, options, volume, `volume ${name} is called ${newName} now`)
}

export async function deleteVolume(name: string, options: VolumeOptions): Promise<void> {
  const context = findContext(options.dir)
  const { node, aggregate } = await placeOf(context, name, options.aggregate)
  const path = `${pathOf(name)}?aggregate=${encodeURIComponent(aggregate)}`
  const volume = await node.client.json<Changed>('DELETE', path)
  if (options.json) sayJson({ deleted: volume.name, aggregate })
  else say(`volume ${name} is deleted`)
}

export async function listVolumes(options: VolumeOptions): Promise<void> {
  const status = await answered(findContext(options.dir))
  const volumes = status.volumes.filter(
    (volume) => options.aggregate === undefined || volume.aggregate === options.aggregate,
  )
  if (options.json) sayJson({ volumes })
  else say(volumeTable(volumes))
}

/** One line of JSON with the keys that `status` has, or one for people. */
async function report(
  context: Context,
  options: VolumeOptions,
  volume: Changed,
  text: string,
): Promise<void> {
  if (!options.json) return say(text)
  const { volumes } = await pairStatus(context)
  const { name, size, aggregate } = volume
  const listed = volumes.find((other) => other.name === name && other.aggregate === aggregate)
  sayJson(listed ?? { name, size, aggregate })
}

async function answered(context: Context): Promise<PairStatus> {
  const status = await pairStatus(context)
  if (status.nodes.some(({ because }) => because === '')) return status
  throw new StoreError('API_UNREACHABLE', `no node of ${context.dir} runs; start them with \`pollux up\``)
}

interface Place {
  readonly node: KnownNode
  readonly aggregate: string
}

/** The node that serves the aggregate in which a volume is. */
async function placeOf(context: Context, name: string, wanted: string | undefined): Promise<Place> {
  const status = await answered(context)
  const found = status.volumes.filter(
    (volume) => volume.name === name && (wanted === undefined || volume.aggregate === wanted),
  )
  if (found.length > 1) {
    const names = found.map((volume) => volume.aggregate).join(' and ')
    throw new StoreError('USAGE', `${names} both have a volume ${name}; say which with --aggregate`)
  }
  const volume = found[0]
  if (volume) return { node: nodeNamed(context, volume.node), aggregate: volume.aggregate }
  const away = status.aggregates.filter(({ node }) => node === null)
  const hint = away.map((aggregate) => `; aggregate ${aggregate.name} is not served: ${aggregate.because}`)
  throw new StoreError('VOLUME_UNKNOWN', `no volume is called ${name}${hint.join('')}`)
}

/** The aggregate asked for, else the one with the most room. Names are unique in the whole pair. */
async function placeForNew(context: Context, name: string, wanted: string | undefined): Promise<Place> {
  const { aggregates, volumes } = summarize(context.dir, await askNodes(context))
  const existing = volumes.find((volume) => volume.name === name)
  if (existing) {
    throw new StoreError('VOLUME_EXISTS', `aggregate ${existing.aggregate} has a volume ${name} already`)
  }
  const candidates = aggregates.filter((aggregate) => wanted === undefined || aggregate.name === wanted)
  if (candidates.length === 0 && wanted !== undefined) {
    const names = aggregates.map((aggregate) => aggregate.name).join(', ') || 'none that answers'
    throw new StoreError('USAGE', `no aggregate is called ${wanted}; there is ${names}`)
  }
  const room = (aggregate: (typeof candidates)[number]): number => {
    const space = aggregate.engines[aggregate.node!]?.space
    return space ? space.byteLength - space.usedByteLength : 0
  }
  const served = candidates.filter(({ node }) => node !== null).sort((a, b) => room(b) - room(a))
  const best = served[0]
  if (best) return { node: nodeNamed(context, best.node!), aggregate: best.name }
  const why = candidates.map((aggregate) => `${aggregate.name}: ${aggregate.because}`).join('; ')
  throw new StoreError('NOT_READY', `no aggregate is served now${why === '' ? '' : ` (${why})`}`)
}

/** A node of the context; one with a socket of another name is found by asking. */
function nodeNamed(context: Context, name: string): KnownNode {
  return context.nodes.find((node) => node.name === name) ?? context.nodes[0]!
}

function sizeOf(text: string): number {
  const parsed = parseByteLength(text)
  if ('mistake' in parsed) throw new StoreError('USAGE', `--size: ${parsed.mistake}`)
  return parsed.value
}

const pathOf = (name: string): string => `/volumes/${encodeURIComponent(name)}`
