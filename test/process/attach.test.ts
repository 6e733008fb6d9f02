import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { runsWith } from '../../ts/attach/programs.ts'
import { Random } from '../sim/random.ts'
import { Certificates } from '../support/certificates.ts'
import { ForcedFiles } from '../support/forced-files.ts'
import { Pair } from '../support/pair.ts'
import { plexesInSync, startApart } from '../support/pair-apart.ts'
import {
  type Ended,
  missing,
  mustRun,
  notRoot,
  pollux,
  run,
  scratch,
  start,
  until,
} from '../support/program.ts'

const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const programs = ['qemu-storage-daemon', 'qemu-io', 'losetup', 'wipefs', 'mkfs.ext4', 'e2fsck']
const skip = notRoot || missing(...programs) || (!existsSync('/dev/fuse') && 'there is no /dev/fuse')
/** The storage daemon tries again after 1 s where its first attempt fails. */
const stallMaxMs = 8000

/** Commands on attachments of this test alone, by FUSE even where the kernel has NBD. */
class Host {
  readonly folder: string
  readonly #env: NodeJS.ProcessEnv

  constructor(t: Test) {
    this.folder = scratch(t)
    this.#env = { ...process.env, POLLUX_ATTACH_DIR: path.join(this.folder, 'attached') }
    t.teardown(async () => {
      const { attached } = JSON.parse((await this.pollux('attach', '--list', '--json')).stdout)
      for (const { device } of attached) await this.pollux('detach', device, '--force')
    })
  }

  pollux(...args: string[]): Promise<Ended> {
    return pollux(args, { env: this.#env })
  }

  attach(pair: Pair, ...args: string[]): Promise<Ended> {
    return this.pollux('attach', '--way', 'fuse', '--dir', pair.dir, ...args)
  }

  place(name: string): string {
    const folder = path.join(this.folder, name)
    mkdirSync(folder, { recursive: true })
    return folder
  }
}

function refused(t: Test, { code, stderr }: Ended, line: RegExp, expected = 1): void {
  t.equal(code, expected, stderr)
  t.match(stderr, line)
  t.equal(stderr.trim().split('\n').length, 1, 'one line')
}

t.test('a file system on an attached volume comes through takeover and giveback', { skip }, async (t) => {
  t.comment(`seed ${seed}`)
  const pair = await startApart(t, { durability: 'pair', size: '128MiB', logSize: '16MiB' })
  const host = new Host(t)
  const mountPoint = host.place('mnt')
  const attached = await host.attach(pair, 'vol0', '--fs', 'ext4', '--mount', mountPoint, '--json')
  t.equal(attached.code, 0, attached.stderr)
  const { device } = JSON.parse(attached.stdout)
  t.match(JSON.parse(attached.stdout), { volume: 'vol0', way: 'fuse', fileSystem: 'ext4', mount: mountPoint })
  const files = new ForcedFiles(mountPoint, new Random(seed))
  files.start()
  for (const change of ['kill', 'giveback']) {
    await progress(files, 30)
    const fromMs = performance.now()
    if (change === 'kill') await pair.kill('castor')
    else {
      await pair.up()
      await plexesInSync(pair)
      await pair.mustCommand('giveback', 'castor')
    }
    const changedMs = performance.now()
    await progress(files, 5)
    const afterMs = Math.round(performance.now() - changedMs)
    t.comment(`${change}: ${Math.round(changedMs - fromMs)} ms, then files again after ${afterMs} ms`)
    t.ok(afterMs < stallMaxMs, `files are forced again soon after ${change}`)
    t.equal(await pair.serving('castor'), change === 'kill' ? 'pollux' : 'castor')
  }
  t.same(await files.stop(), [], 'no write has failed')
  t.same(await files.broken(), [], `${files.forced} times forced, all of it is there`)
  const detached = await host.pollux('detach', 'vol0', '--json')
  t.match(JSON.parse(detached.stdout), { detached: device, volume: 'vol0' })
  const image = path.join(host.folder, 'image')
  await mustRun('nbdcopy', [pair.uri('vol0'), image])
  const checked = await run('e2fsck', ['-fn', image])
  t.equal(checked.code, 0, `e2fsck is content: ${checked.stdout}${checked.stderr}`)
})

t.test('attach and detach say what stands in the way, and change nothing then', { skip }, async (t) => {
  const pair = await startApart(t, { durability: 'pair', size: '64MiB', logSize: '16MiB' })
  const host = new Host(t)
  const mountPoint = host.place('mnt')
  refused(t, await host.attach(pair, 'vol7'), /no volume is called vol7/)
  refused(t, await host.attach(pair, 'vol0', '--mount', `${mountPoint}/none`), /is no folder; make it/, 2)
  refused(t, await host.attach(pair, 'vol0', '--outage', 'long'), /--outage: "long" is not a whole/, 2)
  refused(t, await host.attach(pair, 'vol0', '--fs', 'ext4', '--read-only'), /--read-only does not let/, 2)
  refused(t, await host.attach(pair, 'http://x/y'), /not the URI of an NBD export/, 2)
  refused(t, await host.attach(pair, `${pair.service('castor')}/none`), /no export "none" is served here/)
  refused(t, await host.pollux('detach', 'vol0'), /vol0 is not attached to this host; nothing is/)
  t.match((await host.attach(pair, 'vol0', '--fs', 'ext4')).stdout, /^vol0 is \/dev\/loop\d+ \(64 MiB\)\n$/)
  refused(t, await host.attach(pair, pair.uri('vol0')), /vol0 is attached already: \/dev\/loop\d+/)
  t.match((await host.pollux('attach', '--list')).stdout, /\/dev\/loop\d+ +vol0 +64 MiB +fuse +- +nbd:/)
  t.equal((await host.pollux('detach', 'vol0')).code, 0)
  refused(t, await host.attach(pair, 'vol0', '--fs', 'xfs'), /holds ext4 already; attach it without --fs xfs/)
  t.equal((await host.pollux('attach', '--list', '--json')).stdout, '{"attached":[]}\n', 'nothing is left')
  const again = await host.attach(pair, 'vol0', '--fs', 'ext4', '--mount', mountPoint, '--json')
  t.match(
    JSON.parse(again.stdout),
    { fileSystem: 'ext4', mount: mountPoint },
    'an ext4 that is there is used',
  )
  await isBusy(t, host, mountPoint, JSON.parse(again.stdout).device)
  const readOnly = await host.attach(pair, 'vol0', '--read-only', '--mount', mountPoint, '--json')
  const { device } = JSON.parse(readOnly.stdout)
  t.match((await run('touch', [`${mountPoint}/file`])).stderr, /Read-only file system/)
  t.equal(readFileSync(`/sys/class/block/${path.basename(device)}/ro`, 'utf8').trim(), '1')
  t.equal((await host.pollux('detach', mountPoint)).code, 0)
})

async function isBusy(t: Test, host: Host, mountPoint: string, device: string): Promise<void> {
  const inside = start('sh', ['-c', `cd ${mountPoint} && echo there && exec sleep 60`])
  await until('it is in the folder', () => inside.said().includes('there'))
  const who = new RegExp(
    `${mountPoint} cannot be unmounted: it is used by sleep \\(process ${inside.child.pid}\\)`,
  )
  refused(t, await host.pollux('detach', device), who)
  const ended = once(inside.child, 'exit')
  inside.child.kill('SIGKILL')
  await ended
  await mustRun('umount', [mountPoint])
  await mustRun('mount', [device, host.place('elsewhere')])
  refused(t, await host.pollux('detach', device), /is in use: it is mounted on .*elsewhere; unmount it first/)
  await mustRun('umount', [host.place('elsewhere')])
  t.equal((await host.pollux('detach', device)).code, 0)
}

async function progress(files: ForcedFiles, more: number): Promise<void> {
  const wanted = files.forced + more
  await until('files are forced', () => files.someEnded || files.forced >= wanted, 60_000)
}

t.test('a volume whose storage daemon was killed can be attached again', { skip }, async (t) => {
  const pair = await startApart(t, { durability: 'pair', size: '64MiB', logSize: '16MiB' })
  const host = new Host(t)
  const mountPoint = host.place('mnt')
  const first = await host.attach(pair, 'vol0', '--fs', 'ext4', '--mount', mountPoint, '--json')
  const { pid, device } = JSON.parse(first.stdout)
  process.kill(pid, 'SIGKILL')
  await until('it is gone', async () =>
    (await host.pollux('attach', '--list')).stdout.includes('nobody keeps'),
  )
  refused(
    t,
    await host.attach(pair, 'vol0'),
    /the daemon behind .* has ended; run `pollux detach .* --force`/,
  )
  t.equal((await host.pollux('detach', device, '--force')).code, 0)
  t.equal((await host.attach(pair, 'vol0', '--fs', 'ext4', '--mount', mountPoint)).code, 0)
  t.equal((await host.pollux('detach', 'vol0')).code, 0)
})

t.test('a file system is made where nothing is, and mounted once', { skip }, async (t) => {
  const pair = await startApart(t, { durability: 'pair', size: '64MiB', logSize: '16MiB' })
  const host = new Host(t)
  const uri = pair.uri('vol0')
  await mustRun('qemu-io', ['-f', 'raw', '-c', 'write -P 120 40M 512', uri])
  refused(t, await host.attach(pair, 'vol0', '--fs', 'ext4'), /holds data that is no file system; attach it/)
  await mustRun('qemu-io', ['-f', 'raw', '-d', 'unmap', '-c', 'discard 0 64M', uri])
  const first = await host.attach(pair, 'vol0', '--fs', 'ext4', '--mount', host.place('mnt'), '--json')
  const { device } = JSON.parse(first.stdout)
  const named = uri.replace('127.0.0.1', 'localhost')
  t.not(named, uri)
  refused(t, await host.attach(pair, named), /is attached already: \/dev\/loop/)
  const elsewhere = await proxyTo(t, uri)
  const twice = await host.attach(pair, elsewhere, '--mount', host.place('other'))
  refused(
    t,
    twice,
    new RegExp(`holds what ${device} holds, which is nbd:.*it is one volume: use that device`),
  )
  t.match(JSON.parse((await host.pollux('attach', '--list', '--json')).stdout).attached, { length: 1 })
  t.equal((await host.pollux('detach', 'vol0')).code, 0)
})

/** Another address of the same server. */
async function proxyTo(t: Test, uri: string): Promise<string> {
  const { hostname, port, pathname } = new URL(uri)
  const server = net.createServer((client) => {
    const far = net.connect(Number(port), hostname)
    for (const socket of [client, far]) {
      socket.on('error', () => {})
      socket.on('close', () => [client, far].forEach((each) => void each.destroy()))
    }
    client.pipe(far).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `nbd://127.0.0.1:${(server.address() as net.AddressInfo).port}${pathname}`
}

t.test('what an attach that was cut short has left is taken away by the next one', { skip }, async (t) => {
  const pair = await startApart(t, { durability: 'pair', size: '64MiB', logSize: '16MiB' })
  const host = new Host(t)
  const first = JSON.parse((await host.attach(pair, 'vol0', '--json')).stdout)
  const attached = path.join(host.folder, 'attached')
  const [identity] = readdirSync(attached).filter((name) => name.startsWith('vol0-'))
  rmSync(path.join(attached, identity!, 'state.json'))
  const again = await host.attach(pair, 'vol0', '--json')
  t.equal(again.code, 0, again.stderr)
  t.notOk(runsWith(first.pid, attached), 'its storage daemon has ended')
  const loops = readdirSync('/sys/class/block').filter((name) =>
    backingFileOf(name).startsWith(path.join(attached, identity!)),
  )
  t.same(
    loops.map((name) => `/dev/${name}`),
    [JSON.parse(again.stdout).device],
    'there is one device',
  )
  t.equal((await host.pollux('detach', 'vol0')).code, 0)
})

function backingFileOf(name: string): string {
  const file = `/sys/class/block/${name}/loop/backing_file`
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

t.test('a volume over TLS is attached with the certificates of a client', { skip }, async (t) => {
  const certificates = new Certificates(t)
  const { server, authority } = certificates
  const tls = { ...server, authority: authority.certificate, required: true }
  const edit = (file: { tls?: unknown }) => Object.assign(file, { tls })
  const pair = await Pair.start(t, { durability: 'pair', size: '64MiB', logSize: '16MiB', edit })
  const host = new Host(t)
  refused(t, await host.attach(pair, 'vol0'), /nbds:.*\/vol0 needs \?tls-certificates= with a folder/, 2)
  refused(t, await host.attach(pair, pair.uri('vol0').replace(/^nbds/, 'nbd')), /wants TLS/)
  const folder = certificates.folderOf(certificates.issue('vm1', { by: authority }))
  const uri = `${pair.uri('vol0').replace(/^nbd:/, 'nbds:')}?tls-certificates=${folder}`
  const attached = await host.attach(pair, uri, '--fs', 'ext4', '--mount', host.place('mnt'))
  t.equal(attached.code, 0, attached.stderr)
  t.equal((await host.pollux('detach', host.place('mnt'))).code, 0)
})
