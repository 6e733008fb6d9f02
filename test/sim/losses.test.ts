import t from 'tap'
import { Command, NbdError } from '../../ts/format/nbd.ts'
import type { Losses } from './losses.ts'
import type { Platter } from './platter.ts'
import { mustAsk, mustCome, pairInSync, RawClient } from './raw-client.ts'
import type { SimWorld } from './world.ts'

const BLOCKS = 64
const LENGTH = BLOCKS * 4096

interface Mirrored {
  readonly world: SimWorld
  readonly client: RawClient
  readonly losses: Losses
  readonly plexes: readonly Platter[]
}

/** Two plexes in sync on shared disks, which hold what a client has written, and no cache has it. */
function mirrored(seed: number): Mirrored {
  const world = pairInSync(seed, { isMirrored: true, cpIntervalMs: 1e7, cpFillMark: 0.9 })
  const writer = new RawClient(world)
  for (let at = 0; at < BLOCKS; at += 1) writer.write(at * 4096, new Uint8Array(4096).fill(at + 1))
  mustAsk(world, 'cp-now', {})
  for (const node of world.nodes) node.kill()
  for (const node of world.nodes) world.start(node)
  mustCome(world, 'in sync again', () => world.record?.log === 'in-sync' && world.owner !== undefined)
  const [aggregate] = world.aggregates
  const [losses, plexes] = [world.lossesOf(aggregate!.name)!, world.plattersOf(aggregate!)]
  return { world, client: new RawClient(world), losses, plexes }
}

/** A write to plex 0 fails, so the owner leaves it out; the arbiter is too slow to hear of it. */
function leaveOut({ world, client, plexes }: Mirrored): void {
  world.arbiter.slowMs = 1e9
  plexes[0]!.faults.write = 1
  client.write(0, new Uint8Array(4096).fill(99))
  world.owner!.request('cp-now', {})
  const { copies } = world.owner!.engine!.owner!.aggregate.image
  mustCome(world, 'plex 0 is left out', () => copies.reading.length === 1, 300)
}

/** What a client is told about a read of everything. */
function readError({ world, client }: Mirrored): number {
  const cookie = client.send(Command.READ, 0, LENGTH)
  mustCome(world, 'an answer', () => client.replies.has(cookie), 300)
  return client.replies.get(cookie)!.error
}

const excuses = ({ losses }: Mirrored): [boolean, number] => [losses.mayRefuseAll, losses.doubtful.size]

t.test(
  'an owner that has left one plex out may fail with the other one before the record says so',
  async (t) => {
    const pair = mirrored(31)
    leaveOut(pair)
    t.same(excuses(pair), [false, 0], 'the other one is there')
    pair.plexes[1]!.faults.isGone = true
    t.equal(readError(pair), NbdError.EIO)
    t.same(pair.world.plexesInSync(pair.world.aggregates[0]!), [0, 1], 'the record says nothing of it')
    t.ok(pair.losses.doubtful.size > 0)
    t.equal(pair.losses.lost.size, 0, 'all of it may come back')
  },
)

t.test('what the other plex once could not give, and can again, is no excuse', async (t) => {
  const pair = mirrored(32)
  pair.plexes[1]!.faults.read = 1
  pair.plexes[1]!.doubt(pair.world.blocksFrom)
  pair.plexes[1]!.heal()
  leaveOut(pair)
  t.equal(readError(pair), 0)
  t.same(excuses(pair), [false, 0])
})

t.test('a plex that is gone is no excuse as long as its owner reads the other one', async (t) => {
  const pair = mirrored(33)
  pair.world.arbiter.slowMs = 1e9
  pair.plexes[1]!.faults.isGone = true
  t.equal(readError(pair), 0)
  t.same(excuses(pair), [false, 0])
})
