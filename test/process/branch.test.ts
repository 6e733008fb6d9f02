import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { connect } from '../support/nbd-client.ts'
import { durabilities, nodeNames, type Pair } from '../support/pair.ts'
import { plexesInSync, startApart } from '../support/pair-apart.ts'
import { mustPollux, mustRun, until } from '../support/program.ts'

const block = (value: number): Buffer => Buffer.alloc(4096, value)

async function write(pair: Pair, value: number): Promise<void> {
  const client = await connect(pair.uri('vol0'))
  await client.write(0, block(value), { fua: true })
  await client.close()
}

async function firstByte(pair: Pair): Promise<number> {
  const client = await connect(pair.uri('vol0'))
  const bytes = await client.read(0, 4096)
  await client.close()
  return bytes[0]!
}

const digest = async (path: string): Promise<string> => (await mustRun('sha256sum', [path])).stdout

/** What castor's disks hold is given up; it is stopped meanwhile. */
async function labelAnew(pair: Pair): Promise<void> {
  for (const aggregate of nodeNames) {
    const plex = aggregate === 'castor' ? 0 : 1
    const [[disk], [mirror]] = [pair.plex(aggregate, plex), pair.plex(aggregate, 1 - plex)]
    const listed = JSON.parse((await mustPollux(['disk', 'list', mirror!, '--json'])).stdout)
    const where = ['--config', pair.config('castor').path, '--aggregate', aggregate, '--plex', String(plex)]
    await mustPollux(['disk', 'label', disk!, ...where, '--force', '--size', listed.disks[0].size])
  }
}

t.test('the host with the only plex in sync is lost: the stale one serves by command', async (t) => {
  const pair = await startApart(t, { durability: durabilities[0]! })
  await write(pair, 1)
  await pair.mustCommand('cp', 'now')
  await pair.kill('pollux')
  await write(pair, 2)
  await pair.mustCommand('cp', 'now')
  await pair.kill('castor')
  await pair.serve('pollux')
  await until('pollux says why it does not serve', async () => {
    const { serves, because } = await pair.engine('pollux', 'castor')
    return !serves && /plex 1 on pollux is stale/.test(because)
  })
  const words = ['--force', '--accept-data-loss', '--reason', 'castor has burnt']
  const would = await pair.mustCommand('takeover', 'castor', ...words, '--dry-run')
  t.match(would, /castor: pollux would go on from generation \d+ of plex 1.*what plex 0, its log/)
  await pair.mustCommand('takeover', 'castor', ...words)
  t.equal(await pair.serving('castor'), 'pollux')
  t.match(pair.record('castor'), /castor has burnt.*"branch"/s)
  t.equal(await firstByte(pair), 1, 'what castor has acknowledged alone is given up')
  for (let value = 3; value < 9; value += 1) {
    await write(pair, value)
    await pair.mustCommand('cp', 'now')
  }
  const [disk] = pair.plex('castor', 0)
  const before = await digest(disk!)
  await pair.serve('castor')
  await until('the plex of castor is kept', async () => {
    const { plexes } = await pair.engine('pollux', 'castor')
    return /kept as it is.*pollux disk label --force --plex 0/.test(plexes?.[0]?.because ?? '')
  })
  await sleep(3000)
  t.equal(await digest(disk!), before, 'not one byte was written to it')
  await pair.kill('castor')
  await labelAnew(pair)
  await pair.serve('castor')
  await plexesInSync(pair)
  await pair.mustCommand('giveback', 'castor')
  t.equal(await pair.serving('castor', 'castor'), 'castor')
  t.equal(await firstByte(pair), 8)
})
