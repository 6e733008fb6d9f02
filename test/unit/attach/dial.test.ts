import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { closeDescriptor, isHungUp } from '../../../ts/adapters/native.ts'
import { dial, isAllZero } from '../../../ts/attach/dial.ts'
import { parseTarget } from '../../../ts/attach/target.ts'
import { Handshake } from '../../../ts/nbd/handshake.ts'
import { catalogOf, exportOf } from '../../support/nbd-catalog.ts'
import { startMemoryServer } from '../../support/nbd-memory-server.ts'

async function serve(t: Test, greet: (socket: Socket) => void): Promise<string> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    greet(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `nbd://127.0.0.1:${(server.address() as { port: number }).port}/vol0`
}

t.test('an opened volume is a descriptor that lives and dies with its server', async (t) => {
  let client: Socket | undefined
  const uri = await serve(t, (socket) => {
    client = socket
    const handshake = new Handshake(catalogOf(exportOf('vol0', { byteLength: 8192 })))
    socket.write(handshake.greeting())
    socket.on('data', (bytes) => socket.write(handshake.feed(bytes).send))
  })
  const { descriptor, opened } = await dial(parseTarget(uri))
  t.match(opened, { byteLength: 8192 })
  t.notOk(isHungUp(descriptor))
  client!.destroy()
  await once(client!, 'close')
  t.ok(isHungUp(descriptor))
  closeDescriptor(descriptor)
})

t.test('who does not answer as a server does is named with the address', async (t) => {
  const cases: [(socket: Socket) => void, RegExp][] = [
    [(socket) => socket.end(), /127\.0\.0\.1:\d+: the server has closed the connection/],
    [(socket) => socket.end('HTTP/1.1 400 Bad Request\r\n'), /not an NBD server of today/],
  ]
  for (const [greet, message] of cases) {
    await t.rejects(dial(parseTarget(await serve(t, greet))), { code: 'ATTACH_FAILED', message })
  }
  await t.rejects(dial(parseTarget('nbd://127.0.0.1:1/x')), { message: /127\.0\.0\.1:1: no connection/ })
  const missing = parseTarget('nbd+unix:///x?socket=/none/there')
  await t.rejects(dial(missing), { message: /unix:\/none\/there: no connection \(ENOENT\)/ })
})

t.test('a server is asked whether a volume has data', async (t) => {
  const exports = [exportOf('vol0', { byteLength: 8192 }), exportOf('empty', { byteLength: 0 })]
  const server = await startMemoryServer(catalogOf(...exports))
  t.teardown(() => server.close())
  const place = `nbd://127.0.0.1:${server.port}`
  t.equal(await isAllZero(parseTarget(`${place}/vol0`)), false, 'this one says that all is data')
  t.equal(await isAllZero(parseTarget(`${place}/empty`)), true)
  await t.rejects(isAllZero(parseTarget(`${place}/none`)), { code: 'ATTACH_FAILED', message: /"none"/ })
})
