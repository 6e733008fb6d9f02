import { labelAs } from './format.ts'
import { onPlatters } from './outside-faults.ts'
import type { Fault, Heal, Scene } from './scene.ts'
import type { AggregateWorld } from './world.ts'

/** A plex that is to be lost is gone at least so long before, and then has to be known as stale soon. */
const GONE_FIRST_MS = 300
const STALE_WITHIN_MS = 4000
const LOOKS_EVERY_MS = 50

const lasting = (heal: Heal, lengthMs: number): Heal => Object.assign(() => heal(), { lengthMs })

/** What takes one of two plexes out of sync, or both in turn. */
export const plexFaults: Record<string, Fault> = {
  'a plex is gone for a while': (scene) => {
    const heal = onPlatters(scene, [scene.platter], (faults) => {
      faults.isGone = true
    })
    return lasting(heal, scene.random.between(500, 6000))
  },

  'a plex is lost': (scene) => {
    const { aggregate } = scene
    const plex = scene.random.below(2)
    return scene.atlas.isOnOtherPlex(aggregate, plex) ? losePlex(scene, aggregate, plex) : undefined
  },

  'both plexes fail for a moment': (scene) => {
    const share = scene.random.pick([0.2, 1])
    return onPlatters(scene, scene.world.plattersOf(scene.aggregate), (faults) => {
      faults.write = share
    })
  },
}

/**
 * All I/O fails until the record calls the plex stale: whatever its owner has on its way to it cannot count
 * any more. Then a blank disk comes in its place; who has the old one open finds it gone for ever.
 */
function losePlex(scene: Scene, aggregate: AggregateWorld, plex: number): Heal {
  const { world, atlas, random } = scene
  const path = aggregate.disks[plex]!
  const platter = world.platter(path)
  const heal = onPlatters(scene, [platter], (faults) => {
    faults.isGone = true
  })
  const look = (): void => {
    // the fault is over, or another one on the same disk, and so was this
    if (!platter.faults.isGone) return
    if (!atlas.isStale(aggregate, plex)) return world.scheduler.after(LOOKS_EVERY_MS, look)
    if (!atlas.isWholeOnOtherPlex(aggregate, plex)) return heal()
    const paths = world.pathsOf(aggregate, plex)
    for (const [diskIndex, each] of paths.entries()) {
      world.replaceDisk(each)
      const identity = new Uint8Array(16).map(() => random.below(256))
      labelAs(world, aggregate, plex, identity, { path: each, diskIndex, diskCount: paths.length })
    }
    world.note(`${path} is lost, and a blank disk is in its place`)
    // what waits for an answer of the old one gets it
    heal()
  }
  world.scheduler.after(GONE_FIRST_MS, look)
  return lasting(heal, STALE_WITHIN_MS)
}
