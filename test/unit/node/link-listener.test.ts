import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { closeDescriptor } from '../../../ts/adapters/native.ts'
import { EventLog } from '../../../ts/node/events.ts'
import { type LinkConnection, LinkListener, type LinkRoute } from '../../../ts/node/link-listener.ts'
import { helloBytes } from '../../support/link-hello.ts'
import { socketTools as tools } from '../../support/socket-tools.ts'

const address = { host: '127.0.0.1', port: 0 }

async function opened(t: Test, route: LinkRoute) {
  const events = new EventLog('castor', { write: () => {} })
  const listener = new LinkListener(events, tools, route)
  await listener.open(address)
  const sockets: Socket[] = []
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  const dial = async (): Promise<{ socket: Socket; heard: Buffer[] }> => {
    const socket = connect({ port: listener.port, host: '127.0.0.1', noDelay: true })
    sockets.push(socket)
    const heard: Buffer[] = []
    socket.on('data', (piece) => heard.push(piece))
    await once(socket, 'connect')
    return { socket, heard }
  }
  return { listener, events, dial }
}

t.test('a hello goes to its engine with all bytes that came', async (t) => {
  const links: LinkConnection[] = []
  const { dial } = await opened(t, (hello) => {
    t.equal(hello.aggregateName, 'one')
    return (link) => links.push(link)
  })
  const hello = helloBytes({ aggregateName: 'one' })
  const { socket } = await dial()
  socket.write(hello.subarray(0, 100))
  await sleep(20)
  socket.write(Buffer.concat([hello.subarray(100), Buffer.from('and a frame')]))
  for (let attempt = 0; attempt < 200 && links.length === 0; attempt += 1) await sleep(5)
  t.equal(links.length, 1)
  t.same(Buffer.from(links[0]!.leftover), Buffer.concat([hello, Buffer.from('and a frame')]))
  t.equal(socket.destroyed, false)
  closeDescriptor(links[0]!.descriptor)
})

t.test('a connection for nobody hears why before it is closed', async (t) => {
  const { dial, events } = await opened(t, () => 'it belongs to another pair')
  const { socket, heard } = await dial()
  socket.write(helloBytes({}))
  await once(socket, 'end')
  t.ok(Buffer.concat(heard).includes('it belongs to another pair'))
  t.match(events.after(0), [{ event: 'link-refused', text: /another pair/ }])
})

t.test('nonsense is refused with an event, and silence costs nothing', async (t) => {
  const { dial, events } = await opened(t, () => t.fail('it is no hello') as never)
  const silent = await dial()
  const { socket } = await dial()
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: something that is no partner at all\r\n\r\n')
  await once(socket, 'end')
  t.match(events.after(0), [{ event: 'link-refused', text: /no frame of a Pollux link/ }])
  t.equal(silent.socket.destroyed, false)
})

t.test('an address that is taken is named', async (t) => {
  const other = createServer()
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const listener = new LinkListener(new EventLog('castor', { write: () => {} }), tools, () => 'no')
  await t.rejects(listener.open({ host: '127.0.0.1', port }), {
    code: 'PORT_IN_USE',
    message: new RegExp(`127.0.0.1:${port}.*change link.listen`),
  })
})
