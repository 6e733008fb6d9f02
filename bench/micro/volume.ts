import { ChangeLog, makeDisks, openImage } from '../../test/support/image-world.ts'
import { MemoryWorld, SeededRandom } from '../../test/support/memory-world.ts'
import { NativeMemory } from '../../ts/adapters/memory.ts'
import { assert } from '../../ts/base/assert.ts'
import { GIB, MIB } from '../../ts/base/units.ts'
import { WAIT } from '../../ts/volume/answers.ts'
import type { Image } from '../../ts/volume/image.ts'
import { Space } from '../../ts/volume/space.ts'
import type { Micro } from './harness.ts'

/** From the root of a volume to a block, with all pointer blocks in the cache. */
const lookup: Micro = {
  name: 'tree: look-up',
  per: 'block',
  prepare: (scale) => {
    const { count, lookups } =
      scale === 'small' ? { count: 32, lookups: 64 } : { count: 2048, lookups: 2 ** 18 }
    const world = new MemoryWorld()
    const cache = { cacheByteLength: 16 * MIB }
    const log = new ChangeLog(world, openImage(world, makeDisks(world, [64 * MIB]), cache))
    const volume = log.create('a', GIB)
    const random = new SeededRandom(20)
    const blocks = Uint32Array.from({ length: count }, () => random.below(GIB / 4096))
    for (const block of blocks) assert(log.write(volume, block, 1), 'the image of a benchmark has room')
    log.commit()
    const { image } = log
    const { root, height } = image.directory.get(volume)!
    for (const block of blocks) load(world, image, root, height, block)
    let mixed = 0
    const run = () => {
      mixed = 0
      for (let i = 0; i < lookups; i += 1) {
        const physical = image.tree.resolve(root, height, blocks[i % count]!, undefined)
        assert(physical >= 0, 'what was written is found in the cache')
        mixed = (mixed + physical) | 0
      }
      return lookups
    }
    return { run, hash: () => mixed }
  },
}

/** Brings the pointer blocks on the way to a block into the cache. */
function load(world: MemoryWorld, image: Image, root: Uint32Array, height: number, block: number): void {
  for (let level = 0; level <= height; level += 1) {
    if (image.tree.resolve(root, height, block, undefined) !== WAIT) return
    image.cache.submit()
    world.settle()
  }
}

/** What a consistency point takes and frees, in a space that is half full and in pieces. */
const allocate: Micro = {
  name: 'free map: allocate and free',
  per: 'block',
  prepare: (scale) => {
    const blockCount = scale === 'small' ? 4096 : GIB / 4096
    const taken = blockCount / 16
    const space = new Space([{ first: 0, end: blockCount }], blockCount, new NativeMemory())
    for (let block = 0; block < blockCount; block += 2) space.mark(block)
    space.loaded()
    let held: number[] = []
    const run = () => {
      space.begin()
      for (const block of held) space.free(block)
      held = []
      while (held.length < taken) {
        const count = space.allocate(taken - held.length)
        assert(count > 0, 'the space of a benchmark is never full')
        for (let block = space.first; block < space.first + count; block += 1) held.push(block)
      }
      space.publish()
      return taken
    }
    return { run, hash: () => held.reduce((mixed, block) => (mixed + block) | 0, space.used) }
  },
}

export const volumeMicros: readonly Micro[] = [lookup, allocate]
