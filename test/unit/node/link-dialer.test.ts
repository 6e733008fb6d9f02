import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { closeDescriptor, takeSocket } from '../../../ts/adapters/native.ts'
import { LinkDialer } from '../../../ts/node/link-dialer.ts'
import type { LinkConnection } from '../../../ts/node/link-listener.ts'
import { socketTools as tools } from '../../support/socket-tools.ts'

async function partner(t: Test, port = 0) {
  const accepted: Socket[] = []
  const server = createServer((socket) => accepted.push(socket))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of accepted) socket.destroy()
  })
  return { accepted, server, port: (server.address() as { port: number }).port }
}

function dialer(t: Test, port: number) {
  const links: LinkConnection[] = []
  const made = new LinkDialer({ host: '127.0.0.1', port }, tools, (link) => links.push(link))
  t.teardown(() => {
    made.want(false)
    for (const { descriptor } of links) closeDescriptor(descriptor)
  })
  return { made, links }
}

async function until(condition: () => boolean, timeoutMs = 3000): Promise<boolean> {
  for (let waited = 0; waited < timeoutMs && !condition(); waited += 5) await sleep(5)
  return condition()
}

t.test('one wish is one connection', async (t) => {
  const { accepted, port } = await partner(t)
  const { made, links } = dialer(t, port)
  made.want(true)
  made.want(true)
  t.ok(await until(() => links.length === 1))
  await sleep(400)
  t.equal(links.length, 1)
  t.equal(accepted.length, 1)
  t.equal(links[0]!.leftover.length, 0)
  made.want(true)
  t.ok(await until(() => links.length === 2), 'an engine that has lost its link gets another')
})

t.test('what the partner says at once is left in the socket for the engine', async (t) => {
  const { accepted, server, port } = await partner(t)
  server.on('connection', (socket) => socket.write('hello'))
  const { made, links } = dialer(t, port)
  made.want(true)
  t.ok(await until(() => links.length === 1))
  await until(() => accepted.length === 1)
  const { Socket: NodeSocket } = await import('node:net')
  const socket = new NodeSocket({ fd: takeSocket(links[0]!.descriptor) })
  const [bytes] = await once(socket, 'data')
  t.equal(String(bytes), 'hello')
  socket.destroy()
})

t.test('a partner that is not there yet is dialed until it is', async (t) => {
  const first = await partner(t)
  first.server.close()
  await once(first.server, 'close')
  const { made, links } = dialer(t, first.port)
  made.want(true)
  await sleep(250)
  t.equal(links.length, 0)
  await partner(t, first.port)
  t.ok(await until(() => links.length === 1))
})

t.test('a wish that is taken back is not fulfilled', async (t) => {
  const { accepted, port } = await partner(t)
  const { made, links } = dialer(t, port)
  made.want(true)
  made.want(false)
  await sleep(250)
  t.equal(links.length, 0)
  t.equal(accepted.length, 0)
})
