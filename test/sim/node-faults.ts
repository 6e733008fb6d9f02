import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { SimNode } from './node.ts'
import type { Fault, Scene } from './scene.ts'

const restart = (scene: Scene, ...nodes: SimNode[]) => {
  return (): void => {
    for (const node of nodes) scene.world.start(node)
  }
}

/** Both have ended; they come back one after the other, whichever is first. */
function restartOneByOne(scene: Scene): () => void {
  const order = scene.random.chance(0.5) ? scene.world.nodes : [...scene.world.nodes].reverse()
  const laterMs = scene.random.between(0, 3000)
  return () => {
    scene.world.start(order[0]!)
    scene.world.scheduler.after(laterMs, () => scene.world.start(order[1]!))
  }
}

/** They hand over or write everything out, and end by themselves; started again as soon as they have. */
function stopped({ world }: Scene, nodes: readonly SimNode[], pair: boolean): () => void {
  const stopping = nodes.map(({ boot }) => boot)
  for (const { hosts } of nodes) {
    for (const host of hosts) host.act(() => host.engine.stop({ pair }))
  }
  const startAgain = (): void => {
    const isStillStopping = nodes.some((node, place) => node.isAlive && node.boot === stopping[place])
    if (isStillStopping) world.scheduler.after(50, startAgain)
    else for (const node of nodes) world.start(node)
  }
  return startAgain
}

/** Processes and hosts: they end, lose their memory, stop, or come back in any order. */
export const nodeFaults: Record<string, Fault> = {
  'kill the owner': (scene) => {
    const { owner } = scene
    owner.kill()
    return restart(scene, owner)
  },

  'kill a node': (scene) => {
    const { node } = scene
    node.kill()
    return restart(scene, node)
  },

  'kill both': (scene) => {
    for (const node of scene.world.nodes) node.kill()
    return restartOneByOne(scene)
  },

  'a node is stopped in order': (scene) => {
    const { awake } = scene
    return awake && stopped(scene, [awake], false)
  },

  'the pair is stopped in order': (scene) => stopped(scene, scene.world.nodes, true),

  'a host restarts': (scene) => {
    const { node } = scene
    const loss = scene.atlas.nvramLoss(node)
    if (loss === 'too much' && scene.world.options.durability !== 'nvram') return undefined
    if (scene.world.options.durability === 'nvram') node.kill()
    else node.loseHost()
    if (loss === 'what was not flushed') scene.memoryLost()
    return restart(scene, node)
  },

  'all power is lost, and memory with it': (scene) => {
    if (scene.atlas.totalLoss() === 'too much') return undefined
    for (const node of scene.world.nodes) node.loseHost()
    scene.world.losePower()
    scene.memoryLost()
    return restartOneByOne(scene)
  },

  'all power is lost, memory is kept': (scene) => {
    for (const node of scene.world.nodes) node.kill()
    scene.world.losePower()
    return restartOneByOne(scene)
  },

  'a process is stopped': (scene) => {
    const { owner, awake } = scene
    const node = scene.random.chance(0.7) ? owner : awake
    if (!node?.isAlive) return undefined
    node.pause()
    return () => node.resume()
  },

  'an event loop stalls': (scene) => {
    const host = scene.world.serverOf(scene.aggregate)
    if (host === undefined) return undefined
    host.isStalled = true
    return () => {
      host.isStalled = false
      host.wake()
    }
  },

  'a wall clock jumps': ({ node, random }) => {
    node.wallOffsetMs += random.between(-1e9, 1e9)
    return () => {}
  },

  'a file of NVRAM from another time': (scene) => {
    const { node, atlas } = scene
    if (node.nvramBefore === undefined || scene.random.chance(0.3)) {
      node.rememberNvram()
      return () => {}
    }
    // what the record lists has to be what was acknowledged: nothing can know that it went back in time
    if (!atlas.isUnlisted(node)) return undefined
    node.kill()
    node.restoreNvram()
    return restart(scene, node)
  },

  'an entry of the log rots': (scene) => {
    const { node, atlas, random } = scene
    const other = scene.world.nodes.find((one) => one !== node)!
    if (atlas.damagedRings.size > 0 || atlas.nvramLoss(node) !== 'nothing') return undefined
    atlas.damagedRings.add(node.name)
    node.kill()
    const memory = node.nvram.get(scene.aggregate.name)
    if (memory === undefined) return restart(scene, node)
    // behind header and marks: in descriptors, checksums or data
    const at = random.between(4 * BLOCK_SIZE, memory.byteLength)
    memory.bytes[Math.floor(at)]! ^= 1 << random.below(8)
    node.isNvramChanged = true
    return restart(scene, node, other)
  },
}
