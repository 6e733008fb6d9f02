import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { hostAddresses as addresses } from '../../../ts/adapters/addresses.ts'
import { closeDescriptor, listenSocket, portOf } from '../../../ts/adapters/native.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const ORIGIN = 0x7f
/** Of the loopback, and of nobody else. */
const FREE = `127.91.${process.pid & 255}.${1 + ((process.pid >> 8) % 200)}`

t.test('the loopback is up, and no Ethernet; another interface may not be there', async (t) => {
  t.match(addresses.stateOf('lo'), { index: Number, isUp: true, isRunning: true, mac: undefined })
  t.equal(addresses.stateOf('no-such-thing'), undefined)
  for (const [name, all] of Object.entries(networkInterfaces())) {
    const mac = addresses.stateOf(name)?.mac
    if (mac !== undefined) t.equal(Buffer.from(mac).toString('hex'), all![0]!.mac.replaceAll(':', ''))
  }
})

t.test('addresses of this host are found where they are', async (t) => {
  const { index } = addresses.stateOf('lo')!
  t.match(addresses.find('127.0.0.1'), [{ index, prefixLength: 8 }])
  t.same(addresses.find('203.0.113.1'), [])
  t.throws(() => addresses.find('storage.example'), { code: 'ADDRESS_UNUSABLE', message: /EINVAL/ })
})

t.test('an address comes, is kept, and goes', { skip }, async (t) => {
  const place = { index: addresses.stateOf('lo')!.index, prefixLength: 32, origin: ORIGIN }
  t.teardown(() => addresses.remove(FREE, place))
  addresses.set(FREE, place, 5)
  t.same(addresses.find(FREE), [place])
  addresses.set(FREE, place, 1)
  t.same(addresses.find(FREE), [place], 'it is there once')
  addresses.remove(FREE, place)
  t.same(addresses.find(FREE), [])
  t.doesNotThrow(() => addresses.remove(FREE, place), 'it may be gone already')
  const v6 = { ...place, prefixLength: 128 }
  if (addresses.find('::1').length === 0) return t.comment('this host has no IPv6')
  addresses.set('fd00:91::1', v6, 5)
  t.same(addresses.find('fd00:91::1'), [v6])
  addresses.remove('fd00:91::1', v6)
})

t.test('an address that nobody keeps is removed by the kernel', { skip }, async (t) => {
  const place = { index: addresses.stateOf('lo')!.index, prefixLength: 32, origin: ORIGIN }
  addresses.set(FREE, place, 1)
  for (let waits = 0; waits < 100 && addresses.find(FREE).length > 0; waits += 1) await sleep(50)
  t.same(addresses.find(FREE), [])
})

t.test(
  'clients of an address are told when their connections end, those of another one are not',
  { skip },
  async (t) => {
    const place = { index: addresses.stateOf('lo')!.index, prefixLength: 32, origin: ORIGIN }
    const descriptor = listenSocket(FREE, 0)
    const port = portOf(descriptor)
    const server = createServer((socket) => socket.on('error', () => {}))
    server.listen({ fd: descriptor })
    const other = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
    await once(other, 'listening')
    t.teardown(() => {
      server.close()
      other.close()
      addresses.remove(FREE, place)
    })
    addresses.set(FREE, place, 5)
    const client = connect({ port, host: FREE, localAddress: '127.0.0.1' })
    const bystander = connect((other.address() as { port: number }).port, '127.0.0.1')
    t.teardown(() => bystander.destroy())
    await Promise.all([once(client, 'connect'), once(bystander, 'connect')])
    const ended = once(client, 'error') as Promise<[NodeJS.ErrnoException]>
    addresses.resetConnections(FREE)
    t.equal((await ended)[0].code, 'ECONNRESET')
    const [refused] = (await once(connect({ port, host: FREE }), 'error')) as [NodeJS.ErrnoException]
    t.equal(refused.code, 'ECONNREFUSED', 'nobody is let in again')
    await sleep(20)
    t.equal(bystander.destroyed, false)
  },
)

t.test('who has come over IPv4 to a listener of both families is told, too', { skip }, async (t) => {
  const place = { index: addresses.stateOf('lo')!.index, prefixLength: 32, origin: ORIGIN }
  if (addresses.find('::1').length === 0) return t.comment('this host has no IPv6')
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '::')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    addresses.remove(FREE, place)
  })
  addresses.set(FREE, place, 5)
  const { port } = server.address() as { port: number }
  const client = connect({ port, host: FREE, localAddress: '127.0.0.1' })
  const bystander = connect({ port, host: '127.0.0.1' })
  t.teardown(() => bystander.destroy())
  await Promise.all([once(client, 'connect'), once(bystander, 'connect')])
  const ended = once(client, 'error') as Promise<[NodeJS.ErrnoException]>
  addresses.resetConnections(FREE)
  t.equal((await ended)[0].code, 'ECONNRESET')
  await sleep(20)
  t.equal(bystander.destroyed, false)
  const another = connect({ port, host: FREE })
  t.teardown(() => another.destroy())
  await once(another, 'connect')
  t.pass('a listener at all addresses stays')
})

t.test('a host says whether its other addresses would go along', async (t) => {
  t.type(addresses.promotesSecondaries('lo'), 'boolean')
  t.ok(Array.isArray(addresses.macsHere()))
})

t.test('a listener may come before its address', async (t) => {
  t.throws(() => listenSocket('203.0.113.1', 10809), /EADDRNOTAVAIL/)
  closeDescriptor(listenSocket('203.0.113.1', 10809, true))
})
