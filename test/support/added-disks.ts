import { labelDisk } from '../../ts/disk/label.ts'
import type { Image } from '../../ts/volume/image.ts'
import { facts } from './image-world.ts'
import type { MemoryDisk, MemoryWorld } from './memory-world.ts'

/** The disks of a plex, and one more that is labelled as the last one of them, empty. */
export function withAdded(
  world: MemoryWorld,
  plex: number,
  disks: readonly MemoryDisk[],
  byteLength: number,
): MemoryDisk[] {
  const added = world.disk(`/dev/added${plex}-${disks.length}`, byteLength)
  const disk = new Uint8Array(16).fill(200 + 10 * plex + disks.length)
  const ours = { ...facts(disks.length, disks.length + 1), plex, disk }
  world.run(labelDisk(added, ours, { force: false }, world.memory))
  return [...disks, added]
}

/** What a new owner does first, with an image that it has opened. */
export function begun(world: MemoryWorld, image: Image): Image {
  // nothing waits for a record here
  image.copies.isRecordedStale = () => true
  world.run(image.repairLabels())
  world.run(image.completeSuperblock())
  return image
}
