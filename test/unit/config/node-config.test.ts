import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { engineSettings, parseNodeConfig, readNodeConfig } from '../../../ts/config/node-config.ts'

const identity = (digit: string): string =>
  `${digit.repeat(8)}-${digit.repeat(4)}-${digit.repeat(4)}-${digit.repeat(4)}-${digit.repeat(12)}`

const good = `pair = "${identity('a')}"
[node]
name = "castor"
identity = "${identity('1')}"
[partner]
name = "pollux"
identity = "${identity('2')}"
link = "127.0.0.1:20002"
[nvram]
directory = "/dev/shm/castor"
[arbiter]
kind = "file"
directory = "/var/lib/pollux/arbiter"
[link]
listen = "127.0.0.1:20001"
[api]
socket = "/run/pollux/castor.sock"
[timing]
lease = "2s"
[[aggregate]]
name = "one"
identity = "${identity('3')}"
home = "castor"
disks = ["/dev/one"]
service = "127.0.0.1:10809"
log_size = "128MiB"
[[aggregate]]
name = "two"
identity = "${identity('4')}"
home = "pollux"
disks = ["/dev/two", "/dev/three"]
service = "127.0.0.1:10810"
durability = "pair"
cpu = 3
`

function mistakesOf(text: string): string[] {
  try {
    parseNodeConfig(text, 'node.toml')
    return []
  } catch (error) {
    if (!isStoreError(error, 'CONFIG_INVALID')) throw error
    return error.message.split('\n')
  }
}

t.test('settings without a mistake are read, with defaults', async (t) => {
  const config = parseNodeConfig(good, 'node.toml')
  t.match(config, {
    pair: identity('a'),
    node: { name: 'castor', identity: identity('1') },
    partner: { name: 'pollux' },
    linkListen: { host: '127.0.0.1', port: 20001 },
    linkPartner: { host: '127.0.0.1', port: 20002 },
    apiSocket: '/run/pollux/castor.sock',
    timing: { leaseMs: 2000, partnerGraceMs: 1500 },
    aggregates: [
      { name: 'one', logByteLength: 128 * 2 ** 20, cpIntervalMs: 10_000, takeover: 'automatic' },
      { name: 'two', plexes: [['/dev/two', '/dev/three']], durability: 'pair', service: { port: 10810 } },
    ],
  })
})

t.test('an engine is told what is for its aggregate', async (t) => {
  const config = parseNodeConfig(good, 'node.toml')
  const [one, two] = config.aggregates
  const found = { boot: 'b', nvramPersistent: false }
  const settings = engineSettings(config, one!, found)
  t.match(settings, {
    aggregate: { name: 'one', home: 'castor', plexes: [['/dev/one']] },
    partner: { name: 'pollux' },
    boot: 'b',
    durability: 'vault',
    logPages: 32768,
    nvramDirectory: '/dev/shm/castor',
    leaseMs: 2000,
  })
  t.equal(engineSettings(config, two!, found).durability, 'pair', 'what is written counts')
  t.same([settings.cpu, engineSettings(config, two!, found).cpu], [undefined, 3])
  const persistent = engineSettings(config, one!, { boot: 'b', nvramPersistent: true })
  t.equal(persistent.durability, 'nvram', 'persistent memory needs no vault')
  const denied = parseNodeConfig(good.replace('[arbiter]', 'persistent = false\n[arbiter]'), 'node.toml')
  t.equal(engineSettings(denied, one!, { boot: 'b', nvramPersistent: true }).durability, 'vault')
  t.same(structuredClone(settings), settings, 'it is plain data')
})

const twoDisks = 'disks = ["/dev/two", "/dev/three"]\n'
const mirrored = (mirror: string): string => good.replace(twoDisks, `${twoDisks}mirror = ${mirror}\n`)

t.test('an aggregate may have a mirror, disk by disk', async (t) => {
  const config = parseNodeConfig(mirrored('["/dev/four", "/dev/five"]'), 'node.toml')
  const plexes = [
    ['/dev/two', '/dev/three'],
    ['/dev/four', '/dev/five'],
  ]
  const found = { boot: 'b', nvramPersistent: false }
  t.same(engineSettings(config, config.aggregates[1]!, found).aggregate.plexes, plexes)
  const wrong: [string, string][] = [
    ['["/dev/four", "five"]', 'must be an absolute path, not "five"'],
    ['["/dev/four"]', 'must have one disk for each of disks: 2, not 1'],
    ['["/dev/4", "/dev/5", "/dev/6"]', 'must have one disk for each of disks: 2, not 3'],
    ['[]', 'must not be empty'],
    ['["/dev/four", "/dev/four"]', 'repeats the disk of aggregate.1.mirror'],
    ['["/dev/four", "/dev/two"]', 'repeats the disk of aggregate.1.disks'],
    ['["/dev/four", "/dev/one"]', 'repeats the disk of aggregate.0.disks'],
  ]
  const line = mirrored('x').split('\n').indexOf('mirror = x') + 1
  for (const [mirror, text] of wrong) {
    t.same(mistakesOf(mirrored(mirror)), [`node.toml:${line}: aggregate[1].mirror ${text}`], mirror)
  }
})

const apart = (disks: string, mirror: string): string =>
  good.replace(twoDisks, `disks = ${disks}\nmirror = ${mirror}\n`)

t.test('the disks of one plex may be attached to the partner', async (t) => {
  const found = { boot: 'b', nvramPersistent: false }
  const plexesOf = (text: string) => {
    const config = parseNodeConfig(text, 'node.toml')
    return engineSettings(config, config.aggregates[1]!, found).aggregate.plexes
  }
  t.same(plexesOf(apart('["/dev/two"]', '"partner"')), [['/dev/two'], 'partner'])
  t.same(plexesOf(apart('"partner"', '["/dev/two", "/dev/three"]')), ['partner', ['/dev/two', '/dev/three']])
  const list = 'must be a list of paths, or "partner" if the disks are attached to the partner'
  const both = 'cannot be "partner" as well: with disks = "partner", it lists the disks that are attached'
  const wrong: [string, string, string][] = [
    ['"partner"', '"partner"', `aggregate[1].mirror ${both} to this node`],
    ['"castor"', '["/dev/two"]', `aggregate[1].disks ${list}`],
    ['["/dev/two"]', '"/dev/three"', `aggregate[1].mirror ${list}`],
    ['["/dev/two"]', '7', `aggregate[1].mirror ${list}`],
    ['"partner"', '["two"]', 'aggregate[1].mirror must be an absolute path, not "two"'],
    ['"partner"', '["/dev/one"]', 'aggregate[1].mirror repeats the disk of aggregate.0.disks'],
    ['["/dev/one"]', '"partner"', 'aggregate[1].disks repeats the disk of aggregate.0.disks'],
  ]
  for (const [disks, mirror, text] of wrong) {
    const mistakes = mistakesOf(apart(disks, mirror))
    t.equal(mistakes.length, 1, mistakes.join(' | '))
    t.ok(mistakes[0]!.endsWith(`: ${text}`), `${mistakes[0]}`)
  }
  const alone = mistakesOf(good.replace('disks = ["/dev/one"]', 'disks = "partner"'))
  const line = good.split('\n').indexOf('name = "one"')
  const missing = 'is missing: with disks = "partner", it lists the disks that are attached to this node'
  t.same(alone, [`node.toml:${line}: aggregate[0].mirror ${missing}`])
})

const listeners = `[[nbd]]
listen = "unix:/run/pollux/nbd.sock"
[[nbd]]
listen = "[::]:10811"
aggregates = ["two"]
read_only = true
`

t.test('more places to listen are for all aggregates, or for some', async (t) => {
  t.same(parseNodeConfig(good, 'node.toml').listeners, [])
  t.same(parseNodeConfig(good + listeners, 'node.toml').listeners, [
    {
      address: { path: '/run/pollux/nbd.sock' },
      aggregates: ['one', 'two'],
      readOnly: false,
      forwards: false,
    },
    { address: { host: '::', port: 10811 }, aggregates: ['two'], readOnly: true, forwards: false },
  ])
  const wrong: [string, string, string][] = [
    ['unix:/run', 'unix:run', 'nbd[0].listen must be an absolute path'],
    ['/run/pollux/nbd.sock', `/run/${'x'.repeat(120)}`, 'nbd[0].listen is longer than the 107 bytes'],
    ['[::]:10811', 'nowhere', 'nbd[1].listen must be an address like'],
    ['[::]:10811', '[::]:0', 'nbd[1].listen must name a port'],
    ['[::]:10811', '127.0.0.1:10809', 'nbd[1].listen 127.0.0.1:10809 is taken by the aggregates of castor'],
    ['[::]:10811', 'unix:/run/pollux/nbd.sock', 'nbd[1].listen unix:/run/pollux/nbd.sock is taken by nbd[0]'],
    ['["two"]', '["six"]', "nbd[1].aggregates names 'six', which is no aggregate"],
    ['read_only', 'readonly', 'nbd[1].readonly is not a known key'],
  ]
  for (const [from, to, expected] of wrong) {
    const found = mistakesOf(good + listeners.replace(from, to))
    t.equal(found.length, 1, found.join(' | '))
    t.ok(found[0]!.includes(`: ${expected}`), `${found[0]}`)
  }
})

t.test('a place may pass clients on to the partner, for aggregates that share an address', async (t) => {
  const forwarding = (rest: string) => `${good}[[nbd]]\nlisten = "[::]:10811"\nforward = true\n${rest}`
  t.match(parseNodeConfig(forwarding('aggregates = ["two"]\n'), 'node.toml').listeners, [{ forwards: true }])
  const all = mistakesOf(forwarding(''))
  t.equal(all.length, 1)
  t.match(all[0], /nbd\[0\]\.forward needs aggregates of one service address; list some: one or two/)
  const everywhere = mistakesOf(forwarding('aggregates = ["two"]\n').replace('[::]:10811', '0.0.0.0:10810'))
  t.equal(everywhere.length, 1)
  t.match(everywhere[0], /nbd\[0\]\.forward would pass clients on to itself/)
  const restricted = mistakesOf(forwarding('aggregates = ["two"]\nread_only = true\n'))
  t.equal(restricted.length, 1)
  t.match(restricted[0], /nbd\[0\]\.forward cannot go with read_only/)
})

/** What is replaced by what, and the one mistake that follows. */
const table: [string, string, string][] = [
  ['home = "castor"', 'home = "castro"', 'aggregate[0].home must be castor or pollux'],
  ['name = "castor"\n', '', 'node.name is missing'],
  ['[arbiter]', 'presistent = true\n[arbiter]', 'nvram.presistent is not a known key'],
  ['name = "pollux"', 'name = "castor"', 'partner.name must differ from node.name'],
  [identity('2'), identity('1'), 'partner.identity must differ from node.identity'],
  [identity('a'), 'xyz', 'pair must be an identity: 32 hexadecimal digits'],
  ['127.0.0.1:20001', '127.0.0.1', 'link.listen must be an address like "127.0.0.1:10809", not "127.0.0.1"'],
  ['127.0.0.1:20002', '127.0.0.1:20001', 'partner.link 127.0.0.1:20001 is taken by link.listen'],
  [
    '127.0.0.1:10810',
    '127.0.0.1:10809',
    'aggregate[1].service 127.0.0.1:10809 is taken by the aggregates of castor',
  ],
  ['127.0.0.1:10809', '127.0.0.1:0', 'aggregate[0].service must name a port'],
  ['"128MiB"', '"100MiB"', 'aggregate[0].log_size must be a power of two, as 128MiB is'],
  ['"128MiB"', '"4GiB"', 'aggregate[0].log_size must be between 1MiB and 2GiB'],
  ['"128MiB"', '"128MB"', 'aggregate[0].log_size "128MB" is not a size like "128MiB"'],
  ['"128MiB"', '128', 'aggregate[0].log_size must be string'],
  ['"2s"', '"2"', 'timing.lease "2" is not a duration'],
  ['lease = "2s"', 'lease_margin = "501ms"', 'timing.lease_margin must be at most a quarter of timing.lease'],
  ['lease = "2s"', 'heartbeat = "800ms"', 'timing.heartbeat must be at most half of timing.link_timeout'],
  ['disks = ["/dev/one"]\n', '', 'aggregate[0].disks is missing'],
  ['["/dev/one"]', '[]', 'aggregate[0].disks must not be empty'],
  ['"/dev/one"', '"one"', 'aggregate[0].disks must be an absolute path, not "one"'],
  ['"/dev/three"', '"/dev/one"', 'aggregate[1].disks repeats the disk of aggregate.0.disks'],
  ['name = "two"', 'name = "one"', 'aggregate[1].name repeats the name of aggregate.0.name'],
  [identity('4'), identity('3'), 'aggregate[1].identity repeats the identity'],
  ['"pair"', '"always"', 'aggregate[1].durability must be one of nvram, pair, vault'],
  ['kind = "file"', 'kind = "paper"', 'arbiter.kind must be one of file'],
  ['/run/pollux/castor.sock', `/run/${'x'.repeat(120)}`, 'api.socket is longer than the 107 bytes'],
]

t.test('each mistake is named with its line, its key and the remedy', async (t) => {
  for (const [from, to, expected] of table) {
    t.ok(good.includes(from), from)
    const text = good.replace(from, to)
    const found = mistakesOf(text)
    t.equal(found.length, 1, `${to}: ${found.join(' | ')}`)
    t.ok(found[0]!.includes(`: ${expected}`), `${found[0]} says ${expected}`)
    const line = Number(/^node\.toml:(\d+): /.exec(found[0]!)?.[1])
    const written = text.split('\n')[line - 1] ?? ''
    // what is missing is missing in its table
    t.ok(
      to === '' ? written.startsWith('[') : written.includes(to.split('\n')[0]!),
      `line ${line}: ${written}`,
    )
  }
})

t.test('all mistakes are named at once', async (t) => {
  const found = mistakesOf(good.replace('home = "castor"', 'home = "x"').replace('"128MiB"', '"1B"'))
  t.equal(found.length, 2)
})

t.test('the line of a mistake is where it is written', async (t) => {
  const [mistake] = mistakesOf(good.replace('home = "pollux"', 'home = "nobody"'))
  const line = Number(/^node\.toml:(\d+):/.exec(mistake!)?.[1])
  t.equal(good.split('\n')[line - 1], 'home = "pollux"')
})

t.test('what is no TOML is named with its line', async (t) => {
  t.match(mistakesOf('pair = "a"\nb = = 2\n')[0], /^node\.toml:2: /)
})

t.test('a file is read, and one that is not there is named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-config-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'node.toml')
  t.throws(() => readNodeConfig(path), { code: 'CONFIG_INVALID', message: `${path} cannot be read (ENOENT)` })
  writeFileSync(path, good)
  t.equal(readNodeConfig(path).node.name, 'castor')
})
