import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { closeDescriptor } from '../../../ts/adapters/native.ts'
import type { GreetedClient } from '../../../ts/node/client-handshake.ts'
import { EventLog } from '../../../ts/node/events.ts'
import { ServiceListener } from '../../../ts/node/service-listener.ts'
import { encodeClientFlags, encodeInfoData, encodeOption, option } from '../../support/nbd-wire.ts'
import { freePort, socketTools as tools } from '../../support/socket-tools.ts'

const go = encodeOption(option.go, encodeInfoData('data'))
const handshakesMax = 1000

/** The same service address on both nodes of a pair, and clients of it. */
function pairOf(t: Test, options: { host?: string; isShared?: boolean } = {}) {
  const { host = '127.0.0.1', isShared = true } = options
  const port = freePort()
  const node = (name: string) => {
    const events = new EventLog(name, { write: () => {} })
    const greeted: GreetedClient[] = []
    const place = { address: { host, port }, aggregates: ['one'], readOnly: false, isShared }
    const listener = new ServiceListener(place, tools, events, (client) => greeted.push(client))
    const volumes = [{ volume: 3, name: 'data', size: 65536 }]
    listener.catalogue.update('one', { serves: true, because: '', volumes })
    t.teardown(() => {
      listener.close()
      for (const { descriptor } of greeted) closeDescriptor(descriptor)
    })
    return { listener, events, greeted }
  }
  /** A client, what it has heard, and whether its connection has ended. */
  const dial = async () => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    t.teardown(() => socket.destroy())
    const client = { socket, heard: 0, isClosed: false, code: '' }
    socket.on('data', (piece) => {
      client.heard += piece.length
    })
    socket.on('close', () => {
      client.isClosed = true
    })
    socket.on('error', (error) => {
      client.code = (error as NodeJS.ErrnoException).code ?? ''
    })
    await new Promise((resolve) => {
      socket.once('connect', resolve)
      socket.once('close', resolve)
    })
    return client
  }
  return { castor: node('castor'), pollux: node('pollux'), dial }
}

async function until(condition: () => boolean): Promise<boolean> {
  for (let attempt = 0; attempt < 400 && !condition(); attempt += 1) await sleep(5)
  return condition()
}

const ask = (socket: Socket) => socket.write(Buffer.concat([encodeClientFlags(), go]))

t.test('a client that finds nobody is held without a word, and greeted when this node serves', async (t) => {
  const { castor, dial } = pairOf(t)
  castor.listener.standBy()
  t.equal(castor.listener.isOpen, false)
  const quiet = await dial()
  const hasty = await dial()
  const early = Buffer.from('the first requests, which nobody may lose')
  hasty.socket.write(Buffer.concat([encodeClientFlags(), go]))
  await sleep(20)
  hasty.socket.write(early)
  await sleep(50)
  t.same([quiet.heard, hasty.heard], [0, 0], 'nothing was said')
  castor.listener.open()
  t.ok(await until(() => castor.greeted.length === 1), 'what was said early was heard')
  t.equal(Buffer.from(castor.greeted[0]!.leftover).toString(), early.toString())
  ask(quiet.socket)
  t.ok(await until(() => castor.greeted.length === 2))
  t.same([quiet.isClosed, hasty.isClosed], [false, false])
  t.same(
    castor.events.after(0).map(({ event }) => event),
    ['service-open'],
    'a standby is no event',
  )
})

t.test('who is held too long is dropped, and so is everybody when the node stops', async (t) => {
  const { castor, dial } = pairOf(t)
  castor.listener.standBy()
  const startedMs = performance.now()
  const client = await dial()
  await once(client.socket, 'close')
  const heldMs = performance.now() - startedMs
  t.ok(heldMs > 2900 && heldMs < 6000, `after ${Math.round(heldMs)} ms`)
  const other = await dial()
  await sleep(20)
  castor.listener.close()
  t.ok(await until(() => other.isClosed))
  t.equal((await dial()).code, 'ECONNREFUSED')
})

t.test('the held are bounded like those in the handshake, and forgotten when they go', async (t) => {
  const { castor, dial } = pairOf(t)
  castor.listener.standBy()
  const held = await Promise.all(Array.from({ length: handshakesMax }, dial))
  const oneMore = await dial()
  t.ok(await until(() => oneMore.isClosed), 'one more is closed at once')
  t.equal(held.filter(({ isClosed }) => isClosed).length, 0)
  for (const { socket } of held) socket.end()
  t.ok(await until(() => held.every(({ isClosed }) => isClosed)))
  const next = await dial()
  castor.listener.open()
  ask(next.socket)
  t.ok(await until(() => castor.greeted.length === 1), 'there is room again')
})

t.test('through a takeover, a restart and a giveback clients come to who serves', async (t) => {
  const { castor, pollux, dial } = pairOf(t)
  pollux.listener.standBy()
  castor.listener.standBy()
  castor.listener.open()
  const arrive = async (at: typeof castor, what: string): Promise<void> => {
    const before = at.greeted.length
    const clients = await Promise.all(Array.from({ length: 10 }, dial))
    for (const { socket } of clients) ask(socket)
    t.ok(await until(() => at.greeted.length === before + 10), what)
  }
  await arrive(castor, 'the owner serves, though it came last')

  castor.listener.close()
  const waiting = await dial()
  ask(waiting.socket)
  await sleep(50)
  t.same([waiting.code, waiting.heard], ['', 0], 'when it has died, its partner holds them')
  pollux.listener.open()
  t.ok(await until(() => pollux.greeted.length === 1), 'and serves')

  castor.listener.standBy()
  await arrive(pollux, 'what comes back as a standby takes nobody away')

  pollux.listener.standBy()
  const given = await dial()
  ask(given.socket)
  await sleep(50)
  t.same([given.code, given.heard], ['', 0], 'while it is given, the one that gets it holds them')
  const before = castor.greeted.length
  castor.listener.open()
  t.ok(await until(() => castor.greeted.length === before + 1), 'and serves')
  await arrive(castor, 'all of them')
})

t.test('who is held by the wrong node is let go when the other one serves', async (t) => {
  const { castor, pollux, dial } = pairOf(t)
  castor.listener.standBy()
  pollux.listener.standBy()
  const client = await dial()
  await sleep(20)
  const startedMs = performance.now()
  pollux.listener.open()
  t.ok(await until(() => client.isClosed))
  t.ok(performance.now() - startedMs < 1500, 'long before it would be dropped')
  ask((await dial()).socket)
  t.ok(await until(() => pollux.greeted.length === 1), 'and finds it')
})

t.test(
  'where the nodes are on different hosts, or the address is elsewhere, clients are refused',
  async (t) => {
    for (const options of [{ isShared: false }, { host: '192.0.2.1' }]) {
      const { castor, dial } = pairOf(t, options)
      castor.listener.standBy()
      t.equal((await dial()).code, 'ECONNREFUSED')
      t.same(castor.events.after(0), [], 'without a word')
    }
  },
)
