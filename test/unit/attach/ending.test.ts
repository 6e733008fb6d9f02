import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { closeDescriptor, hasPeerEnded, shutdownSocket, takeSocket } from '../../../ts/adapters/native.ts'
import { endingMs, endSessions } from '../../../ts/attach/ending.ts'
import { takeOffLoop } from '../../../ts/node/sockets.ts'

/** A session whose server does not read what it was sent. */
async function stalled(t: Test, place: { host: string; port: number } | { path: string }) {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(place)
  await once(server, 'listening')
  const address = server.address()
  const client = connect(typeof address === 'string' ? { path: address } : (address as { port: number }))
  const [peer] = (await once(server, 'connection')) as [Socket]
  peer.on('error', () => {})
  const { descriptor } = takeOffLoop(client, new Uint8Array(0), { takeSocket })!
  client.destroy()
  writeSync(descriptor, Buffer.alloc(4096))
  t.teardown(() => {
    closeDescriptor(descriptor)
    peer.destroy()
    server.close()
  })
  return { descriptor, peer }
}

const never = () => false

for (const place of [
  { host: '127.0.0.1', port: 0 },
  { path: path.join(tmpdir(), `pollux-ending-${process.pid}`) },
]) {
  t.test(`a server that has requests to read is waited for (${Object.keys(place)[0]})`, async (t) => {
    const { descriptor, peer } = await stalled(t, place)
    const fromMs = performance.now()
    const end = endSessions([descriptor], 10_000, never)
    setTimeout(() => peer.destroy(), 50)
    t.ok(await end)
    t.ok(performance.now() - fromMs >= 50, 'until it has ended')
  })
}

t.test('one that has not ended in time is reset: it gets nothing more of what was sent', async (t) => {
  const { descriptor } = await stalled(t, { host: '127.0.0.1', port: 0 })
  shutdownSocket(descriptor)
  t.notOk(hasPeerEnded(descriptor), 'it is half open')
  t.notOk(await endSessions([descriptor], 50, never))
  t.ok(hasPeerEnded(descriptor), 'there is no connection any more')
})

t.test('whoever stops the watcher does not wait', async (t) => {
  const { descriptor } = await stalled(t, { host: '127.0.0.1', port: 0 })
  t.notOk(await endSessions([descriptor], 60_000, () => true))
})

t.test('a session that its server has ended is over at once', async (t) => {
  const { descriptor, peer } = await stalled(t, { host: '127.0.0.1', port: 0 })
  peer.resetAndDestroy()
  await once(peer, 'close')
  t.ok(await endSessions([descriptor], 1000, never))
  t.ok(await endSessions([], 0, never), 'as are no sessions')
})

t.test('the wait leaves the requests half of the time that they have', async (t) => {
  t.equal(endingMs(60), 10_000)
  t.equal(endingMs(10), 5000)
})
