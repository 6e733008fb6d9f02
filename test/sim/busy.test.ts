import t from 'tap'
import { SimClient } from './client.ts'
import { pairInSync } from './raw-client.ts'
import type { SimWorld } from './world.ts'

interface Votes {
  turns: number
  many: number
}

/** In how many turns owner and keeper have had many small requests, while a client goes on for a while. */
function votes(inFlightMax: number): { owner: Votes; keeper: Votes } {
  const world: SimWorld = pairInSync(60)
  const client = new SimClient(world, 'v', 1 << 20, { inFlightMax, thinkMs: 0.1, writes: 1 })
  const counted = { owner: { turns: 0, many: 0 }, keeper: { turns: 0, many: 0 } }
  world.check = (_node, { engine }) => {
    const role = engine.owner === undefined ? counted.keeper : counted.owner
    role.turns += 1
    if (engine.hasMany) role.many += 1
  }
  world.runFor(1000)
  t.ok(client.acknowledged > 100)
  return counted
}

t.test('a client that waits for each answer gives neither node many requests', async (t) => {
  const { owner, keeper } = votes(1)
  t.equal(owner.many, 0)
  t.equal(keeper.many, 0)
})

t.test('one that waits for none gives both of them many', async (t) => {
  const { owner, keeper } = votes(16)
  t.ok(owner.many > owner.turns / 10, `${owner.many} of ${owner.turns} turns of the owner`)
  t.ok(keeper.many > keeper.turns / 100, `${keeper.many} of ${keeper.turns} turns of the keeper`)
})
