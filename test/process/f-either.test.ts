import t, { type Test } from 'tap'
import type { LogDumpEntry } from '../../ts/node/messages.ts'
import { connect, list } from '../support/nbd-client.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, type NodeName, nodeNames, Pair, partnerOf } from '../support/pair.ts'
import { until } from '../support/program.ts'
import { freePort } from '../support/socket-tools.ts'

interface Either {
  readonly pair: Pair
  /** a volume of castor, at an address that one node listens at, whoever serves */
  at(node: NodeName, volume?: string): string
}

/** A pair in which clients of castor's aggregate may come to an address of either node. */
async function eitherNode(t: Test, durability: string, isApart = false): Promise<Either> {
  const ports = { castor: freePort(), pollux: freePort() }
  const pair = await Pair.start(t, {
    durability,
    isApart,
    edit: (file, node) => {
      file.nbd = [{ listen: `127.0.0.1:${ports[node]}`, aggregates: ['castor'], forward: true }]
    },
  })
  return { pair, at: (node, volume = 'vol0') => `nbd://127.0.0.1:${ports[node]}/${volume}` }
}

const forwardedBy = async (pair: Pair, node: NodeName): Promise<number> =>
  (await pair.status(node)).services.reduce((sum, { forwarded }) => sum + forwarded, 0)

async function dump(pair: Pair, node: NodeName): Promise<LogDumpEntry[]> {
  const text = await pair.control(node).text('GET', '/log?copy=own&aggregate=castor')
  const lines = text.split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line) as LogDumpEntry)
}

/** Each change of a client is one entry, at one place of both logs, whichever node it was received by. */
async function judgeLogs(t: Test, pair: Pair, blocks: number): Promise<void> {
  const [own, copy] = [await dump(pair, 'castor'), await dump(pair, 'pollux')]
  t.same(copy, own, 'both logs tell the same')
  const written = own.filter(({ kind }) => kind === 'write')
  const places = written.map(({ offset }) => offset).sort((a, b) => a! - b!)
  t.same(
    places,
    Array.from({ length: blocks }, (_, block) => block * 4096),
    'every change is there, once',
  )
}

for (const durability of durabilities) {
  // each deployment in one durability: where clients come in is the same in all
  for (const isApart of [durability !== 'pair']) {
    const where = `${isApart ? 'nothing shared' : 'shared disks'}, ${durability}`
    t.test(`F17: clients may come to either node, and one of them owns (${where})`, async (t) => {
      const { pair, at } = await eitherNode(t, durability, isApart)
      for (const owner of ['castor', 'pollux', 'castor'] as const) {
        if (owner === 'pollux') await pair.mustCommand('takeover', 'castor')
        else if ((await pair.serving('castor')) !== owner) await pair.mustCommand('giveback', 'castor')
        await pair.inSync()
        const clients = await Promise.all(nodeNames.map((node) => connect(at(node))))
        t.equal(await forwardedBy(pair, partnerOf(owner)), 1, `${partnerOf(owner)} passes its client on`)
        t.equal(await forwardedBy(pair, owner), 0)
        for (const [tag, client] of clients.entries()) {
          await client.write(tag * 4096, Buffer.alloc(4096, tag + 1), { fua: true })
        }
        for (const client of clients) {
          t.equal((await client.read(0, 4096))[0], 1, 'each sees what the other has written')
          t.equal((await client.read(4096, 4096))[0], 2)
        }
        const served = nodeNames.map(async (node) => (await pair.engine(node, 'castor')).serves)
        t.equal((await Promise.all(served)).filter(Boolean).length, 1, 'one owner')
        for (const client of clients) await client.close()
      }
      t.same(
        (await list(at('pollux'))).map(({ name }) => name),
        ['vol0'],
      )
    })

    t.test(`F18: what either node receives is in both logs, and done once (${where})`, async (t) => {
      const { pair, at } = await eitherNode(t, durability, isApart)
      await pair.control('castor').json('POST', '/cp', { action: 'now', aggregate: 'castor' })
      await pair.control('castor').json('POST', '/cp', { action: 'hold', aggregate: 'castor' })
      const clients = await Promise.all(nodeNames.map((node) => connect(at(node))))
      for (let block = 0; block < 64; block += 1) {
        await clients[block % 2]!.write(block * 4096, Buffer.alloc(4096, block + 1))
      }
      await judgeLogs(t, pair, 64)
      for (const client of clients) await client.close()
      await pair.control('castor').json('POST', '/cp', { action: 'resume', aggregate: 'castor' })
      const volumes = ['vol2', 'vol3']
      for (const name of volumes)
        await pair.mustCommand('volume', 'create', name, '--size', '16MiB', '--aggregate', 'castor')
      const oracles = nodeNames.map(
        (node, tag) => new Oracle({ uri: at(node, volumes[tag]!), tag: tag + 1, blockCount: 1024 }),
      )
      for (const oracle of oracles) oracle.start()
      for (const victim of ['pollux', 'castor'] as const) {
        await Promise.all(oracles.map((oracle) => oracle.progress(500)))
        await pair.kill(victim)
        await oracles[nodeNames.indexOf(partnerOf(victim))]!.progress(300)
        await pair.up()
        await pair.inSync()
        await Promise.all(oracles.map((oracle) => oracle.progress(300)))
      }
      await Promise.all(oracles.map((oracle) => oracle.stop()))
      await until('the forwarded clients are gone', async () => {
        const counts = await Promise.all(nodeNames.map((node) => forwardedBy(pair, node)))
        return counts.every((count) => count === 0)
      })
      for (const [tag, oracle] of oracles.entries()) {
        t.same(await oracle.verify(), [], `${oracle.answered} requests through ${oracle.uri}`)
        const uri = at(partnerOf(nodeNames[tag]!), volumes[tag]!)
        t.same(await oracle.verify({ uri }), [], 'and the same through the other node')
      }
    })
  }
}
