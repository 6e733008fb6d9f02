import t, { type Test } from 'tap'
import { labelPlex } from './format.ts'
import type { SimNode } from './node.ts'
import { mustAsk, mustCome, pairInSync, RawClient } from './raw-client.ts'
import { block, NO_POINTS } from './stories.ts'
import type { SimWorld } from './world.ts'

/*
 * The operator has the service go on from a plex that is stale, since it is all that is left. What the other
 * one has beyond it is kept aside.
 */

const FORCED = { force: true, acceptDataLoss: true, reason: 'castor has burnt', dryRun: false }

const isInSync = (world: SimWorld): boolean =>
  world.record?.plex0 === 'in-sync' && world.record?.plex1 === 'in-sync'

const pathOf = (world: SimWorld, plex: number): string => world.aggregates[0]!.disks[plex]!

/** Asks a node, and returns what it says, right or wrong. */
function ask(world: SimWorld, node: SimNode, body: object): { result: unknown; text: string } {
  const request = node.request('takeover', body)
  const { answers } = node.hosts[0]!
  mustCome(world, 'an answer', () => answers.has(request))
  const { result, error } = answers.get(request)!
  return { result, text: error?.message ?? JSON.stringify(result) }
}

const labelAnew = (world: SimWorld, plex: number): unknown =>
  labelPlex(world, world.aggregates[0]!, plex, new Uint8Array(16).fill(120 + plex), true)

/** What lies on a disk: nothing of it may change. */
function contentOf(world: SimWorld, plex: number): Map<number, Uint8Array> {
  world.platter(pathOf(world, plex)).flush()
  return new Map(world.platter(pathOf(world, plex)).durable)
}

function mustBeAsItWas(t: Test, world: SimWorld, plex: number, before: Map<number, Uint8Array>): void {
  const now = contentOf(world, plex)
  const changed = [...new Set([...before.keys(), ...now.keys()])].filter((number) => {
    const [one, other] = [before.get(number), now.get(number)]
    return one !== other && Buffer.compare(one ?? block(0), other ?? block(0)) !== 0
  })
  t.same(changed, [], `plex ${plex} is bit for bit what it was`)
}

/** Castor has acknowledged in each block its number plus 100, alone; pollux knows of the numbers only. */
function castorAlone(seed: number): SimWorld {
  const world = pairInSync(seed, { isMirrored: true, isApart: true, durability: 'nvram', ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const client = new RawClient(world)
  for (let place = 1; place < 20; place += 1) client.write(place * 4096, block(place))
  mustAsk(world, 'cp-now', {})
  world.cutLink()
  mustCome(world, 'castor alone', () => world.record?.log === 'stale')
  for (let place = 1; place < 20; place += 1) {
    client.write(place * 4096, block(place + 100))
    if (place % 4 === 0) mustAsk(world, 'cp-now', {})
  }
  t.equal(world.record?.plex1, 'stale')
  return world
}

/** Castor's process ends, its memory and disks stay. */
function branchOnPollux(world: SimWorld): void {
  world.castor.kill()
  world.mendLink()
  world.runFor(3000)
  t.equal(world.owner, undefined, 'nobody goes on by himself')
  t.match(ask(world, world.pollux, { ...FORCED, force: false }).text, /plex 1 on pollux is stale/)
  ask(world, world.pollux, FORCED)
  mustCome(world, 'served by pollux', () => world.owner === world.pollux)
}

const mustRead = (t: Test, world: SimWorld, more: number): void => {
  const client = new RawClient(world)
  for (let place = 1; place < 20; place += 1) t.same(client.read(place * 4096, 4096), block(place + more))
}

t.test('the only plex in sync is lost: the stale one serves by command, and the loser is kept', async (t) => {
  const world = castorAlone(60)
  const { castor, pollux } = world
  const generation = castor.engine!.owner!.aggregate.image.generation
  castor.kill()
  world.mendLink()
  world.runFor(3000)
  const would = ask(world, pollux, { ...FORCED, dryRun: true })
  t.match(would.text, /"possible":true.*go on from generation \d+ of plex 1.*plex 0, its log/)
  t.equal(world.owner, undefined, 'it was only asked')
  branchOnPollux(world)
  mustRead(t, world, 0)
  t.match(world.record, { plex0: 'stale', plex1: 'in-sync', forced: [{ branch: { lost: 0 } }] })
  const client = new RawClient(world)
  for (let round = 0; round < 12; round += 1) {
    for (let place = 1; place < 20; place += 1) client.write(place * 4096, block(place + 40))
    mustAsk(world, 'cp-now', {})
  }
  t.ok(pollux.engine!.owner!.aggregate.image.generation > generation + 1, 'the survivor has passed the loser')
  const before = contentOf(world, 0)
  world.start(castor)
  const ring = castor.engine!.log.memory.bytes.slice()
  mustCome(world, 'a word about the loser', () =>
    world.events.some((line) => /plex 0 did not come back.*kept as it is.*disk label --force/.test(line)),
  )
  world.runFor(30_000)
  pollux.kill()
  world.runFor(3000)
  world.start(pollux)
  mustCome(world, 'served by pollux, and by nobody else', () => world.owner === pollux)
  world.runFor(5000)
  mustBeAsItWas(t, world, 0, before)
  t.same(Buffer.compare(castor.engine!.log.memory.bytes, ring), 0, 'and so is its log')
  t.match(world.record, { owner: 'pollux', plex0: 'stale', log: 'stale' })
  const answer = mustAsk(world, 'status', {}) as { plexes: { state: string; because: string }[] }
  t.match(answer.plexes[0], { state: 'missing', because: /epoch.*went on without it, from generation/ })
  labelAnew(world, 0)
  mustCome(world, 'both in sync again', () => isInSync(world) && world.record?.log === 'in-sync')
  t.ok(
    world.events.some((line) => /castor.*log given up: log entries through \d+/.test(line)),
    'it says which',
  )
  t.match(world.record?.forced[0]?.branch, { lost: undefined })
  world.platter(pathOf(world, 0)).faults.isGone = true
  new RawClient(world).write(4096, block(41))
  mustAsk(world, 'cp-now', {})
  world.platter(pathOf(world, 0)).faults.isGone = false
  mustCome(world, 'in sync once more', () => isInSync(world))
  const { copiedBytes } = pollux.engine!.owner!.returning
  t.ok(copiedBytes > 0 && copiedBytes < 20 * 4096, `now it lacks little: ${copiedBytes} bytes`)
  pollux.loseHost()
  mustCome(world, 'served by castor', () => world.owner === castor)
  mustRead(t, world, 40)
})

t.test('whoever goes back to the branch that was given up finds all of it', async (t) => {
  const world = castorAlone(61)
  branchOnPollux(world)
  new RawClient(world).write(4096, block(7))
  mustAsk(world, 'cp-now', {})
  world.start(world.castor)
  world.runFor(5000)
  t.match(ask(world, world.castor, FORCED).text, /alive and owns/, 'not as long as the other one lives')
  const before = contentOf(world, 1)
  world.pollux.kill()
  world.runFor(2000)
  ask(world, world.castor, FORCED)
  mustCome(world, 'served by castor', () => world.owner === world.castor)
  mustRead(t, world, 100)
  for (let round = 0; round < 6; round += 1) mustAsk(world, 'cp-now', {})
  world.start(world.pollux)
  world.runFor(20_000)
  mustBeAsItWas(t, world, 1, before)
})

t.test('a copy of the log that begins where the stale image ends is applied: nothing is lost', async (t) => {
  const world = pairInSync(62, { isMirrored: true, isApart: true, durability: 'nvram', ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const client = new RawClient(world)
  const { faults } = world.platter(pathOf(world, 1))
  faults.isGone = true
  for (let place = 1; place < 20; place += 1) client.write(place * 4096, block(place))
  mustAsk(world, 'cp-now', {})
  t.match(world.record, { plex1: 'stale', log: 'in-sync' })
  for (let place = 1; place < 20; place += 1) client.write(place * 4096, block(place + 100))
  world.castor.loseHost()
  faults.isGone = false
  world.runFor(3000)
  t.equal(world.owner, undefined)
  ask(world, world.pollux, FORCED)
  mustCome(world, 'served by pollux', () => world.owner === world.pollux)
  mustRead(t, world, 100)
})

t.test('a plex that a resync was filling is no image, by no word', async (t) => {
  const world = pairInSync(63, { isMirrored: true, isApart: true, durability: 'nvram', ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const client = new RawClient(world)
  for (let place = 1; place < 200; place += 1) client.write(place * 4096, block(place))
  mustAsk(world, 'cp-now', {})
  const { faults } = world.platter(pathOf(world, 1))
  faults.isGone = true
  client.write(4096, block(9))
  mustAsk(world, 'cp-now', {})
  faults.isGone = false
  world.events.length = 0
  mustCome(world, 'a resync', () => world.events.some((line) => line.includes('resync: ')))
  world.castor.loseHost()
  world.runFor(3000)
  t.match(ask(world, world.pollux, FORCED).text, /plex 1 on pollux is stale.*resync was filling it/)
  world.runFor(3000)
  t.equal(world.owner, undefined)
  t.match(world.record, { plex0: 'in-sync', plex1: 'stale', forced: [] })
})

t.test('with shared disks, a partner that is up is asked first; then the same holds', async (t) => {
  const world = pairInSync(64, { isMirrored: true, durability: 'vault', ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const [first, second] = [0, 1].map((plex) => world.platter(pathOf(world, plex)).faults)
  const client = new RawClient(world)
  for (let place = 1; place < 20; place += 1) client.write(place * 4096, block(place))
  mustAsk(world, 'cp-now', {})
  second!.isGone = true
  for (let round = 0; round < 4; round += 1) {
    for (let place = 1; place < 20; place += 1) client.write(place * 4096, block(place + 100))
    mustAsk(world, 'cp-now', {})
  }
  for (const node of world.nodes) node.loseHost()
  world.losePower()
  Object.assign(second!, { isGone: false })
  Object.assign(first!, { isGone: true })
  for (const node of world.nodes) world.start(node)
  world.runFor(5000)
  t.match(ask(world, world.pollux, FORCED).text, /castor is up and may reach the other one/)
  world.castor.kill()
  world.runFor(2000)
  ask(world, world.pollux, FORCED)
  mustCome(world, 'served by pollux', () => world.owner === world.pollux)
  mustRead(t, world, 0)
  world.start(world.castor)
  for (let round = 0; round < 12; round += 1) {
    new RawClient(world).write(4096, block(1))
    mustAsk(world, 'cp-now', {})
  }
  const before = contentOf(world, 0)
  Object.assign(first!, { isGone: false })
  world.runFor(30_000)
  mustBeAsItWas(t, world, 0, before)
  labelAnew(world, 0)
  mustCome(world, 'both in sync again', () => isInSync(world) && world.record?.log === 'in-sync')
  mustRead(t, world, 0)
})

t.test('a plex that cannot be read for a moment only is not given up', async (t) => {
  const world = pairInSync(66, { isMirrored: true, durability: 'nvram', ...NO_POINTS })
  mustCome(world, 'both plexes in sync', () => isInSync(world))
  const [stale, good] = [pathOf(world, 1), pathOf(world, 0)].map((path) => world.platter(path).faults)
  const client = new RawClient(world)
  client.write(4096, block(0))
  mustAsk(world, 'cp-now', {})
  stale!.isGone = true
  client.write(4096, block(1))
  mustAsk(world, 'cp-now', {})
  t.equal(world.record?.plex1, 'stale')
  world.castor.loseHost()
  world.pollux.loseHost()
  stale!.isGone = false
  good!.isGone = true
  world.start(world.pollux)
  world.runFor(3000)
  world.heard = (_host, kind) => {
    if (kind === 'opening') good!.isGone = false
  }
  ask(world, world.pollux, FORCED)
  world.runFor(1000)
  t.match(world.record, { plex0: 'in-sync', plex1: 'stale', owner: 'pollux' })
  t.match(world.events.join('\n'), /plex 0 has everything and can be read again/)
  ask(world, world.pollux, FORCED)
  mustCome(world, 'served from the plex that has everything', () => world.owner === world.pollux)
  t.same(new RawClient(world).read(4096, 4096), block(1))
})
