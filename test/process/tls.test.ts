import path from 'node:path'
import t, { type Test } from 'tap'
import { Certificates, type KeyPair } from '../support/certificates.ts'
import { endsWithoutTls } from '../support/malformed-tls.ts'
import { connect, connectRaw, list } from '../support/nbd-client.ts'
import { type NodeName, nodeNames, Pair, type PairOptions } from '../support/pair.ts'
import { commandLine, type Ended, missing, mustRun, run, scratch, until } from '../support/program.ts'

const tools = missing('openssl', 'nbdinfo', 'nbdcopy', 'qemu-io', 'qemu-img')
const SIZE = 64 * 2 ** 20

type TlsOptions = { required?: boolean; client?: { name: string; volumes: string[] }[] }

/** A pair whose clients come over TLS, and an authority that signs for them. */
async function secured(t: Test, tls: TlsOptions = {}, options: PairOptions = {}) {
  const certificates = new Certificates(t)
  const { certificate, key } = certificates.server
  const authority = certificates.authority.certificate
  const pair = await Pair.start(t, {
    ...options,
    edit: (file, node) => {
      options.edit?.(file, node)
      file.tls = { certificate, key, authority, ...tls }
    },
  })
  return { pair, certificates, vm1: certificates.issue('vm1', { by: certificates.authority }) }
}

/** How libnbd is told where its certificates are. */
const withFolder = (uri: string, folder: string): string => `${uri}?tls-certificates=${folder}`

/** How QEMU is told the same. */
function qemu(uri: string, folder: string): { object: string[]; image: string } {
  const { hostname, port, pathname } = new URL(uri.replace(/^nbds:/, 'http:'))
  const server = `server.type=inet,server.host=${hostname},server.port=${port}`
  return {
    object: ['--object', `tls-creds-x509,id=tls0,endpoint=client,verify-peer=on,dir=${folder}`],
    image: `driver=nbd,${server},export=${pathname.slice(1)},tls-creds=tls0`,
  }
}

function qemuIo(uri: string, folder: string, ...steps: string[]): Promise<Ended> {
  const { object, image } = qemu(uri, folder)
  const commands = steps.flatMap((step) => ['-c', step])
  return run('qemu-io', [...object, '--image-opts', ...commands, `driver=raw,${nested(image)}`])
}

const nested = (image: string): string =>
  image
    .split(',')
    .map((option) => `file.${option}`)
    .join(',')

/** Refusals in the log of a node. */
async function refusals(pair: Pair, node: NodeName): Promise<string[]> {
  const { events } = await pair.status(node)
  return events.flatMap(({ event, text }) => (event === 'tls-refused' ? [text] : []))
}

t.test(
  'real clients write and read over TLS, also after the owner was killed',
  { skip: tools },
  async (t) => {
    const { pair, certificates, vm1 } = await secured(t)
    const folder = certificates.folderOf(vm1)
    const uri = pair.uri('vol0')
    t.match(uri, /^nbds:/, 'up names the scheme')
    const { stdout } = await mustRun('nbdinfo', ['--json', withFolder(uri, folder)])
    t.match(JSON.parse(stdout), { protocol: 'newstyle-fixed', TLS: true, exports: [{ 'export-size': SIZE }] })
    const listed = await mustRun('nbdinfo', [
      '--list',
      '--json',
      withFolder(uri.replace(/vol0$/, ''), folder),
    ])
    t.match(JSON.parse(listed.stdout), { exports: [{ 'export-name': 'vol0' }] })
    const [there, back] = ['there', 'back'].map((name) => path.join(scratch(t), name))
    await mustRun('bash', ['-c', `head -c ${SIZE} /dev/urandom > ${there}`])
    await mustRun('nbdcopy', ['--flush', there!, withFolder(uri, folder)])
    await mustRun('nbdcopy', [withFolder(uri, folder), back!])
    await mustRun('cmp', [there!, back!])
    const steps = ['write -P 7 4k 64k', 'write -z 8k 4k', 'discard 16k 4k', 'flush', 'read -P 7 20k 48k']
    const done = await qemuIo(uri, folder, ...steps, 'read -P 0 8k 4k', 'read -P 0 16k 4k')
    t.equal(done.code, 0, done.stderr)
    t.notMatch(done.stdout, /failed|error/i)
    await pair.inSync()
    await pair.kill('castor')
    await pair.serving('castor', 'pollux')
    const after = await qemuIo(
      uri,
      folder,
      'read -P 7 20k 48k',
      'read -P 0 8k 4k',
      'write -P 8 0 4k',
      'flush',
    )
    t.equal(after.code, 0, after.stderr)
    t.notMatch(after.stdout, /failed|error/i, 'the partner serves at the same address')
    await mustRun('nbdcopy', [withFolder(uri, folder), back!])
    await mustRun('cmp', ['--ignore-initial=1MiB', there!, back!])
    await pair.up()
    await pair.inSync()
    const engine = await pair.engine('pollux', 'castor')
    t.equal(engine.clients, 0, 'nobody is left behind')
  },
)

t.test('a client that connects again rides through a handover', { skip: tools }, async (t) => {
  const { pair, certificates, vm1 } = await secured(t)
  const { object, image } = qemu(pair.uri('vol0'), certificates.folderOf(vm1))
  const places = Array.from({ length: 40 }, (_, n) => n + 1)
  const steps = places.flatMap((n) => [`write -P ${n} ${n}M 64k`, 'sleep 50'])
  const commands = [...steps, 'flush', ...places.map((n) => `read -P ${n} ${n}M 64k`)]
  const options = `driver=raw,${nested(`${image},reconnect-delay=30`)}`
  const args = [...object, '--image-opts', ...commands.flatMap((step) => ['-c', step]), options]
  const running = run('qemu-io', args)
  await until('it writes', async () => (await pair.engine('castor', 'castor')).clients > 0)
  await pair.mustCommand('takeover', 'castor')
  const { code, stdout, stderr } = await running
  t.equal(code, 0, stdout + stderr)
  t.notMatch(stdout + stderr, /failed|error/i)
  const { clients } = await pair.engine('pollux', 'castor')
  t.equal(clients, 0)
})

t.test('who has no right certificate is refused, and both sides hear why', { skip: tools }, async (t) => {
  const { pair, certificates, vm1 } = await secured(t)
  const stranger = certificates.issue('another authority', { purpose: 'authority' })
  const uri = pair.uri('vol0')
  const by = certificates.authority
  // what libnbd has is not what the node asks for, so it does not send it
  const cases: [string, KeyPair | undefined, RegExp][] = [
    ['of another authority', certificates.issue('vm2', { by: stranger }), /has sent none such/],
    ['expired', certificates.issue('vm3', { by, days: -1 }), /"vm3" expired on/],
    ['missing', undefined, /has sent none such/],
  ]
  for (const [what, client, reason] of cases) {
    const folder = certificates.folderOf(client)
    const seen = await run('nbdinfo', [withFolder(uri, folder)], {
      env: { ...process.env, LIBNBD_DEBUG: '1' },
    })
    t.not(seen.code, 0, what)
    t.match(seen.stderr, reason, `${what}: the client hears why`)
    t.match((await refusals(pair, 'castor')).at(-1), reason, `${what}: and so does who runs the node`)
  }
  const { stderr, code } = await qemuIo(uri, certificates.folderOf(), 'read 0 4k')
  t.not(code, 0)
  t.match(stderr, /a client needs a certificate/, 'QEMU shows the words')
  const suspicious = certificates.folderOf(vm1, stranger)
  const distrust = await run('nbdinfo', [withFolder(uri, suspicious)])
  t.not(distrust.code, 0)
  t.match(distrust.stderr, /certificate/i, 'a client that does not trust the node says so')
  t.match((await refusals(pair, 'castor')).at(-1), /TLS could not begin/)
  t.equal(
    (await run('nbdinfo', [withFolder(uri, certificates.folderOf(vm1))])).code,
    0,
    'the right one is served',
  )
})

t.test('who comes without TLS is told to come with it', { skip: tools }, async (t) => {
  const { pair, certificates, vm1 } = await secured(t)
  const plain = pair.uri('vol0').replace('nbds:', 'nbd:')
  await t.rejects(connect(plain), /0x80000005: clients are taken over TLS only/)
  await t.rejects(list(plain), /0x80000005/)
  await t.rejects(connect(plain, { oldWay: true }), { name: 'ChannelEnded' })
  for (const [what, bytes] of endsWithoutTls()) {
    const channel = await connectRaw(plain)
    channel.send(bytes)
    t.equal((await channel.takeRest()).length, 18, `${what} ends the session without a word`)
  }
  const { code, stderr } = await run('qemu-io', ['-f', 'raw', '-c', 'read 0 4k', plain])
  t.not(code, 0)
  t.match(stderr, /TLS/)
  t.not((await run('nbdinfo', [plain])).code, 0)
  t.equal((await run('nbdinfo', [withFolder(pair.uri('vol0'), certificates.folderOf(vm1))])).code, 0)
})

t.test('each client has its volumes, and plain ones the Unix socket', { skip: tools }, async (t) => {
  const socket = path.join(scratch(t), 'nbd.sock')
  const edit: PairOptions['edit'] = (file, node) => {
    if (node === 'castor') file.nbd = [{ listen: `unix:${socket}`, aggregates: ['castor'] }]
  }
  const client = [
    { name: 'vm1', volumes: ['vol0', 'vol1'] },
    { name: 'vm2', volumes: ['vol1'] },
  ]
  const { pair, certificates, vm1 } = await secured(t, { client }, { edit })
  const vm2 = certificates.issue('vm2', { by: certificates.authority })
  const [folder1, folder2] = [vm1, vm2].map((one) => certificates.folderOf(one))
  const info = (volume: string, folder: string) => run('nbdinfo', [withFolder(pair.uri(volume), folder)])
  for (const volume of ['vol0', 'vol1'])
    t.equal((await info(volume, folder1!)).code, 0, `vm1 opens ${volume}`)
  t.equal((await info('vol1', folder2!)).code, 0, 'vm2 opens vol1')
  const refused = await qemuIo(pair.uri('vol0'), folder2!, 'read 0 4k')
  t.not(refused.code, 0, 'vm2 does not open vol0')
  t.match(refused.stderr, /no export now that this client may see/)
  const nothing = withFolder(pair.uri('vol0').replace(/vol0$/, ''), folder2!)
  const { stdout } = await run('nbdinfo', ['--list', '--json', nothing])
  t.notMatch(stdout, /vol0/, 'nor does it see it')
  t.same(await refusals(pair, 'castor'), [], 'its certificate is a right one')
  const local = `nbd+unix:///vol0?socket=${socket}`
  t.same(
    (await list(local)).map(({ name }) => name),
    ['vol0'],
  )
  await (await connect(local)).close()
})

t.test('where TLS is only offered, clients come both ways', { skip: tools }, async (t) => {
  const { pair, certificates, vm1 } = await secured(t, { required: false })
  const plain = pair.uri('vol0')
  t.match(plain, /^nbd:/)
  const one = await connect(plain)
  await one.write(0, Buffer.alloc(4096, 5))
  const done = await qemuIo(plain, certificates.folderOf(vm1), 'read -P 5 0 4k', 'write -P 6 0 4k')
  t.equal(done.code, 0, done.stderr)
  t.ok((await one.read(0, 4096)).every((byte) => byte === 6))
  await one.close()
})

t.test(
  'a node with a certificate that is no good does not start, and says why',
  { skip: tools },
  async (t) => {
    const { pair, certificates } = await secured(t)
    await pair.down()
    const old = certificates.issue('castor', { by: certificates.authority, purpose: 'server', days: -1 })
    pair.edit((file) => {
      file.tls = { ...file.tls!, ...old }
    })
    for (const node of nodeNames) {
      const ended = await run(process.execPath, [commandLine, 'serve', '--config', pair.config(node).path])
      t.not(ended.code, 0)
      t.match(ended.stderr, /tls.certificate .* expired on .*; put a valid one there/)
    }
  },
)
