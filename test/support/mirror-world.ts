import { BLOCK_SIZE, MIB } from '../../ts/base/units.ts'
import { labelDisk } from '../../ts/disk/label.ts'
import type { LabelledDisk } from '../../ts/disk/labelled-disk.ts'
import { type Base, Copies, Copy, type CopyState } from '../../ts/plex/copies.ts'
import { Image, type ImageSettings } from '../../ts/volume/image.ts'
import { labelledPlex, type PlexDisks } from '../../ts/volume/open-plexes.ts'
import { TreeWalk, type WalkedBlock } from '../../ts/volume/walk.ts'
import { bytesToWords } from '../../ts/volume/words.ts'
import { facts, settings } from './image-world.ts'
import type { MemoryDisk, MemoryWorld } from './memory-world.ts'

/** Labels the disks of one plex. */
export function labelPlexOf(world: MemoryWorld, plex: number, disks: readonly MemoryDisk[]): void {
  for (const [index, disk] of disks.entries()) {
    const ours = {
      ...facts(index, disks.length),
      plex,
      disk: new Uint8Array(16).fill(100 * plex + index + 1),
    }
    world.run(labelDisk(disk, ours, { force: true }, world.memory))
  }
}

/** Disks of two plexes that are labelled: those of plex 0, and their mirrors. */
export function labelPlexes(
  world: MemoryWorld,
  byteLengths: readonly number[] = [16 * MIB],
): [MemoryDisk[], MemoryDisk[]] {
  const [first, second] = ['disk', 'mirror'].map((name) =>
    byteLengths.map((byteLength, index) => world.disk(`/dev/${name}${index}`, byteLength)),
  ) as [MemoryDisk[], MemoryDisk[]]
  for (const [plex, disks] of [first, second].entries()) labelPlexOf(world, plex, disks)
  return [first, second]
}

/** Two plexes that hold an empty image, both in sync. */
export function makePlexes(
  world: MemoryWorld,
  byteLengths?: readonly number[],
): [MemoryDisk[], MemoryDisk[]] {
  const plexes = labelPlexes(world, byteLengths)
  world.run(Image.format(world, plexes, settings))
  return plexes
}

export function openMirror(
  world: MemoryWorld,
  plexes: readonly PlexDisks[],
  more: Partial<ImageSettings> = {},
): Image {
  return world.run(Image.open(world, plexes, { ...settings, ...more }))
}

/** The disks of a plex, with what their labels say. */
export const openDisksOf = (world: MemoryWorld, plex: number, disks: readonly MemoryDisk[]): LabelledDisk[] =>
  world.run(labelledPlex(world, plex, disks, settings))

/** Two plexes as their owner sees them. */
export function copiesOf(
  world: MemoryWorld,
  plexes: readonly (readonly MemoryDisk[])[],
  states: readonly CopyState[] = ['in-sync', 'in-sync'],
  base?: Base,
): { copies: Copies; first: Copy; second: Copy } {
  const [first, second] = plexes.map((disks, plex) => {
    const opened = openDisksOf(world, plex, disks)
    return new Copy(plex, states[plex]!, opened, base)
  }) as [Copy, Copy]
  return { copies: new Copies([first, second]), first, second }
}

interface TreeOf {
  readonly root: Uint32Array
  readonly height: number
}

/** All that the newest generation reaches, or what some trees do, from whichever plex in sync has it. */
export function reachedBlocks(
  world: MemoryWorld,
  image: Image,
  trees: readonly TreeOf[] = [directoryOf(image), ...image.directory.list()],
): WalkedBlock[] {
  const found: WalkedBlock[] = []
  const visitor = {
    enter: (block: WalkedBlock) => found.push({ ...block }) > 0,
    damaged: ({ physical }: WalkedBlock, why: string) => {
      throw new Error(`block ${physical} is damaged (${why})`)
    },
  }
  const walk = new TreeWalk(image.plex, world.memory, visitor, { copies: image.copies })
  for (const { root, height } of trees) world.run(walk.run(root, height))
  walk.close()
  return found
}

const directoryOf = ({ superblock }: Image): TreeOf => ({
  root: bytesToWords(superblock.directory),
  height: superblock.directoryHeight,
})

/** Which disk of a plex a block lies on, and where. */
export function placeOf({ plex }: Image, physical: number): { index: number; at: number } {
  const index = plex.segments.findIndex(({ end }) => physical < end)
  const { first, labelled } = plex.segments[index]!
  return { index, at: labelled.zones.blocksAt + (physical - first) * BLOCK_SIZE }
}

/** What a plex has of a block. */
export function blockOn(image: Image, disks: readonly MemoryDisk[], physical: number): Buffer {
  const { index, at } = placeOf(image, physical)
  return Buffer.from(disks[index]!.bytes.buffer, at, BLOCK_SIZE)
}

/** Blocks that the newest generation reaches and that are not the same on both plexes. */
export function differingBlocks(
  world: MemoryWorld,
  image: Image,
  [first, second]: readonly [MemoryDisk[], MemoryDisk[]],
): number[] {
  return reachedBlocks(world, image)
    .map(({ physical }) => physical)
    .filter((physical) => !blockOn(image, first, physical).equals(blockOn(image, second, physical)))
}

/** Collects what it is told. */
export function answers(): { readonly results: number[]; complete(result: number): void } {
  const results: number[] = []
  return { results, complete: (result) => results.push(result) }
}
