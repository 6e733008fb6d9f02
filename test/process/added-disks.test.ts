import { statSync } from 'node:fs'
import t, { type Test } from 'tap'
import { BLOCK_SIZE, MIB } from '../../ts/base/units.ts'
import { connect } from '../support/nbd-client.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, type NodeName, nodeNames, Pair } from '../support/pair.ts'
import { plexesInSync, startApart } from '../support/pair-apart.ts'
import { aggregateOf } from '../support/pair-config.ts'
import { addMirrors, plexIs } from '../support/pair-mirror.ts'
import { isAlive, mustPollux, mustRun, pollux, until } from '../support/program.ts'

const ADDED = 256 * MIB
const durability = durabilities[0]!

const addedOf = (pair: Pair, plex: number): string => `${pair.plex('castor', plex)[0]!}.added`

/** New disks of different size for both plexes of castor's aggregate, in the settings of both nodes. */
async function listNewDisks(pair: Pair): Promise<string[]> {
  const plexes = [0, 1].filter((plex) => pair.plex('castor', plex).length > 0)
  const added = plexes.map((plex) => addedOf(pair, plex))
  for (const [index, disk] of added.entries())
    await mustRun('truncate', ['-s', String(ADDED + index * 7 * MIB), disk])
  pair.edit((file) => {
    const aggregate = aggregateOf(file, 'castor')
    if (aggregate.disks !== 'partner') aggregate.disks = [...aggregate.disks, added[0]!]
    if (Array.isArray(aggregate.mirror)) aggregate.mirror = [...aggregate.mirror, added[1]!]
  })
  return added
}

function label(pair: Pair, node: NodeName, ...args: string[]) {
  return pollux(['disk', 'label', '--config', pair.config(node).path, '--aggregate', 'castor', ...args])
}

async function sizeOf(pair: Pair): Promise<number> {
  const node = await pair.serving('castor')
  return (await pair.engine(node, 'castor')).space!.byteLength
}

async function restart(pair: Pair, node: NodeName): Promise<void> {
  const pid = await pair.kill(node, 'SIGTERM')
  await until(`${node} has ended`, () => !isAlive(pid))
  await pair.serve(node)
}

/** A volume that has no room on the first disks. */
async function fillBig(t: Test, pair: Pair): Promise<void> {
  const byteLength = 200 * MIB
  await pair.mustCommand('volume', 'create', 'big', '--size', '200MiB', '--aggregate', 'castor')
  const client = await connect(`${pair.service('castor')}/big`)
  const piece = (at: number): Buffer => Buffer.alloc(MIB, 1 + ((at / MIB) % 250))
  for (let at = 0; at < byteLength; at += MIB) await client.write(at, piece(at))
  await client.flush()
  await pair.mustCommand('cp', 'now')
  for (let at = 0; at < byteLength; at += MIB) t.ok((await client.read(at, MIB)).equals(piece(at)))
  await client.close()
  for (const plex of [0, 1]) {
    const [, added] = pair.plex('castor', plex)
    if (added !== undefined) t.ok(statSync(added).blocks * 512 > 40 * MIB, `${added} holds data`)
  }
}

/** Stops both nodes in good order; then what is on all disks is whole. */
async function mustBeGood(t: Test, pair: Pair): Promise<void> {
  await pair.mustCommand('cp', 'now')
  await pair.down()
  const { stdout, stderr } = await pair.check('castor', '--json')
  const [report] = (JSON.parse(stdout) as { aggregates: { totals: { blocks: number } }[] }).aggregates
  t.match(report, { good: true, notes: [/are equal/] }, stderr)
  t.ok(report!.totals.blocks * BLOCK_SIZE > ADDED)
}

t.test('a disk for each plex, one host after the other, while clients go on', async (t) => {
  const pair = await startApart(t, { durability })
  const oracles = ['vol0', 'vol1'].map((volume, tag) => new Oracle({ uri: pair.uri(volume), tag: tag + 1 }))
  t.teardown(() => Promise.all(oracles.map((oracle) => oracle.stop().catch(() => undefined))))
  for (const oracle of oracles) oracle.start()
  const progress = (more: number) => Promise.all(oracles.map((oracle) => oracle.progress(more)))
  await progress(300)
  const before = await sizeOf(pair)
  const [first, second] = await listNewDisks(pair)
  const told = await label(pair, 'castor', '--add', first!)
  t.equal(told.code, 0, told.stderr)
  t.match(
    told.stdout,
    /castor.*added is a disk of plex 0 of aggregate castor now\n.*--size 256MiB\nthey count as soon/,
  )
  const size = /--size (\S+)/.exec(told.stdout)![1]!
  const other = await label(pair, 'pollux', '--add', second!, '--size', size)
  t.equal(other.code, 0, other.stderr)
  await progress(100)
  await restart(pair, 'pollux')
  await plexesInSync(pair)
  t.equal(await sizeOf(pair), before, 'castor goes on with the disks that it knows')
  await pair.mustCommand('takeover', 'castor')
  await pair.serving('castor', 'pollux')
  t.ok((await sizeOf(pair)) > before + 0.9 * ADDED)
  await progress(200)
  await restart(pair, 'castor')
  await plexesInSync(pair)
  for (const node of nodeNames) {
    if ((await pair.serving(node)) !== node) await pair.mustCommand('giveback', node)
    await pair.serving(node, node)
  }
  await plexesInSync(pair)
  await progress(300)
  t.ok((await sizeOf(pair)) > before + 0.9 * ADDED)
  await Promise.all(oracles.map((oracle) => oracle.stop()))
  for (const oracle of oracles) t.same(await oracle.verify(), [], `${oracle.answered} requests`)
  await fillBig(t, pair)
  await plexesInSync(pair)
  for (const oracle of oracles) t.same(await oracle.verify(), [])
  const listed = await pair.command('disk', 'list', ...pair.plex('castor', 0))
  t.match(listed.stdout, /disk 1 of 2 in plex 0\n.*disk 2 of 2 in plex 0\n/)
  const inUse = await label(pair, 'castor', '--add', '--force', first!)
  t.equal(inUse.code, 1)
  t.match(inUse.stderr, /added is no new disk: the image of plex 0 lies on that place already/)
  await mustBeGood(t, pair)
})

t.test('both nodes stop, and start with one more shared disk for each plex', async (t) => {
  const pair = await Pair.start(t, { durability, mirror: addMirrors })
  const oracle = new Oracle({ uri: pair.uri('vol0') })
  await oracle.run(500)
  const before = await sizeOf(pair)
  await pair.down()
  const added = await listNewDisks(pair)
  const one = await label(pair, 'castor', '--add', added[0]!)
  t.equal(one.code, 2)
  t.match(one.stderr, /--add is for the last ones of each list/)
  await mustPollux([
    ...['disk', 'label', '--config', pair.config('castor').path, '--aggregate', 'castor'],
    ...['--add', ...added],
  ])
  const again = await label(pair, 'castor', '--add', ...added)
  t.equal(again.code, 1)
  t.match(again.stderr, /added is labelled already, as disk 2 of 2 in plex 0/)
  await pair.up()
  await pair.inSync()
  for (const plex of [0, 1]) await plexIs(pair, plex, 'in-sync')
  t.ok((await sizeOf(pair)) > before + 0.9 * ADDED)
  t.same(await oracle.verify(), [])
  await fillBig(t, pair)
  t.same(await oracle.verify(), [])
  await mustBeGood(t, pair)
})
