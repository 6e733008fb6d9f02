import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Image } from '../../ts/volume/image.ts'
import { type ChangeLog, readBlock, stamp } from './image-world.ts'
import type { MemoryWorld, SeededRandom } from './memory-world.ts'

interface ModelVolume {
  size: number
  readonly versions: Map<number, number>
}

/** What clients were told: for each volume the version of each block. */
export class ImageModel {
  readonly volumes = new Map<number, ModelVolume>()
  #version = 0
  #names = 0

  clone(): ImageModel {
    const copy = new ImageModel()
    for (const [volume, { size, versions }] of this.volumes) {
      copy.volumes.set(volume, { size, versions: new Map(versions) })
    }
    return copy
  }

  /** One random change, to the log and to the model alike. */
  step(random: SeededRandom, log: ChangeLog, blocksMax: number): void {
    const kind = random.below(100)
    if (this.volumes.size === 0 || (kind < 2 && this.volumes.size < 6))
      return this.#create(random, log, blocksMax)
    const volume = [...this.volumes.keys()][random.below(this.volumes.size)]!
    const model = this.volumes.get(volume)!
    const blockCount = model.size / BLOCK_SIZE
    if (kind < 3) return this.#remove(log, volume)
    if (kind < 6) return this.#resize(log, volume, 1 + random.below(blocksMax))
    const first = random.below(blockCount)
    if (kind < 14)
      return this.#zero(log, volume, first, Math.min(blockCount, first + 1 + random.below(blockCount)))
    if (kind < 24) {
      if (log.zeroBlock(volume, first)) model.versions.delete(first)
      return
    }
    const count = kind < 40 ? 1 + random.below(40) : 1
    for (let block = first; block < Math.min(blockCount, first + count); block += 1)
      this.#write(log, volume, block)
  }

  #create(random: SeededRandom, log: ChangeLog, blocksMax: number): void {
    const size = (1 + random.below(blocksMax)) * BLOCK_SIZE
    this.#names += 1
    if (!log.reserve(4)) return
    this.volumes.set(log.create(`volume-${log.sequence}-${this.#names}`, size), { size, versions: new Map() })
  }

  #remove(log: ChangeLog, volume: number): void {
    log.remove(volume)
    this.volumes.delete(volume)
  }

  #resize(log: ChangeLog, volume: number, blocks: number): void {
    const model = this.volumes.get(volume)!
    if (!log.image.space.reserveForFreeing(20)) return
    log.reserved += 20
    log.resize(volume, blocks * BLOCK_SIZE)
    model.size = blocks * BLOCK_SIZE
    for (const block of model.versions.keys()) if (block >= blocks) model.versions.delete(block)
  }

  #zero(log: ChangeLog, volume: number, first: number, end: number): void {
    if (!log.zeroRange(volume, first, end)) return
    const { versions } = this.volumes.get(volume)!
    for (const block of versions.keys()) if (block >= first && block < end) versions.delete(block)
  }

  #write(log: ChangeLog, volume: number, block: number): void {
    this.#version += 1
    if (log.write(volume, block, this.#version)) this.volumes.get(volume)!.versions.set(block, this.#version)
  }

  /** What differs between the image and the model; empty if nothing does. */
  differences(world: MemoryWorld, image: Image): string[] {
    const found: string[] = []
    const volumes = image.directory.list()
    if (volumes.length !== this.volumes.size)
      found.push(`${volumes.length} volumes, not ${this.volumes.size}`)
    for (const [volume, { size, versions }] of this.volumes) {
      const record = image.directory.get(volume)
      if (record === undefined) {
        found.push(`volume ${volume} is missing`)
        continue
      }
      if (record.size !== size) found.push(`volume ${volume} has ${record.size} bytes, not ${size}`)
      if (record.mappedBlocks !== versions.size) {
        found.push(`volume ${volume} maps ${record.mappedBlocks}, not ${versions.size}`)
      }
      this.#compareBlocks(world, image, volume, found)
    }
    return found
  }

  #compareBlocks(world: MemoryWorld, image: Image, volume: number, found: string[]): void {
    const expected = new Uint8Array(BLOCK_SIZE)
    for (const [block, version] of this.volumes.get(volume)!.versions) {
      stamp(expected, volume, block, version)
      const there = readBlock(world, image, volume, block)
      if (there === undefined || Buffer.compare(there, expected) !== 0) {
        found.push(`volume ${volume} block ${block} is not version ${version}`)
      }
    }
  }
}
