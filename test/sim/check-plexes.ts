import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { SUPERBLOCK_COPIES_AT, type SuperblockValues } from '../../ts/disk/superblock.ts'
import { LABEL_ZONE_BYTES } from '../../ts/disk/zones.ts'
import { judgeSeal } from '../../ts/format/sealed.ts'
import {
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_SLOTS,
  SUPERBLOCK_VERSION,
  Superblock,
  superblockSlot,
} from '../../ts/format/superblock.ts'
import type { SimEngine } from './engine-host.ts'
import type { Platter } from './platter.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/**
 * Whatever the record calls in sync has everything: the superblock of each consistency point before that
 * counts, and in peace the same as the other plex.
 */
export class PlexCheck {
  readonly #world: SimWorld

  constructor(world: SimWorld) {
    this.#world = world
  }

  /** A consistency point of this engine counts now. */
  published({ engine, node, place }: SimEngine): void {
    const aggregate = this.#world.aggregates[place]!
    const { owner } = engine
    if (aggregate.disks.length < 2 || owner === undefined || this.#world.isDoomed) return
    // another one may have come meanwhile, and have changed the record
    const record = this.#world.recordOf(aggregate)
    if (record?.owner !== node.name || record.epoch !== owner.aggregate.epoch) return
    const { epoch, generation } = owner.aggregate.image
    for (const plex of this.#world.plexesInSync(aggregate)) {
      const { durable } = this.#world.platter(aggregate.disks[plex]!)
      const slot = superblockSlot(epoch, generation)
      const found = superblocksIn((number) => durable.get(number), slot).filter(
        (one) => one.epoch === epoch && one.generation === generation,
      )
      if (found.some((one) => wordOn(one, plex) === 0)) continue
      const what = found.length === 0 ? 'has not' : 'calls itself not in sync in'
      throw new Error(
        `plex ${plex} of ${aggregate.name} is in sync by the record, and ${what} generation ${generation} of epoch ${epoch}, which counts`,
      )
    }
  }

  /** In peace both plexes hold the same, and know that of each other. */
  mustBeEqual(aggregate: AggregateWorld): void {
    if (aggregate.disks.length < 2) return
    const [first, second] = this.#world.plattersOf(aggregate).map(newestOn)
    const [one, other] = [told(first), told(second)]
    if (first?.plex0 === 0 && first.plex1 === 0 && one === other) return
    throw new Error(`the plexes of ${aggregate.name} are not equal: ${one}; ${other}`)
  }
}

/** The good superblocks of one slot, of two copies. */
function superblocksIn(block: (number: number) => Uint8Array | undefined, slot: number): SuperblockValues[] {
  const places = SUPERBLOCK_COPIES_AT.map((at) => (LABEL_ZONE_BYTES + at) / BLOCK_SIZE + slot)
  return places.flatMap((number) => {
    const bytes = block(number)
    if (bytes === undefined || judgeSeal(bytes, SUPERBLOCK_MAGIC, SUPERBLOCK_VERSION) !== 'good') return []
    return [Superblock.decode(bytes)]
  })
}

function newestOn(platter: Platter): SuperblockValues | undefined {
  const slots = Array.from({ length: SUPERBLOCK_SLOTS }, (_, slot) => slot)
  const all = slots.flatMap((slot) => superblocksIn((number) => platter.block(number), slot))
  return all.sort((a, b) => b.epoch - a.epoch || b.generation - a.generation)[0]
}

const wordOn = ({ plex0, plex1 }: SuperblockValues, plex: number): number => (plex === 0 ? plex0 : plex1)

function told(superblock: SuperblockValues | undefined): string {
  if (superblock === undefined) return 'no superblock'
  const { epoch, generation, root, lastSequence, plex0, plex1 } = superblock
  const state = plex0 + plex1 === 0 ? 'both in sync' : `plex 0: ${plex0}, plex 1: ${plex1}`
  return `epoch ${epoch}, generation ${generation}, root ${root}, through ${lastSequence}, ${state}`
}
