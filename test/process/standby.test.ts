import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Random } from '../sim/random.ts'
import { ImpatientClient } from '../support/impatient-client.ts'
import { durabilities, Pair, partnerOf } from '../support/pair.ts'
import { until } from '../support/program.ts'

const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const rounds = process.env['POLLUX_LONG'] === undefined ? 4 : 20

for (const durability of durabilities.slice(-1)) {
  t.test(`clients that connect again at once are never refused (${durability})`, async (t) => {
    t.comment(`seed ${seed}`)
    const random = new Random(seed)
    const pair = await Pair.start(t, { durability })
    const client = new ImpatientClient(pair.uri('vol0'))
    client.start()
    t.teardown(() => client.stop())
    const served = async (what: string): Promise<void> => {
      const before = client.answered
      await until('the client is served', () => client.answered > before + 100)
      const { stallMs, failures, connections } = client.take()
      t.comment(
        `${what}: longest stall ${stallMs} ms, ${failures.length} failed attempts ${failures.slice(0, 5)}`,
      )
      t.equal(connections, 1, `${what}: the client has connected again`)
      t.notOk(failures.includes('ECONNREFUSED'), `${what}: it was not refused`)
    }
    await served('at first')
    for (let round = 0; round < rounds; round += 1) {
      await sleep(random.between(0, 200))
      const victim = await pair.serving('castor')
      await pair.kill(victim)
      await pair.serving('castor', partnerOf(victim))
      await served(`kill of ${victim}`)
      await pair.up()
      await pair.inSync()
      if (round % 2 === 0) continue
      const giver = await pair.serving('castor')
      await pair.mustCommand(giver === 'castor' ? 'takeover' : 'giveback', 'castor')
      await served(`${giver} has handed over`)
      await pair.inSync()
    }
  })
}
