import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { hostAddresses } from '../../../ts/adapters/addresses.ts'
import { closeDescriptor, takeSocket } from '../../../ts/adapters/native.ts'
import type { GreetedClient } from '../../../ts/node/client-handshake.ts'
import { EventLog } from '../../../ts/node/events.ts'
import { ServiceListener } from '../../../ts/node/service-listener.ts'
import { hear, service, until } from '../../support/nbd-service.ts'
import { encodeClientFlags, encodeInfoData, encodeOption, option } from '../../support/nbd-wire.ts'
import { freePort, socketTools as tools } from '../../support/socket-tools.ts'

const go = encodeOption(option.go, encodeInfoData('data'))
const requests = Buffer.from('the first requests, which nobody may lose')

t.test('a client that sends everything at once loses none of it', async (t) => {
  const { listener, greeted, dial } = service(t)
  listener.open()
  const client = await dial()
  hear(client)
  client.write(Buffer.concat([encodeClientFlags(), encodeOption(option.structuredReply), go, requests]))
  await until(() => greeted.length === 1)
  t.match(greeted, [
    { terms: { structuredReplies: true }, exportInfo: { name: 'data', volume: 3, aggregate: 'one' } },
  ])
  t.equal(Buffer.from(greeted[0]!.leftover).toString(), requests.toString())
  t.equal(client.destroyed, false, 'the connection lives on')
})

t.test('wherever the bytes of the handshake and of requests are split, each arrives once', async (t) => {
  const { listener, greeted, dial } = service(t)
  listener.open()
  const all = Buffer.concat([encodeClientFlags(), go, requests])
  const splits = [
    1,
    4,
    5,
    20,
    24,
    30,
    all.length - requests.length - 1,
    all.length - requests.length,
    all.length - 1,
  ]
  for (const [index, split] of splits.entries()) {
    const client = await dial()
    hear(client)
    client.write(all.subarray(0, split))
    await sleep(15)
    client.write(all.subarray(split))
    await until(() => greeted.length === index + 1)
    const { descriptor, leftover } = greeted[index]!
    // what had not been read yet is still in the socket
    const rest = new Promise<Buffer>((resolve) =>
      readRest(descriptor, requests.length - leftover.length, resolve),
    )
    const got = Buffer.concat([leftover, await rest])
    t.equal(got.toString(), requests.toString(), `split at ${split}: ${leftover.length} bytes came along`)
  }
})

/** Reads through a duplicate, so that the descriptor stays the test's. */
function readRest(descriptor: number, byteLength: number, done: (bytes: Buffer) => void): void {
  if (byteLength === 0) return done(Buffer.alloc(0))
  const socket = new Socket({ fd: takeSocket(descriptor) })
  let bytes = Buffer.alloc(0)
  socket.on('data', (piece) => {
    bytes = Buffer.concat([bytes, piece])
    if (bytes.length < byteLength) return
    socket.destroy()
    done(bytes)
  })
}

t.test(
  'closing stops new clients and drops those in the handshake, not those that are through',
  async (t) => {
    const { listener, greeted, dial, port } = service(t)
    listener.open()
    const through = await dial()
    hear(through)
    through.write(Buffer.concat([encodeClientFlags(), go]))
    await until(() => greeted.length === 1)
    const greeting = await dial()
    hear(greeting)
    await sleep(20)
    const dropped = once(greeting, 'close')
    listener.close()
    await dropped
    t.equal(listener.isOpen, false)
    t.equal(through.destroyed, false)
    const refused = connect({ port, host: '127.0.0.1' })
    const [error] = await once(refused, 'error')
    t.match(error, { code: 'ECONNREFUSED' })
  },
)

t.test('an address that somebody else holds is taken as soon as it is free', async (t) => {
  const { listener, dial, events, port } = service(t)
  const other = createServer()
  other.listen(port, '127.0.0.1')
  await once(other, 'listening')
  listener.open()
  await sleep(60)
  t.equal(listener.isOpen, false)
  t.equal(
    events.after(0).filter(({ event }) => event === 'service-address-busy').length,
    1,
    'it complains once',
  )
  other.close()
  await once(other, 'close')
  await until(() => listener.isOpen)
  t.equal(listener.isOpen, true)
  await dial()
})

t.test('a service that is closed while it waits for its address stays closed', async (t) => {
  const { listener, port } = service(t)
  const other = createServer()
  other.listen(port, '127.0.0.1')
  await once(other, 'listening')
  listener.open()
  listener.close()
  other.close()
  await once(other, 'close')
  await sleep(60)
  t.equal(listener.isOpen, false)
})

t.test('a client that asks for what is not there stays in the handshake, and can go on', async (t) => {
  const { listener, greeted, dial } = service(t)
  listener.open()
  const client = await dial()
  const heard = hear(client)
  client.write(Buffer.concat([encodeClientFlags(), encodeOption(option.go, encodeInfoData('nothing'))]))
  await until(() => heard.bytes.includes('no export'))
  t.ok(heard.bytes.includes('no export "nothing" is served here'))
  client.write(go)
  await until(() => greeted.length === 1)
  t.equal(greeted.length, 1)
})

t.test('garbage closes the connection', async (t) => {
  const { listener, greeted, dial } = service(t)
  listener.open()
  const client = await dial()
  hear(client)
  const closed = once(client, 'close')
  client.write(Buffer.alloc(64, 0xff))
  await closed
  t.equal(greeted.length, 0)
})

/** A path of a socket has at most 107 bytes. */
function shortFolder(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'service-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

/** A service on a Unix socket that is for looking only. */
function localService(t: Test, socketPath: string) {
  const greeted: GreetedClient[] = []
  const place = { address: { path: socketPath }, aggregates: ['one'], readOnly: true, isShared: false }
  const events = new EventLog('castor', { write: () => {} })
  const listener = new ServiceListener(place, tools, events, (client) => greeted.push(client))
  const volumes = [{ volume: 3, name: 'data', size: 65536 }]
  listener.catalogue.update('one', { serves: true, because: '', volumes })
  t.teardown(() => {
    listener.close()
    for (const { descriptor } of greeted) closeDescriptor(descriptor)
  })
  return { listener, greeted, events }
}

t.test('clients come over a Unix socket, which goes away with the service', async (t) => {
  const socketPath = path.join(shortFolder(t), 's')
  const { listener, greeted } = localService(t, socketPath)
  listener.open()
  const client = connect({ path: socketPath })
  t.teardown(() => client.destroy())
  await once(client, 'connect')
  client.write(Buffer.concat([encodeClientFlags(), go, requests]))
  await until(() => greeted.length === 1)
  t.match(greeted, [{ exportInfo: { name: 'data', readOnly: true }, peer: 'this host' }])
  t.equal(Buffer.from(greeted[0]!.leftover).toString(), requests.toString())
  listener.close()
  await until(() => !existsSync(socketPath))
  t.notOk(existsSync(socketPath))
})

t.test('a socket that a killed process has left is taken over, one that is in use is not', async (t) => {
  const socketPath = path.join(shortFolder(t), 's')
  const die = "() => process.kill(process.pid, 'SIGKILL')"
  const killed = `require('net').createServer().listen('${socketPath}', ${die})`
  spawnSync(process.execPath, ['-e', killed])
  t.ok(existsSync(socketPath), 'it was left')
  const { listener } = localService(t, socketPath)
  listener.open()
  await until(() => listener.isOpen)
  t.ok(listener.isOpen)
  const second = localService(t, socketPath)
  second.listener.open()
  await sleep(100)
  t.notOk(second.listener.isOpen, 'somebody answers there')
  listener.close()
  await until(() => second.listener.isOpen)
  t.ok(second.listener.isOpen, 'until it is free')
})

t.test('what is no socket is not removed', async (t) => {
  const file = path.join(shortFolder(t), 'precious')
  writeFileSync(file, 'data')
  const { listener, events } = localService(t, file)
  listener.open()
  await sleep(100)
  t.notOk(listener.isOpen)
  t.ok(existsSync(file))
  const names = events.recent(100).map(({ event }) => event)
  t.same(names, ['service-address-busy'], 'which is told once')
})

/** Two nodes' places: the first one passes clients on to the second while it does not serve. */
function eitherNode(t: Test) {
  const owner = service(t)
  const address = { host: '127.0.0.1', port: freePort() }
  const forwardTo = { host: '127.0.0.1', port: owner.port }
  const greeted: GreetedClient[] = []
  const place = { address, aggregates: ['one'], readOnly: false, isShared: false, forwardTo }
  const events = new EventLog('pollux', { write: () => {} })
  const listener = new ServiceListener(place, tools, events, (client) => greeted.push(client))
  listener.catalogue.update('one', {
    serves: true,
    because: '',
    volumes: [{ volume: 3, name: 'data', size: 65536 }],
  })
  const sockets: Socket[] = []
  const dial = async (): Promise<Socket> => {
    await until(() => listener.isOpen)
    const socket = connect({ ...address, noDelay: true })
    socket.on('error', () => {})
    sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
    for (const { descriptor } of greeted) closeDescriptor(descriptor)
  })
  return { owner, listener, greeted, dial }
}

t.test('clients are passed on to where the partner serves, with all that they have said', async (t) => {
  const { owner, listener, greeted, dial } = eitherNode(t)
  listener.standBy()
  owner.listener.open()
  const client = await dial()
  const heard = hear(client)
  client.write(Buffer.concat([encodeClientFlags(), go, requests]))
  await until(() => owner.greeted.length === 1 && heard.bytes.length > 0)
  t.equal(Buffer.from(owner.greeted[0]!.leftover).toString(), requests.toString())
  t.equal(heard.bytes.subarray(0, 8).toString(), 'NBDMAGIC', 'one greeting, that of the owner')
  t.equal(heard.bytes.indexOf('NBDMAGIC', 8), -1)
  t.equal(greeted.length, 0)
  t.equal(listener.forwarded, 1)
  client.destroy()
  closeDescriptor(owner.greeted.pop()!.descriptor)
  await until(() => listener.forwarded === 0)
  t.equal(listener.forwarded, 0)
})

t.test('a client that finds no owner waits for one, and is greeted here if that is this node', async (t) => {
  const { owner, listener, greeted, dial } = eitherNode(t)
  listener.standBy()
  const first = await dial()
  first.write(Buffer.concat([encodeClientFlags(), go]))
  await sleep(120)
  owner.listener.open()
  await until(() => owner.greeted.length === 1)
  t.equal(owner.greeted.length, 1, 'the owner came later')
  owner.listener.close()
  const second = await dial()
  second.write(Buffer.concat([encodeClientFlags(), go]))
  await sleep(120)
  listener.open()
  await until(() => greeted.length === 1)
  t.equal(greeted.length, 1, 'this node became the owner')
})

t.test('who was passed on is closed when this node serves itself, and when it ends', async (t) => {
  const { owner, listener, greeted, dial } = eitherNode(t)
  listener.standBy()
  owner.listener.open()
  const first = await dial()
  hear(first)
  await until(() => listener.forwarded === 1)
  const closed = once(first, 'close')
  listener.open()
  await closed
  const second = await dial()
  hear(second)
  second.write(Buffer.concat([encodeClientFlags(), go]))
  await until(() => greeted.length === 1)
  t.equal(greeted.length, 1, 'and is taken here when it comes again')
  listener.standBy()
  const third = await dial()
  hear(third)
  await until(() => listener.forwarded === 1)
  const ended = once(third, 'close')
  listener.close()
  await ended
  t.equal(listener.isOpen, false)
})

const notRoot = process.getuid?.() !== 0 && 'needs root'

t.test('a service whose listener is ended from outside listens again', { skip: notRoot }, async (t) => {
  // of the loopback, and of nobody else: all that is there is ended
  const host = `127.92.${process.pid & 255}.${1 + ((process.pid >> 8) % 200)}`
  const place = {
    address: { host, port: freePort(host) },
    aggregates: ['one'],
    readOnly: false,
    isShared: false,
  }
  const events = new EventLog('castor', { write: () => {} })
  const listener = new ServiceListener(place, tools, events, () => {})
  t.teardown(() => listener.close())
  const said = () => events.after(0).map(({ event }) => event)
  listener.open()
  await until(() => said().length === 1)
  hostAddresses.resetConnections(host)
  listener.listenAgain()
  await until(() => said().length === 2)
  t.same(said(), ['service-open', 'service-open'])
  const socket = connect({ ...place.address, localAddress: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  await once(socket, 'data')
})

t.test('after a stop of this process nothing old is passed on', async (t) => {
  const { owner, listener, dial } = eitherNode(t)
  listener.standBy()
  owner.listener.open()
  const client = await dial()
  hear(client)
  client.write(Buffer.concat([encodeClientFlags(), go]))
  await until(() => owner.greeted.length === 1)
  const { descriptor, leftover } = owner.greeted.pop()!
  const engine = new Socket({ fd: descriptor })
  t.teardown(() => engine.destroy())
  const heard = hear(engine)
  client.write('in time')
  await until(() => heard.bytes.length > 0)
  const closed = Promise.all([once(client, 'close'), once(engine, 'close')])
  client.write('too late')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3200)
  await closed
  t.equal(Buffer.concat([leftover, heard.bytes]).toString(), 'in time')
})
