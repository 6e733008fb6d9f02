import t, { type Test } from 'tap'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { REGION_WORDS } from '../../ts/volume/free-bits.ts'
import type { Image } from '../../ts/volume/image.ts'
import { checkCopy } from './check-image.ts'
import type { SimNode } from './node.ts'
import { mustAsk, mustCome, pairInSync, RawClient } from './raw-client.ts'
import { block } from './stories.ts'
import type { AggregateWorld, SimWorld, WorldOptions } from './world.ts'

const BLOCKS = 60
const deployments: Record<string, Partial<WorldOptions>> = {
  'shared disks': { durability: 'vault' },
  'shared disks of two plexes': { durability: 'vault', isMirrored: true },
  'nothing shared': { durability: 'vault', isMirrored: true, isApart: true },
}

const only = (world: SimWorld): AggregateWorld => world.aggregates[0]!
const imageOf = (world: SimWorld): Image | undefined => world.owner?.engine?.owner?.aggregate.image
const sizeOf = (world: SimWorld): number => imageOf(world)?.space.total ?? 0
const isWell = (world: SimWorld): boolean =>
  world.owner?.engine?.ownership.state === 'serving-mirrored' &&
  world.plexesInSync(only(world)).length === only(world).disks.length

/** A pair that has data on one disk for each plex, and another one that is labelled. */
function labelledPair(seed: number, options: Partial<WorldOptions>): SimWorld {
  const world = pairInSync(seed, options)
  mustCome(world, 'all plexes in sync', () => isWell(world))
  const client = new RawClient(world)
  for (let each = 0; each < BLOCKS; each += 1) client.write(each * BLOCK_SIZE, block(each + 1))
  client.flush()
  mustAsk(world, 'cp-now', {})
  world.added.label(only(world))
  return world
}

function restart(world: SimWorld, ...nodes: readonly SimNode[]): void {
  for (const node of nodes) node.kill()
  for (const node of nodes) world.start(node)
}

/** Everything is what it was, on whatever disks. */
function mustRead(t: Test, world: SimWorld, when: string): void {
  const client = new RawClient(world)
  const wrong = Array.from({ length: BLOCKS }, (_, at) => at).filter(
    (at) => !Buffer.from(client.read(at * BLOCK_SIZE, BLOCK_SIZE)).equals(block(at + 1)),
  )
  t.same(wrong, [], when)
}

/** Writes until blocks on the disks that were added are in use. */
function mustUseAdded(t: Test, world: SimWorld): void {
  const usesThem = (): boolean =>
    imageOf(world)!
      .space.bits.current.subarray(REGION_WORDS)
      .some((word) => word !== 0)
  const client = new RawClient(world)
  for (let round = 0; round < 40 && !usesThem(); round += 1) {
    for (let each = BLOCKS; each < 250; each += 1) client.write(each * BLOCK_SIZE, block(round + each))
    mustAsk(world, 'cp-now', {})
  }
  t.ok(usesThem(), 'blocks on the new disks are in use')
}

/** After a consistency point, both plexes are whole on all their disks. */
function mustBeGood(t: Test, world: SimWorld, when: string): void {
  mustAsk(world, 'cp-now', {})
  for (const plex of world.plexesInSync(only(world))) {
    const { problems, totals } = checkCopy(world, only(world), plex)
    t.same(problems, [], `${when}: plex ${plex}`)
    t.equal(totals.blocks, sizeOf(world))
  }
}

function sizeGrew(t: Test, world: SimWorld, before: number): void {
  t.ok(sizeOf(world) > 1.9 * before, `${before} blocks before, ${sizeOf(world)} now`)
}

for (const [deployment, options] of Object.entries(deployments)) {
  t.test(`both nodes stop, and start with one more disk (${deployment})`, async (t) => {
    const world = labelledPair(40, options)
    const before = sizeOf(world)
    for (const node of world.nodes) world.added.list(node, only(world))
    restart(world, ...world.nodes)
    mustCome(world, 'all is well again', () => isWell(world))
    sizeGrew(t, world, before)
    mustRead(t, world, 'what was there is there')
    mustUseAdded(t, world)
    mustBeGood(t, world, 'in use')
    restart(world, ...world.nodes)
    mustCome(world, 'all is well again', () => isWell(world))
    mustRead(t, world, 'once more')
    mustBeGood(t, world, 'once more')
  })

  t.test(
    `one node after the other starts with one more disk, while clients go on (${deployment})`,
    async (t) => {
      const world = labelledPair(41, options)
      const before = sizeOf(world)
      world.added.list(world.pollux, only(world))
      restart(world, world.pollux)
      mustCome(world, 'the keeper is back', () => isWell(world))
      t.equal(sizeOf(world), before, 'the owner goes on with the disks that it knows')
      t.ok(world.owner === world.castor)
      mustAsk(world, 'handover', {})
      mustCome(world, 'handed over', () => world.owner === world.pollux)
      sizeGrew(t, world, before)
      new RawClient(world).write(BLOCKS * BLOCK_SIZE, block(77))
      world.added.list(world.castor, only(world))
      restart(world, world.castor)
      mustCome(world, 'both are there', () => isWell(world))
      mustUseAdded(t, world)
      mustAsk(world, 'handover', {})
      mustCome(world, 'given back', () => world.owner === world.castor && isWell(world))
      sizeGrew(t, world, before)
      mustRead(t, world, 'what was there is there')
      mustBeGood(t, world, 'given back')
    },
  )

  t.test(`a crash at each write of the first opening and what follows (${deployment})`, async (t) => {
    const writes = (world: SimWorld): number =>
      only(world)
        .disks.flatMap((_, plex) => world.pathsOf(only(world), plex))
        .reduce((sum, path) => sum + world.platter(path).writes, 0)
    /** Returns whether the disks counted already when it came to the crash. */
    const crashAfter = (seed: number, count: number): boolean => {
      const world = labelledPair(seed, options)
      const before = sizeOf(world)
      for (const node of world.nodes) world.added.list(node, only(world))
      const from = writes(world)
      restart(world, ...world.nodes)
      const counts = (): boolean => imageOf(world)?.isGrowing === false
      mustCome(world, `${count} writes`, () => counts() || writes(world) >= from + count)
      const countAlready = counts()
      for (const node of world.nodes) count % 2 === 0 ? node.loseHost() : node.kill()
      world.losePower()
      for (const node of world.nodes) world.start(node)
      mustCome(world, `all is well after ${count} writes`, () => isWell(world))
      mustRead(t, world, `crash after ${count} writes`)
      mustBeGood(t, world, `crash after ${count} writes`)
      sizeGrew(t, world, before)
      return countAlready
    }
    for (const seed of [42, 43]) {
      let count = 1
      while (!crashAfter(seed, count)) count += 1
      t.ok(count > 10, `they count after ${count} writes`)
    }
  })
}

t.test('a node whose list is the old one is refused, with the remedy', async (t) => {
  const world = labelledPair(43, deployments['shared disks']!)
  world.added.list(world.castor, only(world))
  restart(world, world.castor)
  mustCome(world, 'in sync', () => isWell(world))
  if (world.owner === world.pollux) mustAsk(world, 'handover', {})
  mustCome(world, 'served with the longer list', () => world.owner === world.castor && isWell(world))
  mustBeGood(t, world, 'in use')
  world.castor.kill()
  t.notOk(
    world.runUntil(() => world.owner !== undefined, 20_000),
    'it would leave out a disk',
  )
  const text = world.events.findLast((line) => line.startsWith('pollux') || line.includes(' pollux/')) ?? ''
  t.ok(
    world.events.some((line) =>
      /is disk 1 of 2 of plex 0 .* add those that are missing to the list/.test(line),
    ),
    text,
  )
  world.added.list(world.pollux, only(world))
  restart(world, world.pollux)
  mustCome(world, 'served again', () => world.owner === world.pollux)
  mustRead(t, world, 'all is there')
})

t.test('a plex whose node learns of its disk later gets what it has missed, and no more', async (t) => {
  const world = labelledPair(44, deployments['nothing shared']!)
  const client = new RawClient(world)
  for (let each = BLOCKS; each < 250; each += 1) client.write(each * BLOCK_SIZE, block(each))
  mustAsk(world, 'cp-now', {})
  world.added.list(world.castor, only(world))
  restart(world, world.castor)
  mustCome(world, 'served', () => world.owner !== undefined)
  if (world.owner === world.pollux) {
    mustCome(world, 'in sync', () => isWell(world))
    mustAsk(world, 'handover', {})
  }
  mustCome(world, 'served by castor', () => world.owner === world.castor)
  new RawClient(world).write(0, block(1))
  mustAsk(world, 'cp-now', {})
  world.runFor(3000)
  t.same(world.plexesInSync(only(world)), [0], 'a plex of one disk cannot mirror one of two')
  t.ok(
    world.events.some((line) => /a plex of 1 disks cannot mirror one of 2: add the missing one/.test(line)),
    'the event names the remedy',
  )
  world.added.list(world.pollux, only(world))
  restart(world, world.pollux)
  mustCome(world, 'both plexes in sync', () => isWell(world))
  const { copiedBytes } = world.owner!.engine!.owner!.returning
  t.ok(copiedBytes > 0 && copiedBytes < 60 * BLOCK_SIZE, `${copiedBytes} bytes were copied`)
  mustRead(t, world, 'all is there')
  mustBeGood(t, world, 'in sync')
})

/**
 * Pollux owns, has lost its own plex and knows of the new disks; castor, whose plex is the only one in sync,
 * does not.
 */
function openedWithoutAdded(t: Test, world: SimWorld): void {
  mustAsk(world, 'handover', {})
  mustCome(world, 'handed over', () => world.owner === world.pollux && isWell(world))
  const { faults } = world.platter(world.pathsOf(only(world), 1)[0]!)
  faults.isGone = true
  new RawClient(world).write(0, block(1))
  mustAsk(world, 'cp-now', {})
  mustCome(world, 'the record calls it stale', () => world.plexesInSync(only(world)).length === 1)
  world.added.list(world.pollux, only(world))
  restart(world, world.castor, world.pollux)
  mustCome(world, 'served from the plex of the partner', () => world.owner === world.pollux)
  t.equal(imageOf(world)?.plex.segments.length, 1, 'without the new disks')
  faults.isGone = false
}

t.test('an owner that had to leave new disks out opens anew when both nodes know of them', async (t) => {
  const world = labelledPair(47, deployments['nothing shared']!)
  const before = sizeOf(world)
  openedWithoutAdded(t, world)
  mustCome(world, 'both plexes are in sync', () => isWell(world))
  world.runFor(3000)
  t.equal(sizeOf(world), before, 'as long as castor has the shorter list')
  world.added.list(world.castor, only(world))
  restart(world, world.castor)
  const epoch = world.owner!.engine!.ownership.epoch
  mustCome(world, 'they count', () => isWell(world) && sizeOf(world) > before)
  t.ok(world.owner === world.pollux, 'by the owner itself')
  t.equal(world.owner?.engine?.ownership.epoch, epoch + 1, 'once')
  sizeGrew(t, world, before)
  mustRead(t, world, 'all is there')
  mustUseAdded(t, world)
  mustBeGood(t, world, 'in use')
  world.runFor(20_000)
  t.equal(world.owner?.engine?.ownership.epoch, epoch + 1, 'and not again')
})

/** What of the disks keeps it from being opened anew. */
async function staysAsItIs(t: Test, world: SimWorld, list: () => void): Promise<void> {
  const before = sizeOf(world)
  openedWithoutAdded(t, world)
  const epoch = world.owner!.engine!.ownership.epoch
  list()
  restart(world, world.castor)
  mustCome(world, 'both plexes are in sync', () => isWell(world))
  world.runFor(10_000)
  t.ok(isWell(world), 'both plexes are in sync')
  t.equal(sizeOf(world), before)
  t.equal(world.owner?.engine?.ownership.epoch, epoch)
  mustRead(t, world, 'all is there')
}

t.test('it does not, if only one node lists a disk: the other plex could not mirror it', async (t) => {
  const world = labelledPair(49, deployments['nothing shared']!)
  world.added.label(only(world))
  await staysAsItIs(t, world, () => world.added.list(world.castor, only(world), 1))
})

t.test('it does not, if a disk that was added is none: that would cost a mirror that is whole', async (t) => {
  for (const isLast of [false, true]) {
    const world = labelledPair(50, deployments['nothing shared']!)
    const { faults } = world.platter(world.pathsOf(only(world), 1)[0]!)
    await staysAsItIs(t, world, () => {
      faults.isGone = isLast
      world.replaceDisk(world.pathsOf(only(world), 0)[1]!)
      world.added.list(world.castor, only(world))
      if (isLast) world.scheduler.after(1500, () => (faults.isGone = false))
    })
    t.ok(world.events.some((line) => /disks left out|is blank; label it/.test(line)))
  }
})

t.test('it does so, too, if its own plex comes back last', async (t) => {
  const world = labelledPair(48, deployments['nothing shared']!)
  const before = sizeOf(world)
  openedWithoutAdded(t, world)
  const { faults } = world.platter(world.pathsOf(only(world), 1)[0]!)
  faults.isGone = true
  world.added.list(world.castor, only(world))
  restart(world, world.castor)
  mustCome(world, 'castor is back', () => world.owner?.engine?.ownership.state === 'serving-mirrored')
  faults.isGone = false
  mustCome(world, 'they count', () => isWell(world) && sizeOf(world) > before)
  sizeGrew(t, world, before)
  mustRead(t, world, 'all is there')
  mustBeGood(t, world, 'grown')
})

t.test('a disk that is not labelled makes its plex missing, and nothing else stops', async (t) => {
  const world = labelledPair(45, deployments['shared disks of two plexes']!)
  const [, second] = [0, 1].map((plex) => world.pathsOf(only(world), plex)[1]!)
  world.replaceDisk(second!)
  for (const node of world.nodes) world.added.list(node, only(world))
  restart(world, ...world.nodes)
  mustCome(world, 'served', () => world.owner !== undefined)
  mustRead(t, world, 'from the plex that has its disks')
  t.same(world.plexesInSync(only(world)), [0])
  t.ok(world.events.some((line) => line.includes(`${second} is blank; label it`)))
})

t.test('a node that cannot open the longer list does not end the service', async (t) => {
  const world = labelledPair(46, deployments['shared disks']!)
  world.replaceDisk(world.pathsOf(only(world), 0)[1]!)
  world.added.list(world.pollux, only(world))
  restart(world, world.pollux)
  mustCome(world, 'the keeper is back', () => isWell(world))
  mustAsk(world, 'handover', {})
  mustCome(world, 'castor serves again', () => world.owner === world.castor)
  t.ok(world.events.some((line) => /is blank; label it/.test(line)))
  mustRead(t, world, 'what was there is there')
})
