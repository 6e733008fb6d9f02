import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readPairFile, writePairFile } from '../../ts/cli/pair-file.ts'
import { connect } from '../support/nbd-client.ts'
import { Pair } from '../support/pair.ts'
import { isAlive, pollux, scratch, start, until } from '../support/program.ts'

t.setTimeout(300_000)

const small = ['--size', '16MiB', '--log-size', '1MiB', '--durability', 'pair']

t.test('up makes a pair, says so in one line of JSON, and changes nothing when run again', async (t) => {
  const pair = Pair.prepare(t)
  const first = await pair.up(...small)
  t.match(first, {
    dir: pair.dir,
    nodes: [
      { name: 'castor', pid: Number, nbd: /^127\.0\.0\.1:\d+$/, api: String },
      { name: 'pollux', pid: Number },
    ],
    volumes: [
      { name: 'vol0', size: 16 * 2 ** 20, node: 'castor', uri: `nbd://${first.nodes[0]!.nbd}/vol0` },
      { name: 'vol1', node: 'pollux', uri: `nbd://${first.nodes[1]!.nbd}/vol1` },
    ],
  })
  t.equal(statSync(pair.dir).mode & 0o077, 0, 'nobody else can look into the folder')
  const again = await pair.command('up', '--detach', '--json', '--size', '32MiB')
  t.match(JSON.parse(again.stdout), {
    nodes: first.nodes.map(({ pid }) => ({ pid })),
    volumes: first.volumes,
  })
  t.match(again.stderr, /the pair exists: the size of new volumes stays 16 MiB/)
  t.equal(again.stdout.trim().split('\n').length, 1)
  const status = JSON.parse(await pair.mustCommand('status', '--json')) as Record<string, unknown>
  for (const key of Object.keys(first)) t.ok(key in status, `status has ${key}, too`)
  t.match(await pair.mustCommand('status'), /castor +running(.|\n)*vol1 +16 MiB/)
})

t.test('volumes are made, listed, resized, renamed and deleted on the node that owns them', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  const volumes = async () => {
    const { volumes } = JSON.parse(await pair.mustCommand('volume', 'list', '--json')) as {
      volumes: { name: string; size: number; aggregate: string; uri: string }[]
    }
    return volumes
  }
  await pair.mustCommand('volume', 'create', 'data', '--size', '4MiB', '--aggregate', 'pollux')
  const made = (await volumes()).find(({ name }) => name === 'data')
  t.match(made, { size: 4 * 2 ** 20, aggregate: 'pollux' })
  const client = await connect(made!.uri)
  await client.write(0, Buffer.alloc(4096, 7))
  await client.close()
  await pair.mustCommand('volume', 'resize', 'data', '--size', '8MiB')
  await pair.mustCommand('volume', 'rename', 'data', 'kept')
  const kept = (await volumes()).find(({ name }) => name === 'kept')
  t.match(kept, { size: 8 * 2 ** 20, aggregate: 'pollux' })
  const again = await connect(kept!.uri)
  t.equal((await again.read(0, 4096))[100], 7, 'its data came along')
  await again.close()
  await pair.mustCommand('volume', 'delete', 'kept')
  t.notOk((await volumes()).some(({ name }) => name === 'kept'))
})

t.test('each mistake has its exit code and one clear line', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  const cases: [string[], number, RegExp][] = [
    [['volume', 'create', 'vol0', '--size', '4MiB'], 1, /aggregate castor has a volume vol0 already/],
    [['volume', 'create', 'a b', '--size', '4MiB'], 1, /a b/],
    [['volume', 'create', 'x', '--size', '4'], 2, /--size: "4" is not a size like/],
    [['volume', 'create', 'x', '--size', '4MiB', '--aggregate', 'none'], 2, /no aggregate is called none/],
    [['volume', 'create', 'x'], 2, /--size/],
    [['volume', 'delete', 'none'], 1, /no volume is called none/],
    [['takeover', 'nobody'], 2, /no node is called nobody; there are castor and pollux/],
    [['cp', 'later'], 2, /unknown command/],
    [['log', 'dump', '--copy', 'both'], 2, /Allowed choices/],
    [['frobnicate'], 2, /unknown command 'frobnicate'; see what there is with --help/],
    [['up', '--share'], 2, /unknown option '--share'; did you mean --shared\?/],
    [['up', '--alone'], 2, /unknown option '--alone'; see what there is with --help/],
  ]
  for (const [args, code, line] of cases) {
    const ended = await pair.command(...args)
    t.equal(ended.code, code, args.join(' '))
    t.match(ended.stderr, line)
    t.equal(ended.stderr.trim().split('\n').length, 1, 'one line')
    t.equal(ended.stdout, '')
  }
})

t.test('takeover and giveback move what a node owns, and say what they did', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  const owner = async () => {
    const { volumes } = JSON.parse(await pair.mustCommand('status', '--json')) as {
      volumes: { name: string; node: string; uri: string }[]
    }
    return volumes.find(({ name }) => name === 'vol0')
  }
  const uri = pair.uri('vol0')
  t.match(await pair.mustCommand('takeover', 'castor', '--dry-run'), /nothing was changed/)
  t.match(await owner(), { node: 'castor', uri })
  t.match(await pair.mustCommand('takeover', 'castor'), /pollux serves castor now/)
  t.match(await owner(), { node: 'pollux', uri }, 'its address stays')
  t.match(await pair.mustCommand('takeover', 'castor'), /castor owns nothing/)
  t.match(await pair.mustCommand('giveback', 'castor', '--json'), /"aggregate":"castor"/)
  t.match(await owner(), { node: 'castor', uri })
  t.match(await pair.mustCommand('giveback', 'castor'), /nothing that belongs to castor is elsewhere/)
})

t.test('consistency points and the log are in the hand of the operator', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  await pair.mustCommand('cp', 'hold')
  const client = await connect(pair.uri('vol0'))
  await client.write(8192, Buffer.alloc(4096, 1))
  const entries = async (copy: string) =>
    (await pair.mustCommand('log', 'dump', '--copy', copy, '--aggregate', 'castor'))
      .trim()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { kind: string; offset: number; length: number; good: boolean })
  for (const copy of ['own', 'partner']) {
    const write = (await entries(copy)).find(({ kind }) => kind === 'write')
    t.match(write, { offset: 8192, length: 4096, good: true }, `${copy} copy`)
  }
  t.equal((await pair.command('cp', 'now')).code, 1, 'none can be written while they are held')
  await pair.mustCommand('cp', 'resume')
  t.match(await pair.mustCommand('cp', 'now', '--aggregate', 'castor'), /^castor: generation \d+/)
  t.notOk(
    (await entries('own')).some(({ kind }) => kind === 'write'),
    'the log is empty after it',
  )
  await client.close()
})

t.test('down stops both, also when one is dead already, and the disks are good', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  const pids = pair.report.nodes.map(({ pid }) => pid)
  process.kill(pids[0]!, 'SIGKILL')
  await pair.mustCommand('down')
  for (const pid of pids) t.notOk(isAlive(pid), `process ${pid} has ended`)
  t.match(await pair.mustCommand('down'), /nothing runs/)
  const status = await pair.command('status')
  t.equal(status.code, 1)
  t.match(status.stderr, /no node of .* answers/)
  const disks = readPairFile(pair.dir)!.nodes.map(({ disk }) => disk)
  const checked = await pollux(['check', ...disks, '--json'])
  t.equal(checked.code, 0, checked.stderr)
  t.match(JSON.parse(checked.stdout), {
    good: true,
    aggregates: [{ aggregate: 'castor' }, { aggregate: 'pollux' }],
  })
  t.match(await pair.mustCommand('disk', 'list'), /castor +disk 1 of 1 in plex 0/)
  // the superblocks are in the second mebibyte
  const descriptor = openSync(disks[0]!, 'r+')
  writeSync(descriptor, Buffer.alloc(2 ** 20, 0xa5), 0, 2 ** 20, 2 ** 20)
  closeSync(descriptor)
  const damaged = await pollux(['check', disks[0]!])
  t.equal(damaged.code, 1)
  t.match(damaged.stderr, /superblock/)
})

t.test('in the foreground, the pair ends with the command, in good order', async (t) => {
  const pair = Pair.prepare(t)
  const up = start(process.execPath, [
    new URL('../../ts/cli/main.js', import.meta.url).pathname,
    'up',
    '--dir',
    pair.dir,
    ...small,
  ])
  await until('it says what there is', () => up.said().includes('try next'))
  const { nodes } = JSON.parse(await pair.mustCommand('status', '--json')) as { nodes: { pid: number }[] }
  await pair.mustCommand('takeover', 'castor')
  await until('the takeover is told', () => up.said().includes('castor is served by pollux'))
  up.child.kill('SIGINT')
  const code = await new Promise((resolve) => up.child.once('exit', resolve))
  t.equal(code, 0, up.said())
  for (const { pid } of nodes) t.notOk(isAlive(pid))
})

t.test('a command that is killed leaves the nodes, and the next one adopts them', async (t) => {
  const pair = Pair.prepare(t)
  const commandLine = new URL('../../ts/cli/main.js', import.meta.url).pathname
  const up = start(process.execPath, [commandLine, 'up', '--dir', pair.dir, ...small])
  await until('it says what there is', () => up.said().includes('try next'))
  const before = JSON.parse(await pair.mustCommand('status', '--json')) as { nodes: { pid: number }[] }
  up.child.kill('SIGKILL')
  await new Promise((resolve) => up.child.once('exit', resolve))
  const { nodes } = await pair.up()
  t.same(
    nodes.map(({ pid }) => pid),
    before.nodes.map(({ pid }) => pid),
  )
})

t.test('a pair that does not fit leaves nothing behind but a clear line', async (t) => {
  const dir = scratch(t)
  const ended = await pollux(['up', '--dir', dir, '--detach', '--size', '900TiB', '--log-size', '1MiB'])
  t.equal(ended.code, 1)
  t.match(ended.stderr, /smaller --size, --shared for half of it, or another --dir/)
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' })
  t.same(
    files.filter((name) => name.endsWith('.disk')),
    [],
  )
  t.equal((await pollux(['status', '--dir', dir])).code, 1)
  t.notOk(readPairFile(dir), 'the next run begins anew')
})

t.test('disks whose pair is not described any more are not touched', async (t) => {
  const dir = scratch(t)
  // where `up --shared` would make its disks; the default looks there as well
  mkdirSync(join(dir, 'disks'))
  writeFileSync(join(dir, 'disks', 'pollux.disk'), 'data of somebody')
  const ended = await pollux(['up', '--dir', dir, '--detach', ...small])
  t.equal(ended.code, 1)
  t.match(ended.stderr, /pollux\.disk is there but .* has no pair\.json; restore it/)
  t.equal(readFileSync(join(dir, 'disks', 'pollux.disk'), 'utf8'), 'data of somebody')
})

t.test('a first run that was interrupted is begun again', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  await pair.down()
  writePairFile(pair.dir, { ...readPairFile(pair.dir)!, state: 'preparing' })
  rmSync(join(pair.dir, 'arbiter'), { recursive: true })
  const { volumes } = await pair.up('--size', '8MiB', '--log-size', '1MiB')
  t.match(volumes, [{ name: 'vol0', size: 8 * 2 ** 20 }, { name: 'vol1' }])
})

t.test('a pair whose folder was deleted is made afresh in the same place', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  await pair.down()
  rmSync(pair.dir, { recursive: true })
  mkdirSync(pair.dir)
  const { volumes } = await pair.up(...small)
  t.match(volumes, [{ name: 'vol0' }, { name: 'vol1' }])
})

t.test('a log of another node is refused in one clear line, and left as it is', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  await pair.down()
  const [ours, theirs] = [pair.ringPath('castor', 'castor'), pair.ringPath('pollux', 'castor')]
  const before = readFileSync(theirs)
  writeFileSync(ours, before)
  const ended = await pair.command('up', '--detach')
  t.equal(ended.code, 1)
  t.match(ended.stderr, /castor\.nvram is the log of another node; give this node an NVRAM directory/)
  t.equal(ended.stderr.trim().split('\n').length, 1)
  t.ok(readFileSync(ours).equals(before))
})

t.test('a node says all that is wrong with its settings, and does not start', async (t) => {
  const path = join(scratch(t), 'node.toml')
  writeFileSync(path, 'pair = 5\ncolour = "red"\n')
  const ended = await pollux(['serve', '--config', path])
  t.equal(ended.code, 1)
  t.match(ended.stderr, /node\.toml:1: pair must be string/)
  t.match(ended.stderr, /node\.toml:2: colour is not a known key/)
  t.match((await pollux(['serve', '--config', `${path}x`])).stderr, /cannot be read \(ENOENT\)/)
})

t.test('a second process of the same node does not start', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  const ended = await pollux(['serve', '--config', join(pair.dir, 'castor.toml')])
  t.equal(ended.code, 1)
  t.match(ended.stderr, /node castor is running already \(process \d+\)/)
})

t.test('disks are labelled for an aggregate, and only when they are meant', async (t) => {
  const pair = Pair.prepare(t)
  await pair.up(...small)
  await pair.down()
  const [castor, other] = readPairFile(pair.dir)!.nodes.map(({ disk }) => disk)
  const label = (...args: string[]) =>
    pollux(['disk', 'label', '--config', join(pair.dir, 'castor.toml'), '--aggregate', 'castor', ...args])
  const refused = await label(castor!)
  t.equal(refused.code, 1)
  t.match(refused.stderr, /--force/)
  t.equal((await label(other!, '--force')).code, 2, 'it is a disk of another aggregate')
  t.equal((await label(castor!, '--force')).code, 0)
  t.match(JSON.parse((await pollux(['check', castor!, '--json'])).stdout), {
    good: true,
    aggregates: [{ aggregate: 'castor', epoch: 0, generation: 1, volumes: [] }],
  })
})
