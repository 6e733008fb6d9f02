import t, { type Test } from 'tap'
import { isApart, readPairFile } from '../../ts/cli/pair-file.ts'
import { connect, type NbdClient } from '../support/nbd-client.ts'
import { nodeNames, Pair } from '../support/pair.ts'
import { plexIs } from '../support/pair-mirror.ts'
import { pollux, until } from '../support/program.ts'

t.setTimeout(300_000)

const small = ['--size', '16MiB', '--log-size', '1MiB']

async function once<T>(uri: string, use: (client: NbdClient) => Promise<T>): Promise<T> {
  const client = await connect(uri)
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

const answers = (uri: string): Promise<Buffer> =>
  until('the address answers', () => once(uri, (client) => client.read(0, 4096)).catch(() => undefined))

/** All disks of a pair that is down, by aggregate: what a user gives to `pollux check`. */
const disksOf = (pair: Pair, aggregate: string): string[] => [
  ...pair.plex(aggregate, 0),
  ...pair.plex(aggregate, 1),
]

/** After the giveback, the plex of the giver comes back by itself. */
async function bothCopies(pair: Pair): Promise<void> {
  for (const aggregate of nodeNames) for (const plex of [0, 1]) await plexIs(pair, plex, 'in-sync', aggregate)
}

/** What the README has a user try: it has to go well without a pause between two commands. */
async function takeFirstSteps(t: Test, pair: Pair): Promise<void> {
  const uri = pair.uri('vol0')
  await once(uri, (client) => client.write(0, Buffer.alloc(4096, 7)))
  await pair.kill('castor')
  t.equal((await answers(uri))[9], 7, 'the same address answers, from pollux')
  await once(uri, (client) => client.write(4096, Buffer.alloc(4096, 8)))
  const { volumes } = await pair.up()
  t.match(volumes, [{ name: 'vol0', node: 'pollux', uri }, { name: 'vol1' }])
  t.match(await pair.mustCommand('giveback', 'castor'), /castor serves castor now/)
  t.equal((await once(uri, (client) => client.read(4096, 4096)))[9], 8)
  await pair.inSync()
  if (isApart(readPairFile(pair.dir)!)) await bothCopies(pair)
  await pair.mustCommand('down')
}

t.test('without options each node has disks of its own, and one of them is enough', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  t.ok(isApart(readPairFile(pair.dir)!))
  await takeFirstSteps(t, pair)
  for (const node of nodeNames) {
    const checked = await pollux(['check', ...disksOf(pair, node)])
    t.match(checked, { code: 0, stdout: /plex 0 and plex 1 are equal/ }, checked.stderr)
  }
  const again = await pair.command('up', '--detach', '--shared')
  t.match(again.stderr, /the pair exists: the place of the disks stays on each node, nothing shared/)
  t.ok(isApart(readPairFile(pair.dir)!), 'it is adopted as it was made')
})

t.test('with --shared both nodes use the same disks, and it stays so', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up('--shared', ...small)
  t.notOk(isApart(readPairFile(pair.dir)!))
  await takeFirstSteps(t, pair)
  for (const node of nodeNames) {
    const checked = await pollux(['check', ...disksOf(pair, node)])
    t.match(checked, { code: 0, stdout: /: good/ }, checked.stderr)
    t.notMatch(checked.stdout, /plex/)
  }
  const again = await pair.command('up', '--detach')
  t.equal(again.stderr, '', 'who asks for nothing gets what there is')
  t.notOk(isApart(readPairFile(pair.dir)!))
})
