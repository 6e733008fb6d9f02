import type { Procedure } from '../../../ts/base/procedure.ts'
import { BLOCK_SIZE, GIB, MIB } from '../../../ts/base/units.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { type ScrubFinding, scrub } from '../../../ts/volume/scrub.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'

export interface Setting {
  readonly world: MemoryWorld
  readonly disk: MemoryDisk
  readonly image: Image
  readonly log: ChangeLog
  readonly volume: number
}

/** A volume of 1 GiB with some thousand blocks all over it, so that its tree has three levels. */
export function setting(): Setting {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [64 * MIB])
  return filled(world, disks[0]!, openImage(world, disks))
}

export function filled(world: MemoryWorld, disk: MemoryDisk, image: Image): Setting {
  const log = new ChangeLog(world, image)
  const volume = log.create('vol0', GIB)
  log.create('empty', GIB)
  const random = new SeededRandom(3)
  for (let count = 0; count < 3000; count += 1) log.write(volume, random.below(GIB / BLOCK_SIZE), 1)
  for (const block of [70_000, 200_000]) log.write(volume, block, 1)
  log.commit()
  return { world, disk, image, log, volume }
}

export interface Seen {
  readonly findings: ScrubFinding[]
  byteLength: number
  mapsWanted: number
}

/** Scrubs; `between` is called after every part, `found` with each finding. */
export function run(
  { world, image }: Setting,
  between: (seen: Seen) => void = () => {},
  found: (finding: ScrubFinding) => void = () => {},
): Seen {
  const seen: Seen = { findings: [], byteLength: 0, mapsWanted: 0 }
  function* pace(byteLength: number): Procedure {
    seen.byteLength += byteLength
    between(seen)
    yield 'again'
  }
  const user = {
    isOver: () => false,
    pace,
    found: (finding: ScrubFinding) => {
      seen.findings.push(finding)
      found(finding)
    },
    rewriteMap: () => {
      seen.mapsWanted += 1
    },
  }
  world.run(scrub(image, user), () => image.cache.submit())
  return seen
}

export const damage = (disk: MemoryDisk, at: number): void => {
  disk.bytes[at + 100]! ^= 1
}

export const placeOf = ({ image }: Setting, physical: number): number =>
  image.plex.disks[0]!.zones.blocksAt + physical * BLOCK_SIZE

/** Where a block, or the pointer block of a level above it, lies. */
export function locate(setting: Setting, block: number, level: number): number {
  const { world, image, volume } = setting
  function* look(): Procedure<number> {
    const { root, height } = image.directory.get(volume)!
    for (;;) {
      const physical = image.tree.locate(root, height, block, level, { wake: () => {} })
      if (physical >= 0) return physical
      yield 'wait'
    }
  }
  return world.run(look(), () => image.cache.submit())
}
