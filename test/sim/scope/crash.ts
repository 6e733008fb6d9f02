import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import { ScopeClient } from './client.ts'
import { imageProblems } from './image.ts'
import { comparedBlocks, contradiction, type Found } from './model.ts'
import { type History, whoIsWhat } from './operations.ts'
import type { Fate, Platter } from './platter.ts'
import { type Remains, ScopeWorld } from './world.ts'

/** Who comes back after the crash, and what it still has. */
export const comebacks = ['castor alone', 'pollux alone', 'both without memory'] as const
export type Comeback = (typeof comebacks)[number]

/** Everything that a crash right now leaves behind. */
export interface Wreck {
  readonly platter: Platter
  readonly record: Remains['record']
  readonly rings: Remains['rings']
  readonly durability: ScopeWorld['durability']
  /** different for every crash */
  readonly lifetime: number
}

export function wreckOf(world: ScopeWorld, platter: Platter, lifetime: number): Wreck {
  const bytesOf = (node: ScopeWorld['castor']): Uint8Array | undefined => node.nvram?.bytes.slice()
  const rings = { castor: bytesOf(world.castor), pollux: bytesOf(world.pollux) }
  return { platter, record: world.record, rings, durability: world.durability, lifetime }
}

/** What is wrong after a comeback; `served`: whether anybody serves at all. */
export interface Verdict {
  readonly served: boolean
  readonly found: string | undefined
}

/** Starts who is left and compares everything that is served with what was promised. */
export function comeBack(wreck: Wreck, how: Comeback, history: History): Verdict {
  const isMemoryLost = how === 'both without memory'
  const platter = wreck.platter.afterPowerLoss('kept')
  const rings = isMemoryLost ? { castor: undefined, pollux: undefined } : wreck.rings
  const world = new ScopeWorld({ ...wreck, platter, rings }, wreck.durability, wreck.lifetime)
  try {
    if (how !== 'pollux alone') world.start(world.castor)
    if (how !== 'castor alone') world.start(world.pollux)
    if (!world.runUntil(() => world.owner !== undefined, 5000)) {
      return { served: false, found: isMemoryLost ? `nobody serves: ${whoIsWhat(world)}` : undefined }
    }
    const from = isMemoryLost ? history.stable : history.acknowledged
    return { served: true, found: judge(world, history, from) ?? judgeDisks(world, history, from) }
  } finally {
    world.dispose()
  }
}

/** The content has to be that of one moment that was promised, or is on its way. */
function judge(world: ScopeWorld, { moments }: History, from: number): string | undefined {
  const found = contentOf(world)
  if (typeof found === 'string') return found
  let first: string | undefined
  for (let moment = from; moment < moments.length; moment += 1) {
    const mistake = contradiction(found, moments[moment]!, moments[moment + 1])
    if (mistake === undefined) return undefined
    first ??= mistake
  }
  return first
}

/** Once the log is on the disks, they have to hold the same, and nothing else. */
function judgeDisks(world: ScopeWorld, history: History, from: number): string | undefined {
  const owner = world.owner!
  const request = owner.request('cp-now', {})
  if (!world.runUntil(() => owner.answers.has(request))) return 'a consistency point does not end'
  const { error } = owner.answers.get(request)!
  if (error !== undefined) return `a consistency point fails: ${error.message}`
  return judge(world, history, from) ?? imageProblems(world.platter)[0]
}

function contentOf(world: ScopeWorld): Found[] | string {
  const found: Found[] = []
  for (const { volume, name, size } of world.owner!.serving.volumes) {
    const client = new ScopeClient(world, volume)
    const blocks = new Map<number, Uint8Array>()
    for (const [first, end] of comparedBlocks(size)) {
      const [offset, length] = [first * BLOCK_SIZE, (end - first) * BLOCK_SIZE]
      const { error, data } = client.ask({ command: 0, flags: 0, offset, length })
      if (error !== 0) return `a read of ${name} at block ${first} fails with error ${error}`
      for (let block = first; block < end; block += 1)
        blocks.set(block, data.subarray((block - first) * BLOCK_SIZE, (block - first + 1) * BLOCK_SIZE))
    }
    client.close()
    found.push({ name, size, blocks })
  }
  return found
}

export const afterPowerLoss = (wreck: Wreck, fate: Fate): Wreck => ({
  ...wreck,
  platter: wreck.platter.afterPowerLoss(fate),
})
