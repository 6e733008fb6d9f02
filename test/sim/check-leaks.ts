import { MIB } from '../../ts/base/units.ts'
import type { SimEngine } from './engine-host.ts'
import type { SimWorld } from './world.ts'

/** What one engine may have allocated, whatever happened to it. */
const MEMORY_MAX = 96 * MIB

/** Bounded, always: called after every turn, so it only compares numbers. */
export function checkMemory(host: SimEngine): void {
  const { byteLength } = host.memory
  if (byteLength > MEMORY_MAX)
    throw new Error(`${host.node.name} has allocated ${byteLength} bytes: that grows without end`)
}

/** In peace, with all answered and everything on the disks, nothing is held any more. */
export function checkLeaks(world: SimWorld): void {
  for (const host of world.hosts()) {
    const where = `${host.node.name}/${world.aggregates[host.place]!.name}`
    for (const [what, count] of leaksOf(host, world)) {
      if (count !== 0) throw new Error(`${where}: ${count} ${what} are left in peace`)
    }
  }
}

/** An owner has all disks open that it reaches; where nothing is shared, a keeper serves its own to it. */
function disksInUse({ engine, place, node }: SimEngine, { aggregates, options, added }: SimWorld): number {
  const aggregate = aggregates[place]!
  const ofPlex = 1 + added.listedBy(node, aggregate)
  if (options.isApart) return ofPlex
  return engine.owner === undefined ? 0 : aggregate.disks.length * ofPlex
}

function leaksOf(host: SimEngine, world: SimWorld): [string, number][] {
  const { engine, openDisks, inFlight } = host
  const { owner } = engine
  const always: [string, number][] = [
    ['open disks', openDisks - disksInUse(host, world)],
    ['operations of disks', inFlight],
    ['requests of the control path', engine.waiting.length],
  ]
  if (owner === undefined) return always
  const { aggregate } = owner
  return [
    ...always,
    ['acknowledgements', aggregate.acknowledgements.count],
    ['stabilities', aggregate.stabilities.count],
    ['reads', aggregate.readsInUse],
    ['requests in flight', aggregate.sessions.clients.reduce((sum, client) => sum + client.inFlight, 0)],
    ['promised blocks', aggregate.image.space.reservations.promised],
    ['pages of the log', aggregate.ring.pagesUsed],
    ['entries of the log', aggregate.ring.entryCount],
  ]
}
