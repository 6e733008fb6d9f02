import { StoreError } from '../base/errors.ts'
import type { AggregateView, NodeControl } from './node-control.ts'

/** The aggregate named, which must exist on this node. */
export function aggregateNamed(node: NodeControl, name: string): AggregateView {
  const found = node.aggregates().find((aggregate) => aggregate.name === name)
  if (found) return found
  const names = node.aggregates().map((aggregate) => aggregate.name)
  throw new StoreError('USAGE', `node ${node.name} has no aggregate ${name}; it has ${names.join(', ')}`)
}

/** Where a new volume goes: the aggregate asked for, else one at home here, else any that is served here. */
export function aggregateForNewVolume(node: NodeControl, wanted: string | undefined): AggregateView {
  if (wanted !== undefined) return aggregateNamed(node, wanted)
  const serving = node.aggregates().filter((aggregate) => aggregate.serves)
  const found = serving.find((aggregate) => aggregate.home === node.name) ?? serving[0]
  if (found) return found
  const why = node.aggregates().map(({ name, because }) => `${name}: ${because}`)
  throw new StoreError('NOT_READY', `node ${node.name} serves no aggregate now (${why.join('; ')})`)
}

/** The aggregate that has a volume of this name and is served here. */
export function aggregateOfVolume(
  node: NodeControl,
  name: string,
  wanted: string | undefined,
): AggregateView {
  const aggregates = wanted === undefined ? node.aggregates() : [aggregateNamed(node, wanted)]
  const having = aggregates.filter(({ volumes }) => volumes.some((volume) => volume.name === name))
  if (having.length > 1) {
    const names = having.map((aggregate) => aggregate.name).join(' and ')
    throw new StoreError('USAGE', `${names} both have a volume ${name}; say which with --aggregate`)
  }
  if (having[0]) return having[0]
  const notHere = aggregates.filter((aggregate) => !aggregate.serves)
  const hint = notHere.map(
    (aggregate) => `; aggregate ${aggregate.name} is not served here: ${aggregate.because}`,
  )
  throw new StoreError('VOLUME_UNKNOWN', `node ${node.name} serves no volume ${name}${hint.join('')}`)
}

/** Aggregates that are meant when none or some are named. */
export function aggregatesMeant(
  node: NodeControl,
  names: readonly string[] | undefined,
  otherwise: (aggregate: AggregateView) => boolean,
): AggregateView[] {
  if (names === undefined) return node.aggregates().filter(otherwise)
  return names.map((name) => aggregateNamed(node, name))
}
