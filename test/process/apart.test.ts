import t, { type Test } from 'tap'
import { BLOCK_SIZE, MIB } from '../../ts/base/units.ts'
import { connect } from '../support/nbd-client.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, nodeNames, type Pair, partnerOf } from '../support/pair.ts'
import {
  giveBlankDisks,
  linkTraffic,
  loseEverything,
  partnerTraffic,
  plexesInSync,
  startApart,
} from '../support/pair-apart.ts'
import { plexIs } from '../support/pair-mirror.ts'

/** One client for each node's own volume, which ends with the test, also if that fails. */
function oraclesOf(t: Test, pair: Pair): Oracle[] {
  const oracles = ['vol0', 'vol1'].map((volume, tag) => new Oracle({ uri: pair.uri(volume), tag: tag + 1 }))
  t.teardown(() => Promise.all(oracles.map((oracle) => oracle.stop().catch(() => undefined))))
  return oracles
}

const start = (oracles: readonly Oracle[]): void => oracles.forEach((oracle) => void oracle.start())
const progress = (oracles: readonly Oracle[], more: number): Promise<unknown> =>
  Promise.all(oracles.map((oracle) => oracle.progress(more)))

async function mustHaveAll(t: Test, oracles: readonly Oracle[], when: string): Promise<void> {
  await Promise.all(oracles.map((oracle) => oracle.stop()))
  for (const oracle of oracles) t.same(await oracle.verify(), [], `${when}: ${oracle.answered} requests`)
}

/** After a consistency point and a stop in good order, the plexes of both aggregates are whole, and equal. */
async function mustBeEqual(t: Test, pair: Pair): Promise<void> {
  await plexesInSync(pair)
  await pair.mustCommand('cp', 'now')
  await pair.down()
  for (const aggregate of nodeNames) {
    const { stdout, stderr } = await pair.check(aggregate, '--json')
    const { aggregates } = JSON.parse(stdout) as { aggregates: unknown[] }
    const whole = { state: 'checked', good: true }
    t.match(aggregates, [{ aggregate, good: true, equal: true, plexes: [whole, whole] }], stderr)
  }
}

for (const durability of durabilities) {
  const title = 'kill castor and delete its directory of disks: pollux serves everything acknowledged'
  const rest = 'a new empty castor joins, is filled, and takes its volumes back'
  t.test(`F15 ${title}; ${rest} (${durability})`, async (t) => {
    const pair = await startApart(t, { durability })
    const oracles = oraclesOf(t, pair)
    start(oracles)
    await progress(oracles, 600)
    await pair.mustCommand('cp', 'now')
    await progress(oracles, 300)
    await pair.kill('castor')
    loseEverything(pair, 'castor')
    await progress(oracles, 300)
    t.equal(await pair.serving('castor'), 'pollux', 'the partner serves it')
    await mustHaveAll(t, oracles, 'from the disks and the log of pollux alone')
    await giveBlankDisks(pair, 'castor')
    await pair.serve('castor')
    start(oracles)
    await plexesInSync(pair)
    await pair.mustCommand('giveback', 'castor')
    await pair.serving('castor', 'castor')
    await progress(oracles, 300)
    await mustHaveAll(t, oracles, 'castor is back')
    await mustBeEqual(t, pair)
  })
}

/** One class is enough where FLUSH is not what it is about. */
const durability = durabilities[0]!

t.test(
  'F16 active/active: both nodes own an aggregate with a plex on each host, and either takes over (F3)',
  async (t) => {
    const pair = await startApart(t, { durability })
    const oracles = oraclesOf(t, pair)
    for (const victim of nodeNames) {
      await pair.control(victim).json('POST', '/cp', { action: 'hold', aggregate: victim })
      start(oracles)
      await progress(oracles, 500)
      await pair.kill(victim)
      await progress(oracles, 300)
      t.equal(await pair.serving(victim), partnerOf(victim), `${victim} is stood in for`)
      await mustHaveAll(t, oracles, `without ${victim}`)
      const { recovery } = await pair.engine(partnerOf(victim), victim)
      t.ok(recovery!.entries > 200, `${recovery!.entries} entries came from the log`)
      await pair.serve(victim)
      await plexesInSync(pair)
      await pair.mustCommand('giveback', victim)
      await pair.serving(victim, victim)
    }
    start(oracles)
    await progress(oracles, 800)
    await mustHaveAll(t, oracles, 'both own their own again')
    await mustBeEqual(t, pair)
  },
)

t.test('link bytes per written client byte: data that the log has goes to the disks by name', async (t) => {
  const blockCount = (160 * MIB) / BLOCK_SIZE
  const pair = await startApart(t, { durability, size: '160MiB', logSize: '16MiB' })
  const client = await connect(pair.uri('vol0'))
  await pair.mustCommand('cp', 'now')
  const before = await linkTraffic(pair, 'castor', 'castor')
  const backBefore = await partnerTraffic(pair, 'castor', 'castor')
  const data = Buffer.alloc(BLOCK_SIZE)
  const writes = 12_000
  for (let written = 0; written < writes; written += 100) {
    const places = Array.from({ length: 100 }, () => Math.floor(Math.random() * blockCount))
    await Promise.all(places.map((block) => client.write(block * BLOCK_SIZE, data.fill(written + 1))))
  }
  await pair.mustCommand('cp', 'now')
  const after = await linkTraffic(pair, 'castor', 'castor')
  const backAfter = await partnerTraffic(pair, 'castor', 'castor')
  await client.close()
  const per = (bytes: number): string => (bytes / (writes * BLOCK_SIZE)).toFixed(3)
  const sent = after.linkBytesSent - before.linkBytesSent
  const byReference = after.diskBytesByReference - before.diskBytesByReference
  const byValue = after.diskBytesByValue - before.diskBytesByValue
  t.comment(
    `per byte of clients: ${per(sent)} sent, ${per(backAfter.linkBytesSent - backBefore.linkBytesSent)} back`,
  )
  t.comment(`to disks of the partner: ${per(byReference)} by reference, ${per(byValue)} by value`)
  t.ok(sent < 1.5 * writes * BLOCK_SIZE, `${per(sent)} bytes over the link for each`)
  t.ok(byReference > 0.8 * writes * BLOCK_SIZE, 'the data was not sent twice')
  await mustBeEqual(t, pair)
})

t.test(
  'a partner that loses its power for a moment: its plex comes back with what has changed',
  async (t) => {
    const pair = await startApart(t, { durability })
    const client = await connect(pair.uri('vol0'))
    for (let at = 0; at < 56; at += 1) await client.write((8 + at) * MIB, Buffer.alloc(MIB, at + 1))
    await client.close()
    await pair.mustCommand('cp', 'now')
    const oracle = new Oracle({ uri: pair.uri('vol0'), blockCount: (4 * MIB) / BLOCK_SIZE })
    t.teardown(() => oracle.stop().catch(() => undefined))
    oracle.start()
    await oracle.progress(300)
    await pair.kill('pollux')
    await plexIs(pair, 1, 'missing')
    await oracle.progress(300)
    await pair.serve('pollux')
    await plexIs(pair, 1, 'in-sync')
    await oracle.progress(300)
    await oracle.stop()
    t.equal(oracle.reconnects, 0, `no connection ended, longest wait ${Math.round(oracle.longestWaitMs)} ms`)
    const { events } = await pair.status('castor')
    const ended = events.findLast((one) => one.event === 'plex in sync' && one.aggregate === 'castor')
    const copied = Number(ended!.facts!['copiedBytes'])
    t.ok(copied > 0 && copied < 8 * MIB, `${copied} bytes were copied, of 60 MiB`)
    t.same(await oracle.verify(), [])
    await mustBeEqual(t, pair)
  },
)
