import t from 'tap'
import { Command } from '../../ts/format/nbd.ts'
import { mustAsk, mustCome, pairInSync, RawClient } from './raw-client.ts'
import { block, NO_POINTS, superblocks } from './stories.ts'
import type { SimWorld } from './world.ts'

/** Pollux loses its memory, castor has to open the log once more without it; then pollux comes back. */
function openAloneAndRejoin(world: SimWorld): void {
  const { castor, pollux } = world
  pollux.loseHost()
  mustCome(world, 'alone', () => world.record?.log === 'stale')
  world.runFor(1000)
  castor.kill()
  world.start(castor)
  mustCome(world, 'served', () => world.owner === castor)
  world.start(pollux)
}

t.test('a FLUSH that comes when the partner is gone waits until the vault has all of it', async (t) => {
  const world = pairInSync(3)
  mustAsk(world, 'cp-now', {})
  mustAsk(world, 'cp-hold', {})
  const client = new RawClient(world)
  client.write(4096, block(7))
  const owner = world.owner!
  const partner = world.nodes.find((node) => node !== owner)!
  partner.loseHost()
  mustCome(world, 'alone', () => world.record?.log === 'stale')
  client.flush()
  const { vault, aggregate } = owner.engine!.owner!
  t.ok(vault.promised >= aggregate.acknowledged && vault.groupsWritten > 0, 'it is in the vault')
  owner.loseHost()
  world.losePower()
  for (const node of [owner, partner]) world.start(node)
  mustCome(world, 'served again, without an operator', () => world.owner !== undefined)
  t.same(new RawClient(world).read(4096, 4096), block(7))
  t.same(world.record!.forced, [])
})

t.test('what rested on two memories is not served from the vault without an operator', async (t) => {
  const world = pairInSync(4)
  mustAsk(world, 'cp-now', {})
  mustAsk(world, 'cp-hold', {})
  const client = new RawClient(world)
  client.write(4096, block(7))
  client.flush()
  for (const node of world.nodes) node.loseHost()
  world.losePower()
  for (const node of world.nodes) world.start(node)
  t.notOk(
    world.runUntil(() => world.owner !== undefined, 20_000),
    'nobody serves',
  )
  const reasons = world.nodes.map(({ engine }) => engine!.ownership.reason).join('; ')
  t.match(reasons, /no other copy of the log is left.*--force --accept-data-loss/)
})

t.test('with durability vault, what was flushed is served after a loss of power', async (t) => {
  const world = pairInSync(5, { durability: 'vault' })
  mustAsk(world, 'cp-now', {})
  mustAsk(world, 'cp-hold', {})
  const client = new RawClient(world)
  for (let round = 1; round < 9; round += 1) client.write(round * 4096, block(round))
  client.flush()
  for (const node of world.nodes) node.loseHost()
  world.losePower()
  for (const node of world.nodes) world.start(node)
  mustCome(world, 'served again', () => world.owner !== undefined)
  const again = new RawClient(world)
  for (let round = 1; round < 9; round += 1) t.same(again.read(round * 4096, 4096), block(round))
})

t.test('an owner that died before its vault was complete leaves the one before it in force', async (t) => {
  const world = pairInSync(6, { durability: 'vault' })
  mustAsk(world, 'cp-now', {})
  mustAsk(world, 'cp-hold', {})
  const client = new RawClient(world)
  client.write(4096, block(9))
  client.flush()
  // each claim begins a vault of its own; power goes before any of them has everything
  for (let round = 0; round < 3; round += 1) {
    world.owner!.kill()
    mustCome(world, 'opening', () => world.events.some((line) => line.includes('opening')))
    world.runFor(3)
    for (const node of world.nodes) world.start(node)
    mustCome(world, 'served', () => world.owner !== undefined)
  }
  for (const node of world.nodes) node.loseHost()
  world.losePower()
  for (const node of world.nodes) world.start(node)
  mustCome(world, 'served again', () => world.owner !== undefined)
  t.same(new RawClient(world).read(4096, 4096), block(9))
})

t.test('however often a full log is opened in vain, it opens when the disk is good again', async (t) => {
  const world = pairInSync(7)
  mustAsk(world, 'cp-hold', {})
  const client = new RawClient(world)
  const sent: number[] = []
  for (let round = 0; round < 300; round += 1)
    sent.push(client.send(Command.WRITE, (round % 200) * 4096, 4096, block(round)))
  mustCome(world, 'the log is full', () => world.owner!.engine!.log.ring.fill > 0.9)
  world.runFor(500)
  const platter = world.platter('disk0')
  platter.faults.write = 1
  for (let round = 0; round < 60; round += 1) {
    for (const node of world.nodes) {
      node.kill()
      world.start(node)
    }
    world.runFor(700)
  }
  platter.faults.write = 0
  mustCome(world, 'served when the disk is good', () => world.owner !== undefined)
  const answered = sent.filter((cookie) => client.replies.has(cookie)).length
  const again = new RawClient(world)
  t.ok(answered > 100)
  for (let round = 200; round < answered; round += 1) {
    t.same(again.read((round % 200) * 4096, 4096), block(round), `the write of round ${round}`)
  }
})

t.test('a pair that is only about to be in sync promises nothing by it', async (t) => {
  const world = pairInSync(11, NO_POINTS)
  const { castor, pollux } = world
  new RawClient(world).write(4096, block(1))
  openAloneAndRejoin(world)
  // a partner that comes and goes is made to wait before the record lists it again
  for (let round = 0; round < 4; round += 1) {
    mustCome(world, 'in sync', () => world.record?.log === 'in-sync')
    world.runFor(300)
    pollux.kill()
    mustCome(world, 'alone', () => world.record?.log === 'stale')
    world.start(pollux)
  }
  mustCome(world, 'joining', () => castor.engine!.ownership.state === 'joining')
  const client = new RawClient(world)
  client.write(8192, block(7))
  client.flush()
  t.equal(castor.engine!.ownership.state, 'joining')
  castor.loseHost()
  world.losePower()
  world.start(castor)
  mustCome(world, 'served again', () => world.owner !== undefined)
  t.same(new RawClient(world).read(8192, 4096), block(7), 'the vault had it')
})

t.test(
  'a vault that was complete once is not believed after promises went over to two memories',
  async (t) => {
    const world = pairInSync(12, NO_POINTS)
    const { castor, pollux } = world
    openAloneAndRejoin(world)
    mustCome(world, 'mirrored', () => castor.engine!.ownership.state === 'serving-mirrored')
    world.runFor(500)
    const client = new RawClient(world)
    client.write(8192, block(7))
    client.flush()
    world.platter('disk0').faults.write = 1
    pollux.loseHost()
    mustCome(world, 'stale', () => world.record?.log === 'stale')
    world.platter('disk0').faults.write = 0
    castor.loseHost()
    world.losePower()
    for (const node of world.nodes) world.start(node)
    const isServed = world.runUntil(() => world.owner !== undefined, 20_000)
    t.notOk(isServed, 'an operator has to say what is to be given up')
  },
)

for (const durability of ['pair', 'vault'] as const) {
  t.test(`a FLUSH that has nothing to wait for is answered at once (${durability})`, async (t) => {
    const world = pairInSync(13, { durability, ...NO_POINTS })
    world.runFor(1000)
    const client = new RawClient(world)
    client.write(8192, block(7))
    client.flush()
    let longest = 0
    for (let round = 0; round < 20; round += 1) {
      world.runFor(13)
      const sentMs = world.scheduler.nowMs
      client.flush()
      longest = Math.max(longest, world.scheduler.nowMs - sentMs)
    }
    t.ok(longest < 2, `${longest.toFixed(2)} ms`)
  })
}

t.test('a superblock that is only in the cache of a disk does not free the log', async (t) => {
  const world = pairInSync(14, NO_POINTS)
  const platter = world.platter('disk0')
  mustAsk(world, 'cp-now', {})
  const client = new RawClient(world)
  for (let round = 1; round < 9; round += 1) client.write(round * 4096, block(round))
  client.flush()
  // what the next superblock reaches is flushed, and then the disk begins to lie
  world.owner!.request('cp-now', {})
  mustCome(world, 'a superblock in its cache', () => superblocks.some((number) => platter.cache.has(number)))
  platter.faults.lies = true
  world.owner!.kill()
  platter.faults.lies = false
  platter.faults.flush = 1
  platter.failFlush = () => {}
  t.ok(
    superblocks.some((number) => platter.cache.has(number)),
    'it is still there',
  )
  for (let round = 0; round < 4; round += 1) {
    world.runFor(2000)
    for (const node of world.nodes) {
      node.kill()
      world.start(node)
    }
  }
  platter.cache.clear()
  platter.faults.flush = 0
  mustCome(world, 'served when the disk is good', () => world.owner !== undefined)
  const again = new RawClient(world)
  for (let round = 1; round < 9; round += 1) t.same(again.read(round * 4096, 4096), block(round))
  t.same(world.record!.forced, [])
})

t.test('whoever is given an aggregate serves at once, and never alone', async (t) => {
  const world = pairInSync(26, NO_POINTS)
  const { castor, pollux } = world
  new RawClient(world).write(4096, block(1))
  mustCome(world, 'mirrored', () => castor.engine!.ownership.state === 'serving-mirrored')
  castor.request('handover', {})
  mustCome(world, 'served by the receiver', () => world.owner === pollux, 300)
  t.match(world.record, { owner: 'pollux', log: 'in-sync', clean: false })
  new RawClient(world).write(8192, block(2))
  pollux.loseHost()
  mustCome(world, 'served by the giver', () => world.owner === castor)
  const again = new RawClient(world)
  t.same(again.read(4096, 4096), block(1))
  t.same(again.read(8192, 4096), block(2))
})

t.test('a scrub of a node that stops ends with its lease, and finds no damage by that', async (t) => {
  const world = pairInSync(28, NO_POINTS)
  const { castor } = world
  for (const name of ['w', 'x']) mustAsk(world, 'volume-create', { name, size: 1 << 20 })
  for (const name of ['v', 'w', 'x']) {
    const client = new RawClient(world, name)
    for (let round = 0; round < 100; round += 1) client.write(round * 4096, block(round + 1))
    mustAsk(world, 'cp-now', {})
  }
  // one volume before the lease ends, and the next one after that
  mustAsk(world, 'scrub-start', { byteRate: 512 * 1024 })
  world.arbiter.slowMs = 1e6
  world.events.length = 0
  castor.act(() => castor.engine!.stop({ pair: true }))
  mustCome(world, 'all on the disks', () => castor.engine!.ownership.state === 'releasing')
  world.runFor(3000)
  t.same(
    world.events.filter((line) => line.includes(' error ')),
    [],
  )
})
