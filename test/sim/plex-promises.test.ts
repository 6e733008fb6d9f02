import t from 'tap'
import { LogEntry } from '../../ts/format/log-ring.ts'
import { labelPlex } from './format.ts'
import { mustAsk, mustCome, pairInSync, RawClient } from './raw-client.ts'
import { block, NO_POINTS, superblocks } from './stories.ts'
import type { SimWorld } from './world.ts'

const isInSync = (world: SimWorld): boolean =>
  world.record?.plex0 === 'in-sync' && world.record?.plex1 === 'in-sync'

const isStale = (world: SimWorld, plex: number): boolean =>
  (plex === 0 ? world.record?.plex0 : world.record?.plex1) === 'stale'

/** A pair with one aggregate of two plexes, both in sync. */
function mirroredPair(seed: number): SimWorld {
  const world = pairInSync(seed, { isMirrored: true, durability: 'vault' })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  return world
}

/** The disk is not there any more; a blank one with a label comes in its place. */
function replaceDisk(world: SimWorld, plex: number): void {
  const [aggregate] = world.aggregates
  world.replaceDisk(aggregate!.disks[plex]!)
  labelPlex(world, aggregate!, plex, new Uint8Array(16).fill(90 + plex))
}

const pathOf = (world: SimWorld, plex: number): string => world.aggregates[0]!.disks[plex]!

for (const plex of [0, 1]) {
  t.test(
    `plex ${plex} loses its disk and comes back on a blank one, and then it is enough alone`,
    async (t) => {
      const world = mirroredPair(20 + plex)
      const client = new RawClient(world)
      for (let round = 1; round < 30; round += 1) client.write(round * 4096, block(round))
      mustAsk(world, 'cp-now', {})
      world.platter(pathOf(world, plex)).faults.isGone = true
      client.write(4096, block(31))
      client.flush()
      mustAsk(world, 'cp-now', {})
      t.ok(isStale(world, plex), 'nothing that was flushed counts before the record says so')
      world.runFor(1000)
      replaceDisk(world, plex)
      mustCome(world, 'both plexes in sync again', () => isInSync(world))
      client.write(8192, block(32))
      client.flush()
      world.platter(pathOf(world, 1 - plex)).faults.isGone = true
      for (const node of world.nodes) node.loseHost()
      world.losePower()
      for (const node of world.nodes) world.start(node)
      mustCome(world, 'served from the plex that came back', () => world.owner !== undefined)
      const again = new RawClient(world)
      t.same(again.read(4096, 4096), block(31))
      t.same(again.read(8192, 4096), block(32))
      for (let round = 3; round < 30; round += 1) t.same(again.read(round * 4096, 4096), block(round))
    },
  )
}

t.test('a plex that was away for a while gets what it has missed, and no more', async (t) => {
  const world = mirroredPair(22)
  const client = new RawClient(world)
  for (let round = 0; round < 100; round += 1) client.write(round * 4096, block(round + 1))
  mustAsk(world, 'cp-now', {})
  const { faults } = world.platter(pathOf(world, 1))
  faults.isGone = true
  client.write(4096, block(200))
  mustAsk(world, 'cp-now', {})
  t.ok(isStale(world, 1))
  faults.isGone = false
  mustCome(world, 'both plexes in sync again', () => isInSync(world))
  const { returning } = world.owner!.engine!.owner!
  t.ok(returning.copiedBytes > 0 && returning.copiedBytes < 20 * 4096, `${returning.copiedBytes} bytes`)
})

t.test('a plex that was stale when power failed is not served from', async (t) => {
  const world = mirroredPair(23)
  const client = new RawClient(world)
  client.write(4096, block(1))
  mustAsk(world, 'cp-now', {})
  world.platter(pathOf(world, 1)).faults.isGone = true
  client.write(4096, block(2))
  client.flush()
  mustAsk(world, 'cp-now', {})
  for (const node of world.nodes) node.loseHost()
  world.losePower()
  world.platter(pathOf(world, 1)).faults.isGone = false
  world.platter(pathOf(world, 0)).faults.isGone = true
  for (const node of world.nodes) world.start(node)
  t.notOk(
    world.runUntil(() => world.owner !== undefined, 20_000),
    'it lacks what was flushed',
  )
  world.platter(pathOf(world, 0)).faults.isGone = false
  mustCome(world, 'served from the other one', () => world.owner !== undefined)
  t.same(new RawClient(world).read(4096, 4096), block(2))
})

t.test('a node that cannot open its log has not called the plex of its partner stale', async (t) => {
  const world = pairInSync(24, { isMirrored: true, isApart: true, ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const { castor, pollux } = world
  const client = new RawClient(world)
  for (let round = 1; round < 9; round += 1) client.write(round * 4096, block(round))
  client.flush()
  t.equal(world.owner, castor)
  const { layout, memory, tail } = pollux.engine!.log.ring
  memory.bytes[layout.descriptorsAt + (tail % layout.descriptorCount) * LogEntry.byteLength]! ^= 1
  castor.kill()
  mustCome(world, 'an opening in vain', () => world.events.some((line) => line.includes('open failed')))
  world.runFor(500)
  t.ok(isInSync(world), 'the record calls both plexes in sync')
  pollux.loseHost()
  world.start(castor)
  mustCome(world, 'served by the one that has the log', () => world.owner === castor)
  const again = new RawClient(world)
  for (let round = 1; round < 9; round += 1) t.same(again.read(round * 4096, 4096), block(round))
})

t.test('a plex that lacks the newest superblock keeps the log until the record calls it stale', async (t) => {
  const world = pairInSync(25, { isMirrored: true, ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const { castor, pollux, arbiter } = world
  const client = new RawClient(world)
  for (let round = 1; round < 9; round += 1) client.write(round * 4096, block(round))
  client.flush()
  const [first, second] = [world.platter(pathOf(world, 0)), world.platter(pathOf(world, 1))]
  const isIn = (cache: ReadonlyMap<number, unknown>): boolean =>
    superblocks.some((number) => cache.has(number))
  arbiter.slowMs = 1e6
  castor.request('cp-now', {})
  mustCome(world, 'a superblock in the cache of plex 0', () => isIn(first.cache))
  for (const number of superblocks) second.cache.delete(number)
  second.faults.isGone = true
  mustCome(world, 'a superblock on plex 0', () => !isIn(first.cache))
  castor.kill()
  pollux.loseHost()
  Object.assign(second.faults, { isGone: false, write: 1 })
  arbiter.slowMs = 0
  world.events.length = 0
  world.start(castor)
  mustCome(world, 'an opening', () => world.events.some((line) => line.includes('opening: ')))
  arbiter.slowMs = 1e6
  world.runFor(500)
  castor.kill()
  t.ok(isInSync(world), 'the record calls both plexes in sync')
  first.faults.isGone = true
  second.faults.write = 0
  arbiter.slowMs = 0
  world.start(castor)
  mustCome(world, 'served from plex 1 and the log', () => world.owner === castor)
  const again = new RawClient(world)
  for (let round = 1; round < 9; round += 1) t.same(again.read(round * 4096, 4096), block(round))
})

t.test('with nothing shared, the disks of the giver are soon in sync again', async (t) => {
  const world = pairInSync(27, { isMirrored: true, isApart: true, ...NO_POINTS })
  const { castor, pollux } = world
  world.runFor(3000)
  castor.request('handover', {})
  mustCome(world, 'served by the receiver', () => world.owner === pollux)
  mustCome(world, 'both plexes in sync again', () => isInSync(world), 400)
  pollux.loseHost()
  mustCome(world, 'served by the giver', () => world.owner === castor)
  t.equal(world.record?.log, 'stale')
})

t.test('with nothing shared, a break of the link is mended before the next consistency point', async (t) => {
  const world = pairInSync(28, { isMirrored: true, isApart: true, durability: 'nvram', ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const isLinked = (): boolean => world.nodes.every(({ engine }) => engine?.link.isUp === true)
  world.network.reset(0)
  mustCome(world, 'the link is down', () => !isLinked())
  mustCome(world, 'the link is up again', isLinked)
  mustCome(world, 'both plexes in sync again', () => isInSync(world) && world.record?.log === 'in-sync')
  world.runFor(1000)
  new RawClient(world).write(4096, block(1))
  mustAsk(world, 'cp-now', {})
  t.ok(isInSync(world), 'it has reached the disks of both')
})

t.test('with nothing shared, a scrub passes over the disks of a partner that is away', async (t) => {
  const world = pairInSync(31, { isMirrored: true, isApart: true, durability: 'nvram', ...NO_POINTS })
  const { castor, pollux } = world
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  new RawClient(world).write(4096, block(1))
  mustAsk(world, 'cp-now', {})
  const { scrubbing } = castor.engine!.owner!
  const scrubbed = (): [number, number[]] => {
    mustAsk(world, 'scrub-start', { byteRate: 1 << 30 })
    mustCome(world, 'the scrub is over', () => scrubbing.state === 'finished')
    return [scrubbing.findingCount, [...scrubbing.unreadPlexes]]
  }
  t.same(scrubbed(), [0, []])
  pollux.kill()
  mustCome(world, 'the link is down', () => castor.engine?.link.isUp === false)
  t.ok(isInSync(world), 'nothing has been written since')
  t.same(scrubbed(), [0, [1]])
})

t.test('with nothing shared, a disk that neither answers nor fails holds up its own plex only', async (t) => {
  const world = pairInSync(29, { isMirrored: true, isApart: true, durability: 'nvram', ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const client = new RawClient(world)
  for (let round = 1; round < 30; round += 1) client.write(round * 4096, block(round))
  const { faults } = world.platter(pathOf(world, 1))
  faults.isStuck = true
  world.castor.request('cp-now', {})
  world.runFor(500)
  t.ok(isInSync(world), 'it has time')
  mustCome(world, 'the owner goes on without it', () => isStale(world, 1))
  t.equal(world.record?.log, 'in-sync', 'the log of the partner is as good as it was')
  for (let round = 1; round < 9; round += 1) client.write(round * 4096, block(round + 100))
  mustAsk(world, 'cp-now', {})
  world.runFor(3000)
  t.ok(isStale(world, 1), 'as long as it does not answer')
  faults.isStuck = false
  for (const host of world.hosts()) host.unstick()
  mustCome(world, 'both plexes in sync again', () => isInSync(world))
  world.castor.loseHost()
  mustCome(world, 'served by the partner', () => world.owner === world.pollux)
  const again = new RawClient(world)
  for (let round = 1; round < 30; round += 1)
    t.same(again.read(round * 4096, 4096), block(round < 9 ? round + 100 : round))
})

t.test('a plex that comes back only to fail again is brought back less and less often', async (t) => {
  const world = mirroredPair(30)
  const client = new RawClient(world)
  const { faults } = world.platter(pathOf(world, 1))
  let value = 0
  /** Returns how long it takes to be back. */
  const fail = (): number => {
    faults.flush = 1
    value += 1
    client.write(4096, block(value))
    mustAsk(world, 'cp-now', {})
    t.ok(isStale(world, 1))
    faults.flush = 0
    const failedMs = world.scheduler.nowMs
    mustCome(world, 'both plexes in sync again', () => isInSync(world))
    return world.scheduler.nowMs - failedMs
  }
  const waits = Array.from({ length: 5 }, fail)
  t.ok(waits[0]! < 1000, `at first it takes ${waits[0]} ms`)
  for (const [index, ms] of waits.entries())
    t.ok(index === 0 || ms > 1.5 * waits[index - 1]!, `then ${ms} ms`)
  world.runFor(30_000)
  const afterwardsMs = fail()
  t.ok(afterwardsMs < 1000, `after a good time it takes ${afterwardsMs} ms`)
})

t.test('a plex that came back with the link, and fails soon, is not tried without a pause', async (t) => {
  const world = pairInSync(31, { isMirrored: true, isApart: true, durability: 'vault' })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const { faults } = world.platter(pathOf(world, 1))
  const client = new RawClient(world)
  faults.flush = 1
  client.write(4096, block(1))
  mustAsk(world, 'cp-now', {})
  t.ok(isStale(world, 1))
  faults.flush = 0
  const failedMs = world.scheduler.nowMs
  mustCome(world, 'both plexes in sync again', () => isInSync(world))
  t.ok(world.scheduler.nowMs - failedMs > 500, `it was away for ${world.scheduler.nowMs - failedMs} ms`)
})
