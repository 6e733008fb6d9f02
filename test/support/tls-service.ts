import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import * as tls from 'node:tls'
import type { Test } from 'tap'
import { closeDescriptor } from '../../ts/adapters/native.ts'
import type { TlsConfig } from '../../ts/config/node-config.ts'
import type { GreetedClient } from '../../ts/node/client-handshake.ts'
import { EventLog } from '../../ts/node/events.ts'
import { ServiceListener } from '../../ts/node/service-listener.ts'
import { TlsFiles } from '../../ts/node/tls-files.ts'
import { TlsGate } from '../../ts/node/tls-gate.ts'
import type { Certificates, KeyPair } from './certificates.ts'
import { decodeOptionReplies, encodeClientFlags, encodeOption, option, optionReply } from './nbd-wire.ts'
import { freePort, socketTools as tools } from './socket-tools.ts'

export async function until(condition: () => boolean, timeoutMs = 5000): Promise<boolean> {
  for (const startedMs = performance.now(); performance.now() - startedMs < timeoutMs && !condition(); )
    await sleep(5)
  return condition()
}

/** Services whose clients come over TLS, and ways in, with the certificates of one authority. */
export function tlsServices(certificates: Certificates) {
  const authority = certificates.authority.certificate

  /** A service over TLS with two volumes, and whom it has greeted. */
  function service(
    t: Test,
    more: Partial<TlsConfig> = {},
    place: { path?: string; isShared?: boolean } = {},
  ) {
    const { certificate, key } = certificates.server
    const config = { certificate, key, authority, required: true, ...more }
    const full: TlsConfig = { volumesByClient: undefined, ...config }
    const events = new EventLog('castor', { write: () => {} })
    const gate = new TlsGate(full, new TlsFiles(full), events)
    const greeted: GreetedClient[] = []
    const port = freePort()
    const address = place.path === undefined ? { host: '127.0.0.1', port } : { path: place.path }
    const listener = new ServiceListener(
      { address, aggregates: ['one'], readOnly: false, isShared: place.isShared ?? false },
      tools,
      events,
      (client) => greeted.push(client),
      gate,
    )
    const volumes = ['data', 'logs'].map((name, volume) => ({ volume, name, size: 65536 }))
    listener.catalogue.update('one', { serves: true, because: '', volumes })
    listener.open()
    t.teardown(() => {
      listener.close()
      for (const { descriptor } of greeted) closeDescriptor(descriptor)
    })
    const told = () => events.after(0).flatMap(({ event, text }) => (event === 'tls-refused' ? [text] : []))
    return { listener, gate, greeted, port, told, events }
  }

  /** A connection that has asked for TLS, and has the node's word for it. */
  async function asked(t: Test, port: number): Promise<Socket> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.write(Buffer.concat([encodeClientFlags(), encodeOption(option.startTls)]))
    let heard = Buffer.alloc(0)
    while (heard.length < 18 + 20) {
      const [piece] = (await once(socket, 'data')) as [Buffer]
      heard = Buffer.concat([heard, piece])
    }
    t.same(
      decodeOptionReplies(heard.subarray(18)).map(({ kind }) => kind),
      [optionReply.ack],
    )
    return socket
  }

  async function secured(t: Test, port: number, who?: KeyPair, more: tls.ConnectionOptions = {}) {
    const socket = await asked(t, port)
    const keys = who && { cert: readFileSync(who.certificate), key: readFileSync(who.key) }
    const ca = readFileSync(authority)
    const client = tls.connect({ socket, ca, host: '127.0.0.1', ...keys, ...more })
    const heard = { bytes: Buffer.alloc(0), error: '', closed: false }
    client.on('data', (piece: Buffer) => {
      heard.bytes = Buffer.concat([heard.bytes, piece])
    })
    client.on('error', (error) => {
      heard.error = error.message
    })
    client.once('close', () => {
      heard.closed = true
    })
    return { client, socket, heard }
  }

  return { service, asked, secured }
}
