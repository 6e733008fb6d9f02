import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { Certificates } from '../../support/certificates.ts'
import {
  endsInTls,
  endsWithoutTls,
  failsInTls,
  refusedInTls,
  refusedWithoutTls,
} from '../../support/malformed-tls.ts'
import {
  decodeOptionReplies,
  encodeClientFlags,
  encodeOption,
  option,
  optionReply,
} from '../../support/nbd-wire.ts'
import { tlsServices, until } from '../../support/tls-service.ts'

const certificates = new Certificates(t)
const vm1 = certificates.issue('vm1', { by: certificates.authority })
const { service, asked, secured } = tlsServices(certificates)
const GREETING_BYTE_LENGTH = 18
const { ack, server } = optionReply
const list = encodeOption(option.list)
const abort = encodeOption(option.abort)

/** Everything that a service says to somebody until it closes the connection. */
async function said(port: number, ...pieces: Uint8Array[]): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.write(Buffer.concat(pieces))
  return rest(socket)
}

async function rest(socket: Socket): Promise<Buffer> {
  const heard: Buffer[] = []
  socket.on('data', (piece: Buffer) => heard.push(piece))
  socket.on('error', () => {})
  await once(socket, 'close')
  return Buffer.concat(heard)
}

t.test('without TLS, where it is required', async (t) => {
  const { port, greeted } = service(t)
  for (const [what, bytes] of endsWithoutTls()) {
    t.equal((await said(port, bytes)).length, GREETING_BYTE_LENGTH, `${what} ends the session without a word`)
  }
  for (const [what, [bytes, expected]] of refusedWithoutTls()) {
    const heard = await said(port, encodeClientFlags(), bytes, abort)
    const answers = decodeOptionReplies(heard.subarray(GREETING_BYTE_LENGTH))
    t.same(
      answers.map(({ kind }) => kind),
      [expected, ack],
      `${what} is refused, no more than that`,
    )
    t.ok(answers[0]!.data.length > 0, 'with words')
  }
  t.equal(greeted.length, 0)
})

t.test('instead of TLS', async (t) => {
  const { port, greeted, gate } = service(t)
  const bystander = await secured(t, port, vm1)
  const before = readdirSync('/proc/self/fd').length
  for (const [what, bytes] of failsInTls()) {
    const socket = await asked(t, port)
    socket.write(bytes)
    const heard = await rest(socket)
    const isAlert = heard.length === 0 || heard[0] === 21
    t.ok(isAlert, `${what} ends the session, with an alert at most`)
  }
  t.equal(greeted.length, 0)
  t.equal(gate.proxies.count, 0)
  t.ok(await until(() => readdirSync('/proc/self/fd').length <= before), 'nothing is left behind')
  bystander.client.write(list)
  t.ok(await until(() => bystander.heard.bytes.length > 0), 'and nobody else notices')
})

t.test('inside of TLS', async (t) => {
  const { port, greeted } = service(t)
  for (const [what, bytes] of endsInTls()) {
    const { client, heard } = await secured(t, port, vm1)
    client.write(bytes)
    t.ok(await until(() => heard.closed), `${what} ends the session`)
    t.same([heard.bytes.length, heard.error], [0, ''], 'in the way of TLS')
  }
  for (const [what, [bytes, expected]] of refusedInTls()) {
    const { client, heard } = await secured(t, port, vm1)
    client.write(Buffer.concat([bytes, list, abort]))
    t.ok(await until(() => heard.closed))
    t.same(
      decodeOptionReplies(heard.bytes).map(({ kind }) => kind),
      [expected, server, server, ack, ack],
      `${what} is refused, no more than that`,
    )
  }
  t.equal(greeted.length, 0)
})

t.test('who says nothing more has three seconds for TLS, and ten for all of the handshake', async (t) => {
  const { port, told } = service(t)
  const startedMs = performance.now()
  const silent = await asked(t, port)
  const half = await asked(t, port)
  half.write(Buffer.from('16030102000100', 'hex'))
  const { client, heard } = await secured(t, port, vm1)
  client.write(list)
  await Promise.all([silent, half].map((socket) => once(socket, 'close')))
  const tlsMs = performance.now() - startedMs
  t.ok(tlsMs > 2500 && tlsMs < 7000, `TLS ends after ${Math.round(tlsMs)} ms`)
  t.ok(await until(() => heard.closed, 15_000))
  const tookMs = performance.now() - startedMs
  t.ok(tookMs > 9000 && tookMs < 15_000, `after ${Math.round(tookMs)} ms`)
  t.ok(await until(() => told().length === 2))
  t.match(told(), [/TLS could not begin: it took more than 3000 ms/, /it took more than 3000 ms/])
})

t.test('a crowd that comes at once takes turns, and idlers among it hold up nobody for long', async (t) => {
  const { port, told } = service(t)
  const idlers = await Promise.all(Array.from({ length: 150 }, () => asked(t, port)))
  const startedMs = performance.now()
  const clients = await Promise.all(Array.from({ length: 20 }, () => secured(t, port, vm1)))
  for (const { client } of clients) client.write(list)
  t.ok(await until(() => clients.every(({ heard }) => heard.bytes.length > 0), 12_000))
  const tookMs = performance.now() - startedMs
  t.ok(tookMs > 2000, `behind others, after ${Math.round(tookMs)} ms`)
  await Promise.all(idlers.map((socket) => socket.destroyed || once(socket, 'close')))
  t.equal(told().length, 20, 'of so many, some are told')
})
