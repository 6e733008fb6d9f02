import { BLOCK_SIZE, MIB } from '../../ts/base/units.ts'
import { SUPERBLOCK_COPIES_AT } from '../../ts/disk/superblock.ts'
import { tailLabelAt } from '../../ts/disk/zones.ts'
import { SUPERBLOCK_SLOTS } from '../../ts/format/superblock.ts'
import { type DiskFaults, type Platter, stampOf } from './platter.ts'
import type { Fault, Heal, Scene } from './scene.ts'

/** The link, the arbiter, and the way to clients. */
export const networkFaults: Record<string, Fault> = {
  'the link is cut': ({ world }) => {
    world.network.cut(true, true)
    return () => world.network.mend()
  },

  'the link is cut one way': ({ world, random }) => {
    const isFirst = random.chance(0.5)
    world.network.cut(isFirst, !isFirst)
    return () => world.network.mend()
  },

  'the link is slow': ({ world, random }) => {
    for (const path of world.network.paths) path.delayMs = random.between(0, 200)
    return () => world.network.mend()
  },

  'the link is reset': ({ world, aggregate }) => {
    world.network.reset(aggregate.place)
    return () => {}
  },

  'a partner of another version': ({ world, random }) => {
    world.network.isSkewed = true
    world.network.reset(random.below(world.aggregates.length))
    return () => {
      world.network.isSkewed = false
    }
  },

  'the arbiter is out of reach for one': ({ world, owner }) => {
    world.arbiter.unreachableFrom.add(owner.name)
    return () => world.arbiter.unreachableFrom.delete(owner.name)
  },

  'the arbiter is out of reach for both': ({ world }) => {
    for (const { name } of world.nodes) world.arbiter.unreachableFrom.add(name)
    return () => world.arbiter.unreachableFrom.clear()
  },

  'the arbiter is slow': ({ world, random }) => {
    world.arbiter.slowMs = random.between(50, 1500)
    return () => {
      world.arbiter.slowMs = 0
    }
  },

  'the arbiter fails after it has swapped': ({ world, random }) => {
    world.arbiter.failsAfterwards = random.between(0.1, 0.9)
    return () => {
      world.arbiter.failsAfterwards = 0
    }
  },

  'connections of clients are dropped': ({ clients, random }) => {
    for (const client of clients) if (random.chance(0.6)) client.giveUp()
    return () => {}
  },

  // each way between the four is cut in some order and mended in another
  swizzle: (scene) => {
    const { world, random } = scene
    const ways: [() => void, () => void][] = [
      [() => world.network.cut(true, false), () => world.network.mend()],
      [() => world.network.cut(false, true), () => world.network.mend()],
      ...world.nodes.map(({ name }): [() => void, () => void] => [
        () => world.arbiter.unreachableFrom.add(name),
        () => world.arbiter.unreachableFrom.delete(name),
      ]),
    ]
    for (const [cut, mend] of ways) {
      const fromMs = random.between(0, 1000)
      world.scheduler.after(fromMs, () => scene.isPeace || cut())
      world.scheduler.after(fromMs + random.between(10, 2000), mend)
    }
    return () => {}
  },
}

/**
 * On a full disk a new owner has to write where a stopped one may still have writes on their way
 * (docs/disk.md): it must not have any that take longer than a takeover.
 */
const isFull = ({ world }: Scene): boolean => world.isTight

export function onPlatters(
  { world }: Scene,
  platters: readonly Platter[],
  set: (faults: DiskFaults) => void,
): Heal {
  for (const { faults } of platters) set(faults)
  return () => {
    for (const platter of platters) platter.heal()
    for (const host of world.hosts()) host.unstick()
  }
}

const onDisk = (scene: Scene, set: (faults: DiskFaults) => void): Heal =>
  onPlatters(scene, [scene.platter], set)

/** What the disk loses meanwhile, it loses for good, or nobody knows for how long. */
const onLosingDisk = (scene: Scene, set: (faults: DiskFaults) => void): Heal =>
  onPlatters(scene, [scene.losingPlatter], set)

/**
 * Disks: slow, stuck, failing. With one plex only data may be lost, and else only one of two copies; with
 * two plexes one of them may lose anything, if the other one is always there.
 */
export const diskFaults: Record<string, Fault> = {
  'a disk is slow': (scene) =>
    isFull(scene)
      ? undefined
      : onDisk(scene, (faults) => {
          faults.slow = scene.random.between(5, 100)
        }),

  'a disk does not answer': (scene) =>
    isFull(scene)
      ? undefined
      : onDisk(scene, (faults) => {
          faults.isStuck = true
        }),

  'blocks cannot be read': (scene) =>
    onLosingDisk(scene, (faults) => {
      faults.read = scene.random.pick([0.001, 0.01, 0.1])
    }),

  'writes fail': (scene) =>
    onDisk(scene, (faults) => {
      faults.write = scene.random.pick([0.02, 0.2, 1])
    }),

  'flushes fail': (scene) =>
    onDisk(scene, (faults) => {
      faults.flush = scene.random.pick([0.2, 1])
    }),

  'writes of data are lost': (scene) =>
    onLosingDisk(scene, (faults) => {
      faults.lost = 0.02
    }),

  'writes of data go elsewhere': (scene) =>
    onLosingDisk(scene, (faults) => {
      faults.misdirected = 0.05
    }),

  'a block of data rots': (scene) => {
    const platter = scene.losingPlatter
    const blocks = blocksToLose(platter, scene)
    if (blocks.length === 0) return undefined
    rot(platter, scene.random.pick(blocks), scene)
    return () => {}
  },

  // the other copy of each is never touched
  'a label or a superblock rots': (scene) => {
    const { random, losingPlatter: platter } = scene
    if (random.chance(0.3)) rot(platter, tailLabelAt(platter.byteLength) / BLOCK_SIZE, scene)
    else {
      const at = MIB + SUPERBLOCK_COPIES_AT[1]
      rot(platter, at / BLOCK_SIZE + random.below(SUPERBLOCK_SLOTS), scene)
    }
    return () => {}
  },
}

function blocksToLose(platter: Platter, { world }: Scene): number[] {
  const numbers = new Set([...platter.durable.keys(), ...platter.cache.keys()])
  return [...numbers].filter(
    (number) =>
      number >= world.blocksFrom &&
      number < world.blocksEnd &&
      (platter.losesAnything || stampOf(platter.block(number)) !== undefined),
  )
}

function rot(platter: Platter, number: number, { random }: Scene): void {
  const bytes = platter.block(number).slice()
  bytes[random.below(BLOCK_SIZE)]! ^= 1 << random.below(8)
  platter.damage(number, bytes)
}
