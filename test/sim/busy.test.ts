import t, { type Test } from 'tap'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { Command } from '../../ts/format/nbd.ts'
import { SimClient } from './client.ts'
import { mustAsk, pairInSync, RawClient } from './raw-client.ts'
import type { SimWorld } from './world.ts'

/** For and against, of the turns that say something. */
interface Votes {
  many: number
  few: number
}

/** What owner and keeper say of their turns from now on. */
function counted(world: SimWorld): { owner: Votes; keeper: Votes } {
  const votes = { owner: { many: 0, few: 0 }, keeper: { many: 0, few: 0 } }
  world.check = (_node, { engine }) => {
    const { hasMany } = engine
    if (hasMany === undefined) return
    votes[engine.owner === undefined ? 'keeper' : 'owner'][hasMany ? 'many' : 'few'] += 1
  }
  return votes
}

function loaded(t: Test, inFlightMax: number): { owner: Votes; keeper: Votes } {
  const world = pairInSync(60)
  const client = new SimClient(world, 'v', 1 << 20, { inFlightMax, thinkMs: 0.1, writes: 1 })
  const votes = counted(world)
  world.runFor(1000)
  t.ok(client.acknowledged > 100, `${client.acknowledged} changes`)
  return votes
}

t.test('a client that waits for each answer gives neither node many changes', async (t) => {
  const { owner, keeper } = loaded(t, 1)
  t.equal(owner.many + keeper.many, 0)
})

/** So many writes of a size at once, again and again. */
function bursts(world: SimWorld, count: number, blocks: number): void {
  const client = new RawClient(world)
  const data = new Uint8Array(blocks * BLOCK_SIZE)
  for (let round = 0; round < 50; round += 1) {
    const cookies = Array.from({ length: count }, (_, at) =>
      client.send(Command.WRITE, at * data.length, data.length, data),
    )
    for (const cookie of cookies) client.must(cookie)
    mustAsk(world, 'cp-now', {})
  }
}

t.test('many small writes at once are many to both nodes, large ones and few ones are not', async (t) => {
  const votesOf = (count: number, blocks: number) => {
    const world = pairInSync(61)
    const votes = counted(world)
    bursts(world, count, blocks)
    return votes
  }
  const small = votesOf(12, 1)
  t.ok(small.owner.many >= 50, `${small.owner.many} turns of the owner`)
  t.ok(small.keeper.many >= 50, `${small.keeper.many} of the keeper`)
  const large = votesOf(12, 8)
  t.equal(large.owner.many + large.keeper.many, 0)
  const few = votesOf(3, 1)
  t.equal(few.owner.many + few.keeper.many, 0)
})

t.test('after a burst nobody says that there is much to do', async (t) => {
  const world = pairInSync(62)
  bursts(world, 12, 1)
  const votes = counted(world)
  world.runFor(3000)
  t.equal(votes.owner.many + votes.keeper.many, 0)
})
