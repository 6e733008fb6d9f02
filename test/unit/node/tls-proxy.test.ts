import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, createServer, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { closeDescriptor, takeSocket } from '../../../ts/adapters/native.ts'
import { TlsProxies } from '../../../ts/node/tls-proxy.ts'
import { socketTools as tools } from '../../support/socket-tools.ts'

/** A client, the proxy in the middle, and the engine's end of it. What TLS does is of no matter here. */
async function passage(t: Test) {
  const proxies = new TlsProxies()
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  client.on('error', () => {})
  const [middle] = (await once(server, 'connection')) as [Socket]
  const descriptor = proxies.open(middle, 'one', tools)!
  const engine = new Socket({ fd: descriptor, allowHalfOpen: true })
  engine.on('error', () => {})
  t.teardown(() => {
    client.destroy()
    engine.destroy()
    server.close()
  })
  return { proxies, client, middle, engine }
}

/** Everything that is heard, and whether it has ended. */
function hear(socket: Socket): { text: string; ended: boolean; closed: boolean } {
  const heard = { text: '', ended: false, closed: false }
  socket.on('data', (piece) => {
    heard.text += piece.toString('latin1')
  })
  socket.once('end', () => {
    heard.ended = true
  })
  socket.once('close', () => {
    heard.closed = true
  })
  return heard
}

async function until(condition: () => boolean): Promise<boolean> {
  for (let attempt = 0; attempt < 600 && !condition(); attempt += 1) await sleep(5)
  return condition()
}

const descriptors = (): number => readdirSync('/proc/self/fd').length

t.test('bytes pass both ways, in order, however many', async (t) => {
  const { client, engine } = await passage(t)
  const there = hear(engine)
  const back = hear(client)
  const much = Buffer.alloc(5 * 1024 * 1024)
  for (let at = 0; at < much.length; at += 4) much.writeUInt32BE(at, at)
  client.write(much)
  engine.write(much)
  t.ok(await until(() => there.text.length === much.length && back.text.length === much.length))
  t.ok(there.text === much.toString('latin1') && back.text === much.toString('latin1'))
})

t.test('a side that does not read stops the other one, and costs bounded memory', async (t) => {
  const { client, engine, middle } = await passage(t)
  engine.pause()
  const piece = Buffer.alloc(64 * 1024)
  let sent = 0
  const send = () => {
    while (client.write(piece)) sent += 1
    sent += 1
  }
  client.on('drain', send)
  send()
  await sleep(300)
  const before = sent
  await sleep(200)
  t.equal(sent, before, 'the client waits')
  t.ok(middle.readableLength < 1024 * 1024 && middle.writableLength === 0)
  client.off('drain', send)
  const there = hear(engine)
  engine.resume()
  t.ok(await until(() => there.text.length === sent * piece.length), 'and nothing got lost')
})

t.test('a client that has said everything is still answered', async (t) => {
  const { client, engine } = await passage(t)
  const there = hear(engine)
  const back = hear(client)
  client.end('the last request')
  t.ok(await until(() => there.ended))
  t.equal(there.text, 'the last request')
  engine.write('the last ')
  await sleep(20)
  engine.end('reply')
  t.ok(await until(() => back.ended))
  t.equal(back.text, 'the last reply')
})

t.test('when the engine ends, the client hears the rest and is closed, though it stays', async (t) => {
  const { client, engine, proxies } = await passage(t)
  const back = hear(client)
  engine.write(Buffer.alloc(300_000, 'x'))
  engine.destroySoon()
  t.ok(await until(() => back.ended))
  t.equal(back.text.length, 300_000)
  t.ok(await until(() => proxies.count === 0), 'nothing of it is left')
})

t.test('when the client is gone, the engine hears it, and no descriptor is left', async (t) => {
  for (const how of ['destroy', 'resetAndDestroy', 'end'] as const) {
    const before = descriptors()
    const { client, engine, proxies } = await passage(t)
    const there = hear(engine)
    client.write('hello')
    t.ok(await until(() => there.text === 'hello'))
    client[how]()
    t.ok(await until(() => there.ended || there.closed), how)
    engine.destroy()
    client.destroy()
    t.ok(await until(() => proxies.count === 0), how)
    // the server of this test is still open
    t.ok(await until(() => descriptors() <= before + 1), `${how}: ${descriptors()} after ${before}`)
  }
})

t.test('a client of an aggregate that is served no more hears the rest', async (t) => {
  const { client, engine, proxies } = await passage(t)
  const back = hear(client)
  proxies.end('one')
  engine.write('the last reply')
  await sleep(50)
  t.same([back.ended, back.text, proxies.count], [false, 'the last reply', 1])
  engine.destroy()
  t.ok(await until(() => back.ended && proxies.count === 0))
})

t.test('a client that does not read is closed ten seconds after its aggregate has gone', async (t) => {
  const { client, engine, middle, proxies } = await passage(t)
  client.pause()
  engine.write(Buffer.alloc(32 * 1024 * 1024))
  await until(() => middle.writableNeedDrain)
  engine.destroy()
  await sleep(200)
  t.equal(proxies.count, 1, 'the engine alone is not noticed')
  const startedMs = performance.now()
  proxies.end('one')
  await once(middle, 'close')
  const tookMs = performance.now() - startedMs
  t.ok(tookMs > 9000 && tookMs < 15_000, `after ${Math.round(tookMs)} ms`)
  t.equal(proxies.count, 0)
})

t.test('a client that has gone before the engine gets it is no client', async (t) => {
  const proxies = new TlsProxies()
  const socket = new Socket()
  socket.destroy()
  t.equal(proxies.open(socket, 'one', tools), undefined)
  t.equal(proxies.count, 0)
})

t.test('where no descriptor is left, the client is closed and the node lives on', async (t) => {
  const { client, middle } = await passage(t)
  const back = hear(client)
  const none = () => {
    throw new Error('EMFILE')
  }
  t.equal(new TlsProxies().open(middle, 'one', { ...tools, socketPair: none }), undefined)
  t.ok(await until(() => back.ended || back.closed))
})

t.test('the two ends of a pair are blocking, close on exec, and connected', async (t) => {
  const ends = tools.socketPair()
  const [one, two] = ends.map((end) => new Socket({ fd: takeSocket(end) })) as [Socket, Socket]
  for (const end of ends) closeDescriptor(end)
  const heard = hear(two)
  one.end('hello')
  t.ok(await until(() => heard.ended))
  t.equal(heard.text, 'hello')
  two.destroy()
})
