import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { closeDescriptor } from '../../ts/adapters/native.ts'
import type { GreetedClient } from '../../ts/node/client-handshake.ts'
import { EventLog } from '../../ts/node/events.ts'
import { ServiceListener } from '../../ts/node/service-listener.ts'
import { freePort, socketTools as tools } from './socket-tools.ts'

/** An open service with one volume, what it has greeted, and a way in. */
export function service(t: Test) {
  const port = freePort()
  const events = new EventLog('castor', { write: () => {} })
  const greeted: GreetedClient[] = []
  const listener = new ServiceListener(
    { address: { host: '127.0.0.1', port }, aggregates: ['one'], readOnly: false, isShared: true },
    tools,
    events,
    (client) => greeted.push(client),
  )
  const volumes = [{ volume: 3, name: 'data', size: 65536 }]
  listener.catalogue.update('one', { serves: true, because: '', volumes })
  const sockets: Socket[] = []
  const dial = async (): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
    for (const { descriptor } of greeted) closeDescriptor(descriptor)
  })
  return { listener, greeted, dial, events, port }
}

export async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 400 && !condition(); attempt += 1) await sleep(5)
}

/** Everything that the service says, collected. */
export function hear(socket: Socket): { bytes: Buffer } {
  const heard = { bytes: Buffer.alloc(0) }
  socket.on('data', (piece) => {
    heard.bytes = Buffer.concat([heard.bytes, piece])
  })
  return heard
}
