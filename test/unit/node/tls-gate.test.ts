import { once } from 'node:events'
import { copyFileSync, rmSync } from 'node:fs'
import { connect, Socket } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { closeDescriptor, takeSocket } from '../../../ts/adapters/native.ts'
import { Certificates, type KeyPair } from '../../support/certificates.ts'
import {
  decodeOptionReplies,
  encodeClientFlags,
  encodeInfoData,
  encodeOption,
  option,
  optionReply,
} from '../../support/nbd-wire.ts'
import { tlsServices, until } from '../../support/tls-service.ts'

const certificates = new Certificates(t)
const { authority } = certificates
const { service, asked, secured } = tlsServices(certificates)
const vm1 = certificates.issue('vm1', { by: authority, names: ['DNS:vm1.example'] })
const startTls = encodeOption(option.startTls)
const go = (name: string) => encodeOption(option.go, encodeInfoData(name))
const { ack, errPolicy, errTlsReqd } = optionReply

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  const versions = { minVersion: version, maxVersion: version }

  t.test(`a client with a right certificate comes through to the engine (${version})`, async (t) => {
    const { greeted, port, gate } = service(t)
    const { client, heard } = await secured(t, port, vm1, versions)
    const requests = Buffer.from('the first requests')
    client.write(Buffer.concat([encodeOption(option.structuredReply), go('data'), requests]))
    t.ok(await until(() => greeted.length === 1))
    t.match(greeted, [{ exportInfo: { name: 'data' }, terms: { structuredReplies: true } }])
    t.match(greeted[0]!.peer, /^127.0.0.1:[0-9]+ \(vm1\)$/)
    t.equal(client.getProtocol(), version)
    client.write(' and later ones')
    const engine = new Socket({ fd: takeSocket(greeted[0]!.descriptor) })
    let said = Buffer.from(greeted[0]!.leftover)
    engine.on('data', (piece) => {
      said = Buffer.concat([said, piece])
    })
    t.ok(await until(() => said.toString() === 'the first requests and later ones'), said.toString())
    heard.bytes = Buffer.alloc(0)
    engine.write('a reply')
    t.ok(await until(() => heard.bytes.toString() === 'a reply'))
    engine.destroy()
    closeDescriptor(greeted.pop()!.descriptor)
    t.ok(await until(() => heard.closed && gate.proxies.count === 0), 'the engine ends the connection')
    t.equal(heard.error, '', 'in the way of TLS')
  })

  t.test(`who has no right certificate hears why, and so does the log (${version})`, async (t) => {
    const stranger = certificates.issue('another authority', { purpose: 'authority' })
    const cases: [string, KeyPair | undefined, RegExp][] = [
      ['none', undefined, /has sent none/],
      ['of another', certificates.issue('vm2', { by: stranger }), /"vm2" is not signed by the authority/],
      ['of its own', certificates.issue('vm3'), /"vm3" is not signed by the authority/],
      ['expired', certificates.issue('vm4', { by: authority, days: -1 }), /"vm4" expired on/],
      [
        'of a server',
        certificates.issue('vm5', { by: authority, purpose: 'server' }),
        /"vm5" is not meant for clients/,
      ],
    ]
    for (const [what, who, reason] of cases) {
      const { greeted, port, told } = service(t)
      const { client, heard } = await secured(t, port, who, versions)
      client.write(Buffer.concat([encodeOption(option.list), go('data'), encodeOption(option.abort)]))
      t.ok(await until(() => heard.closed), `${what}: the session ends`)
      const answers = decodeOptionReplies(heard.bytes)
      t.same(
        answers.map(({ kind }) => kind),
        [errPolicy, errPolicy, ack],
        what,
      )
      t.match(answers[0]!.data.toString(), reason)
      t.match(told(), [reason], 'once')
      t.match(told()[0], /^client 127.0.0.1:[0-9]+: /)
      t.equal(greeted.length, 0)
    }
  })
}

t.test('TLS that is too old, or is none, ends the session and is told', async (t) => {
  const { port, told } = service(t)
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const { heard } = await secured(t, port, vm1, old)
  t.ok(await until(() => heard.closed && told().length === 1))
  t.match(heard.error, /alert protocol version/, 'with an alert')
  t.match(told()[0], /TLS could not begin: unsupported protocol/)
  const plain = await asked(t, port)
  const closed = once(plain, 'close')
  plain.write(Buffer.concat([encodeOption(option.list), go('data')]))
  await closed
  t.match(told()[1], /TLS could not begin: wrong version number/)
  const gone = await asked(t, port)
  gone.end()
  t.ok(await until(() => told().length === 3))
  t.match(told()[2], /TLS could not begin: it has ended the connection/)
})

t.test('a flood of failures is told in part', async (t) => {
  const { port, told } = service(t)
  for (let n = 0; n < 30; n += 1) {
    const socket = await asked(t, port)
    const closed = once(socket, 'close')
    socket.write('x'.repeat(100))
    await closed
  }
  t.equal(told().length, 20)
})

t.test('a client sees the volumes of every name it has, and only those', async (t) => {
  const volumesByClient = new Map([
    ['vm1', ['data']],
    ['vm1.example', ['nothing']],
    ['vm2', ['logs']],
  ])
  const { port, greeted, told } = service(t, { volumesByClient })
  const { client, heard } = await secured(t, port, vm1)
  const info = (name: string) => encodeOption(option.info, encodeInfoData(name))
  client.write(Buffer.concat([encodeOption(option.list), info('logs'), info('data'), info('')]))
  const kinds = () => decodeOptionReplies(heard.bytes).map(({ kind }) => kind)
  const { server, info: described, errUnknown } = optionReply
  const expected = [server, ack, errUnknown, described, ack, described, ack]
  t.ok(await until(() => heard.bytes.length > 0 && kinds().length === expected.length))
  t.same(kinds(), expected)
  client.write(go('data'))
  t.ok(await until(() => greeted.length === 1))
  t.same(told(), [])
  const VM1 = certificates.issue('VM1', { by: authority })
  const other = await secured(t, port, VM1)
  other.client.write(Buffer.concat([encodeOption(option.list), go('data')]))
  t.ok(await until(() => other.heard.bytes.length > 40))
  t.same(
    decodeOptionReplies(other.heard.bytes).map(({ kind }) => kind),
    [ack, errUnknown],
    'a name in other letters is another name',
  )
  t.match(told(), [/no tls.client has one of the names of its certificate \("VM1"\)/])
})

t.test('without TLS a client is told to come with it, unless it is only offered', async (t) => {
  const required = service(t)
  const offered = service(t, { required: false })
  for (const [{ port, greeted }, kind] of [
    [required, errTlsReqd],
    [offered, ack],
  ] as const) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    t.teardown(() => socket.destroy())
    let heard = Buffer.alloc(0)
    socket.on('data', (piece) => {
      heard = Buffer.concat([heard, piece])
    })
    socket.write(Buffer.concat([encodeClientFlags(), go('data')]))
    t.ok(await until(() => heard.length > 40))
    t.equal(decodeOptionReplies(heard.subarray(18)).at(-1)!.kind, kind)
    t.equal(greeted.length, kind === ack ? 1 : 0)
  }
})

t.test('over a Unix socket clients come without TLS', async (t) => {
  const socketPath = path.join(certificates.folder, 's')
  const { greeted, listener } = service(t, {}, { path: socketPath })
  t.equal(listener.tls, 'none')
  t.ok(await until(() => listener.isOpen))
  const socket = connect({ path: socketPath })
  t.teardown(() => socket.destroy())
  socket.resume()
  socket.write(Buffer.concat([encodeClientFlags(), go('data')]))
  t.ok(await until(() => greeted.length === 1))
})

t.test('what came in the open together with STARTTLS is not taken for the beginning of TLS', async (t) => {
  const { port, greeted } = service(t)
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const closed = once(socket, 'close')
  socket.resume()
  socket.write(Buffer.concat([encodeClientFlags(), startTls, go('data')]))
  await closed
  t.equal(greeted.length, 0)
})

t.test('closing drops who is in the middle of TLS', async (t) => {
  const { port, listener, told } = service(t)
  const early = await asked(t, port)
  const { client, heard } = await secured(t, port, vm1)
  client.write(encodeOption(option.list))
  t.ok(await until(() => heard.bytes.length > 0))
  const closed = once(early, 'close')
  listener.close()
  await closed
  t.ok(await until(() => heard.closed))
  t.same(told(), [], 'which is not their fault')
})

t.test('a client that is held begins TLS when it is greeted', async (t) => {
  const { port, listener, greeted } = service(t, {}, { isShared: true })
  t.ok(await until(() => listener.isOpen))
  listener.standBy()
  const waiting = secured(t, port, vm1)
  await sleep(50)
  listener.open()
  const { client } = await waiting
  client.write(go('data'))
  t.ok(await until(() => greeted.length === 1))
})

t.test('files that are replaced count for the next connection, if they are good', async (t) => {
  const own = certificates.issue('castor', { by: authority, purpose: 'server', names: ['IP:127.0.0.1'] })
  const next = certificates.issue('next', { by: authority, purpose: 'server', names: ['IP:127.0.0.1'] })
  const { port, events } = service(t, own)
  const serverName = async (): Promise<unknown> => {
    const { client } = await secured(t, port, vm1)
    await once(client, 'secureConnect')
    return client.getPeerCertificate().subject.CN
  }
  const said = () => events.after(0).flatMap(({ event, text }) => (event === 'tls-files' ? [text] : []))
  t.equal(await serverName(), 'castor')
  copyFileSync(next.certificate, own.certificate)
  t.equal(await serverName(), 'castor', 'half of it is replaced')
  t.equal(await serverName(), 'castor')
  t.match(said(), [/stay unused: tls.key .* does not belong to tls.certificate/], 'told once')
  copyFileSync(next.key, own.key)
  t.equal(await serverName(), 'next')
  t.match(said()[1], /have been replaced/)
  rmSync(own.key)
  t.equal(await serverName(), 'next')
  t.match(said()[2], /cannot be read \(ENOENT\)/)
})
