import { crc32c } from '../../ts/base/crc32c.ts'
import { BLOCK_SIZE, MIB } from '../../ts/base/units.ts'
import {
  type ConsistencyPointOptions,
  consistencyPoint,
  type Published,
} from '../../ts/consistency-point/consistency-point.ts'
import { labelDisk } from '../../ts/disk/label.ts'
import { identityText } from '../../ts/format/identity.ts'
import type { Memory } from '../../ts/ports/memory.ts'
import { FAILED, HOLE, WAIT } from '../../ts/volume/answers.ts'
import type { FrozenChanges } from '../../ts/volume/changes.ts'
import type { FrozenDirectory } from '../../ts/volume/directory.ts'
import { Image, type ImageSettings } from '../../ts/volume/image.ts'
import { worstCaseBlocks } from '../../ts/volume/space.ts'
import type { MemoryDisk, MemoryWorld } from './memory-world.ts'

export const pair = new Uint8Array(16).fill(0xaa)
export const aggregate = new Uint8Array(16).fill(0xbb)
export const node = new Uint8Array(16).fill(0xcc)
export const VAULT_BYTES = MIB

export const settings: ImageSettings = {
  pair: identityText(pair),
  aggregate: identityText(aggregate),
  allowedEpoch: 1_000_000,
  cacheByteLength: 4 * MIB,
  logPages: 256,
}

export function facts(diskIndex: number, diskCount: number): Parameters<typeof labelDisk>[1] {
  return {
    pair,
    aggregate,
    disk: new Uint8Array(16).fill(diskIndex + 1),
    aggregateName: 'castor',
    plex: 0,
    diskIndex,
    diskCount,
    vaultByteLength: VAULT_BYTES,
    labelledAtMs: 1,
  }
}

/** Disks that are labelled and hold an empty image. */
export function makeDisks(world: MemoryWorld, byteLengths: readonly number[]): MemoryDisk[] {
  const disks = byteLengths.map((byteLength, index) => world.disk(`/dev/disk${index}`, byteLength))
  for (const [index, disk] of disks.entries()) {
    world.run(labelDisk(disk, facts(index, disks.length), { force: false }, world.memory))
  }
  world.run(Image.format(world, [disks], settings))
  return disks
}

export function openImage(world: MemoryWorld, disks: MemoryDisk[], more: Partial<ImageSettings> = {}): Image {
  return world.run(Image.open(world, [disks], { ...settings, ...more }))
}

/** Content that tells where and when it was written. */
export function stamp(into: Uint8Array, volume: number, block: number, version: number): void {
  const words = new Uint32Array(into.buffer, into.byteOffset, BLOCK_SIZE / 4)
  for (let word = 0; word < words.length; word += 1)
    words[word] = volume * 7919 + block * 31 + version * 1_000_003 + word
}

const PAGES = 16384

/** Stands for the log: collects changes, reserves their space, and hands them to a consistency point. */
export class ChangeLog {
  sequence = 0
  reserved = 0
  readonly image: Image
  readonly #world: MemoryWorld
  readonly #memory: Memory
  readonly #checksums = new Uint32Array(PAGES)
  #nextPage = 0
  #blocks = new Map<number, Map<number, number>>()
  #ranges = new Map<number, { first: number; end: number }[]>()

  constructor(world: MemoryWorld, image: Image, memory = world.memory.allocate(PAGES * BLOCK_SIZE)) {
    this.#world = world
    this.image = image
    this.#memory = memory
    this.sequence = image.lastSequence
  }

  /** False: there is no space for it. */
  write(volume: number, block: number, version: number): boolean {
    return this.writeRun(volume, block, 1, version)
  }

  /** The same for one entry of several blocks. */
  writeRun(volume: number, first: number, count: number, version: number): boolean {
    if (!this.reserve(worstCaseBlocks(first, count, this.#height(volume)))) return false
    for (let block = first; block < first + count; block += 1) this.#writeBlock(volume, block, version)
    return true
  }

  #writeBlock(volume: number, block: number, version: number): void {
    const page = this.#nextPage
    this.#nextPage += 1
    const bytes = this.#memory.bytes.subarray(page * BLOCK_SIZE, (page + 1) * BLOCK_SIZE)
    stamp(bytes, volume, block, version)
    this.#checksums[page] = crc32c(bytes)
    this.#set(volume, block, page)
  }

  zeroBlock(volume: number, block: number): boolean {
    if (!this.image.space.reserveForFreeing(this.#height(volume))) return false
    this.reserved += this.#height(volume)
    this.#set(volume, block, -1)
    return true
  }

  zeroRange(volume: number, first: number, end: number): boolean {
    if (!this.image.space.reserveForFreeing(2 * this.#height(volume))) return false
    this.reserved += 2 * this.#height(volume)
    this.sequence += 1
    this.drop(volume, first, end)
    const ranges = this.#ranges.get(volume) ?? []
    const overlapping = ranges.filter((range) => range.first <= end && range.end >= first)
    const kept = ranges.filter((range) => !overlapping.includes(range))
    const merged = {
      first: Math.min(first, ...overlapping.map((range) => range.first)),
      end: Math.max(end, ...overlapping.map((range) => range.end)),
    }
    this.#ranges.set(
      volume,
      [...kept, merged].sort((a, b) => a.first - b.first),
    )
    return true
  }

  create(name: string, size: number): number {
    this.sequence += 1
    const volume = this.image.directory.nextVolume
    this.image.directory.create(volume, name, size, new Uint8Array(16).fill(volume))
    return volume
  }

  remove(volume: number): void {
    this.sequence += 1
    this.image.directory.remove(volume)
    this.#blocks.delete(volume)
    this.#ranges.delete(volume)
  }

  resize(volume: number, size: number): void {
    const before = this.image.directory.get(volume)!.size / BLOCK_SIZE
    const after = size / BLOCK_SIZE
    this.sequence += 1
    this.image.directory.resize(volume, size)
    this.reserve(8)
    if (after < before) this.zeroRange(volume, after, before)
  }

  reserve(blocks: number): boolean {
    if (!this.image.space.reserve(blocks)) return false
    this.reserved += blocks
    return true
  }

  drop(volume: number, first: number, end: number): void {
    const blocks = this.#blocks.get(volume)
    for (const block of blocks?.keys() ?? []) if (block >= first && block < end) blocks!.delete(block)
  }

  /** What a consistency point gets; the log begins afresh. */
  freeze(): { changes: FrozenChanges; directory: FrozenDirectory } {
    const keys: [number, number, number][] = []
    for (const [volume, blocks] of this.#blocks)
      for (const [block, page] of blocks) keys.push([volume, block, page])
    keys.sort((a, b) => a[0] - b[0] || a[1] - b[1])
    const ranges = this.#ranges
    const touched = new Set([...ranges.keys(), ...keys.map(([volume]) => volume)])
    const changes: FrozenChanges = {
      lastSequence: this.sequence,
      count: keys.length,
      volumes: Uint32Array.from(keys, ([volume]) => volume),
      blocks: Uint32Array.from(keys, ([, block]) => block),
      pages: Int32Array.from(keys, ([, , page]) => page),
      pageAddress: (page) => this.#memory.address + page * BLOCK_SIZE,
      pageChecksum: (page) => this.#checksums[page]!,
      zeroRanges: (volume) => ranges.get(volume) ?? [],
      touchedVolumes: () => [...touched].sort((a, b) => a - b),
    }
    this.#blocks = new Map()
    this.#ranges = new Map()
    return { changes, directory: this.image.directory.freeze() }
  }

  /** One whole consistency point. */
  commit(epoch = 1): Published {
    const reserved = this.reserved
    const frozen = this.freeze()
    const published = this.run(frozen, epoch)
    this.image.space.release(reserved)
    this.reserved -= reserved
    this.#nextPage = 0
    return published
  }

  run(
    { changes, directory }: ReturnType<ChangeLog['freeze']>,
    epoch = 1,
    stillOwner = () => true,
    more: Partial<ConsistencyPointOptions> = {},
  ): Published {
    const options = { epoch, node, wallMs: 1, stillOwner, ...more }
    const point = consistencyPoint(this.image, changes, directory, options)
    return this.#world.run(point, () => this.image.cache.submit())
  }

  #height(volume: number): number {
    const { height, heightNeeded } = this.image.directory.get(volume)!
    return Math.max(height, heightNeeded)
  }

  #set(volume: number, block: number, page: number): void {
    this.sequence += 1
    const blocks = this.#blocks.get(volume) ?? new Map<number, number>()
    this.#blocks.set(volume, blocks)
    blocks.set(block, page)
  }
}

/** A block as clients would read it from disk; undefined for a hole. Throws if it cannot be read. */
export function readBlock(
  world: MemoryWorld,
  image: Image,
  volume: number,
  block: number,
): Uint8Array | undefined {
  const { root, height } = image.directory.get(volume)!
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const physical = image.tree.resolve(root, height, block, undefined)
    if (physical === HOLE) return undefined
    if (physical === FAILED) throw new Error(`block ${block} has no way to it`)
    if (physical !== WAIT) {
      const frame = image.cache.get(physical, image.tree.checksum, undefined)
      if (frame === FAILED) throw new Error(`block ${block} is damaged`)
      if (frame >= 0) return image.cache.memory.bytes.subarray(frame * BLOCK_SIZE, (frame + 1) * BLOCK_SIZE)
    }
    image.cache.submit()
    world.settle()
  }
  throw new Error(`block ${block} does not come`)
}
