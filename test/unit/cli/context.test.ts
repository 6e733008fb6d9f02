import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { defaultDir, findContext } from '../../../ts/cli/context.ts'
import { type PairFile, type PairNode, readPairFile, writePairFile } from '../../../ts/cli/pair-file.ts'
import { configText } from '../../../ts/cli/pair-setup.ts'
import { parseNodeConfig } from '../../../ts/config/node-config.ts'

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-context-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

const node = (name: string, digit: string, port: number): PairNode => ({
  name,
  identity: digit.repeat(32),
  aggregateIdentity: `${digit}${'f'.repeat(31)}`,
  volume: 'v',
  servicePort: port,
  linkPort: port + 1,
  api: `/x/${name}.sock`,
  disk: `/x/${name}.disk`,
})

const pair: PairFile = {
  version: 1,
  state: 'ready',
  pair: 'a'.repeat(32),
  size: 4096,
  diskByteLength: 2 ** 20,
  logByteLength: 2 ** 24,
  durability: 'pair',
  nvramDirectory: '/dev/shm/x',
  nodes: [node('castor', '1', 1001), node('pollux', '2', 1003)],
}

t.test('the pair of `pollux up` is found in its folder', async (t) => {
  const dir = folderOf(t)
  writePairFile(dir, pair)
  t.same(readPairFile(dir), pair)
  t.match(findContext(dir), {
    dir,
    nodes: [
      { name: 'castor', api: '/x/castor.sock', nbd: '127.0.0.1:1001' },
      { name: 'pollux', api: '/x/pollux.sock', nbd: '127.0.0.1:1003' },
    ],
  })
})

t.test('without a pair the sockets in the folder are the nodes', async (t) => {
  const dir = folderOf(t)
  writeFileSync(join(dir, 'castor.sock'), '')
  writeFileSync(join(dir, 'castor.log'), '')
  t.match(findContext(dir).nodes, [{ name: 'castor', api: join(dir, 'castor.sock'), nbd: undefined }])
})

t.test('a folder with nothing in it says how to make a pair', async (t) => {
  const dir = join(folderOf(t), 'empty')
  const message = `there is no pair in ${dir}; make one with \`pollux up --dir ${dir}\``
  t.throws(() => findContext(dir), { code: 'API_UNREACHABLE', message })
  mkdirSync(dir)
  t.throws(() => findContext(dir), { code: 'API_UNREACHABLE', message })
})

t.test('a damaged description of a pair is named, not guessed around', async (t) => {
  const dir = folderOf(t)
  for (const text of ['{', '{"version": 9}', '[]']) {
    writeFileSync(join(dir, 'pair.json'), text)
    t.throws(() => readPairFile(dir), { code: 'CONFIG_INVALID', message: /pair\.json is not what/ }, text)
  }
})

t.test('the default folder follows the environment', async (t) => {
  const before = { ...process.env }
  t.teardown(() => {
    process.env = before
  })
  process.env['POLLUX_DIR'] = '/a/b'
  t.equal(defaultDir(), '/a/b')
  delete process.env['POLLUX_DIR']
  process.env['XDG_DATA_HOME'] = '/c'
  t.equal(defaultDir(), '/c/pollux')
  delete process.env['XDG_DATA_HOME']
  process.env['HOME'] = '/home-of-somebody'
  t.equal(defaultDir(), '/home-of-somebody/.local/share/pollux')
})

t.test('the settings that are written for both nodes are good, and fit each other', async (t) => {
  const [castor, pollux] = pair.nodes
  const a = parseNodeConfig(configText('/x', pair, castor, pollux), 'castor.toml')
  const b = parseNodeConfig(configText('/x', pair, pollux, castor), 'pollux.toml')
  t.same(a.partner, b.node)
  t.same(a.linkPartner, b.linkListen)
  t.same(a.aggregates, b.aggregates)
  t.notSame(a.nvram.directory, b.nvram.directory)
  t.match(a, {
    aggregates: [
      {
        name: 'castor',
        home: 'castor',
        plexes: [['/x/castor.disk']],
        logByteLength: 2 ** 24,
        durability: 'pair',
      },
      { name: 'pollux', home: 'pollux', service: { host: '127.0.0.1', port: 1003 } },
    ],
  })
})

t.test('with fewer CPUs than engines, both nodes give those of an aggregate the same one', async (t) => {
  const [castor, pollux] = pair.nodes
  const cpusOf = (node: PairNode, partner: PairNode, cpus: number[]) =>
    parseNodeConfig(configText('/x', pair, node, partner, cpus), 'node.toml').aggregates.map(({ cpu }) => cpu)
  t.same(cpusOf(castor, pollux, [0, 1]), [0, 1])
  t.same(cpusOf(pollux, castor, [2, 7]), [2, 7])
  t.same(cpusOf(castor, pollux, [3]), [3, 3])
  t.same(cpusOf(castor, pollux, [0, 1, 2, 3]), [undefined, undefined], 'each has one of its own')
})

t.test('where nothing is shared, each node has a plex of each aggregate', async (t) => {
  const [castor, pollux] = pair.nodes.map((one) => ({ ...one, mirror: `/y/${one.name}.disk` }))
  const apart: PairFile = { ...pair, nodes: [castor!, pollux!] }
  const plexesOf = (node: PairNode, partner: PairNode) =>
    parseNodeConfig(configText('/x', apart, node, partner), 'node.toml').aggregates.map(
      ({ plexes }) => plexes,
    )
  t.same(plexesOf(castor!, pollux!), [
    [['/x/castor.disk'], 'partner'],
    ['partner', ['/y/pollux.disk']],
  ])
  t.same(plexesOf(pollux!, castor!), [
    ['partner', ['/y/castor.disk']],
    [['/x/pollux.disk'], 'partner'],
  ])
})
