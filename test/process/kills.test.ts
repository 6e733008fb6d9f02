import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Random } from '../sim/random.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, type NodeName, nodeNames, Pair, partnerOf } from '../support/pair.ts'

const kills = Math.ceil(Number(process.env['POLLUX_KILLS'] ?? 20) / durabilities.length)
const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** Two writing clients that never stop, and what happens to the nodes under them. */
async function underLoad(t: Test, durability: string, rounds: (pair: Pair, random: Random) => Promise<void>) {
  const pair = await Pair.start(t, { durability, logSize: '8MiB' })
  const oracles = ['vol0', 'vol1'].map(
    (volume, index) =>
      new Oracle({ uri: pair.uri(volume), tag: index + 1, seed: seed + index, queueDepth: 8 }),
  )
  for (const oracle of oracles) oracle.start()
  try {
    await rounds(pair, new Random(seed))
    await Promise.all(oracles.map((oracle) => oracle.progress(100)))
  } finally {
    await Promise.all(oracles.map((oracle) => oracle.stop()))
  }
  for (const oracle of oracles) {
    t.same(await oracle.verify(), [], `${oracle.answered} requests, ${oracle.reconnects} new connections`)
    t.comment(`longest wait of one request: ${Math.round(oracle.longestWaitMs)} ms`)
  }
  await pair.down()
  for (const aggregate of nodeNames) {
    const { code, stdout, stderr } = await pair.check(aggregate)
    t.equal(code, 0, `the disks of ${aggregate} check: ${stdout}${stderr}`)
  }
}

for (const durability of durabilities) {
  t.test(
    `F3 F4: nothing is lost in ${kills} kills at random moments, both ways (${durability})`,
    async (t) => {
      await underLoad(t, durability, async (pair, random) => {
        let victim: NodeName = 'castor'
        for (let kill = 0; kill < kills; kill += 1) {
          await sleep(random.between(20, 500))
          await pair.kill(victim)
          // sometimes it comes back while the partner is still taking over
          if (random.chance(0.7)) await pair.serving(victim, partnerOf(victim))
          await pair.up()
          await pair.inSync()
          victim = partnerOf(victim)
        }
      })
    },
  )

  t.test(`nothing is lost by a kill in the middle of what a node does (${durability})`, async (t) => {
    await underLoad(t, durability, async (pair, random) => {
      const moments: Record<string, () => Promise<unknown>> = {
        'a consistency point': () => duringPoint(pair, random),
        'the replay of a takeover': () => duringReplay(pair, random),
        'catching up, the one that comes back': () => duringCatchUp(pair, random, 'castor'),
        'catching up, the one that serves': () => duringCatchUp(pair, random, 'pollux'),
        'a giveback, the one that gives': () => duringGiveback(pair, random, 'pollux'),
        'a giveback, the one that gets': () => duringGiveback(pair, random, 'castor'),
      }
      for (const [name, act] of Object.entries(moments)) {
        await act()
        await pair.up()
        await pair.inSync()
        for (const home of nodeNames) {
          const owner = await pair.serving(home)
          if (owner !== home) await pair.mustCommand('giveback', home)
        }
        await pair.inSync()
        t.pass(`served again after a kill during ${name}`)
      }
    })
  })
}

async function duringPoint(pair: Pair, random: Random): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    const owner = await pair.serving('castor')
    void pair
      .control(owner)
      .json('POST', '/cp', { action: 'now', aggregate: 'castor' })
      .catch(() => undefined)
    await sleep(random.between(1, 60))
    await pair.kill(owner)
    await pair.serving('castor', partnerOf(owner))
    await pair.up()
    await pair.inSync()
  }
}

async function duringReplay(pair: Pair, random: Random): Promise<void> {
  await pair.kill('castor')
  await sleep(random.between(5, 150))
  await pair.kill('pollux')
}

/** `victim` is castor, which comes back, or pollux, which serves meanwhile and has what castor lacks. */
async function duringCatchUp(pair: Pair, random: Random, victim: NodeName): Promise<void> {
  await pair.kill('castor')
  await pair.serving('castor', 'pollux')
  await sleep(300)
  await pair.serve('castor', { ready: false })
  await sleep(random.between(150, 700))
  await pair.kill(victim)
}

async function duringGiveback(pair: Pair, random: Random, victim: NodeName): Promise<void> {
  await pair.kill('castor')
  await pair.serving('castor', 'pollux')
  await pair.up()
  await pair.inSync()
  const giveback = pair.command('giveback', 'castor')
  await sleep(random.between(250, 500))
  await pair.kill(victim)
  // whichever of the two has it at that moment, the other one can have it at once
  await pair.serving('castor', partnerOf(victim))
  const sinceMs = performance.now()
  await giveback
  const waitedMs = performance.now() - sinceMs
  if (waitedMs > 5000) throw new Error(`giveback did not notice for ${waitedMs} ms that ${victim} had failed`)
}
