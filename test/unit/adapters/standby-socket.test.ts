import { existsSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { isListenedAt, listenSocket, standbySocket } from '../../../ts/adapters/native.ts'
import { isStoreError } from '../../../ts/base/errors.ts'
import { freePort } from '../../support/socket-tools.ts'

const CLIENTS = 30

/** What comes to an address, from listeners that name themselves to everybody who connects. */
class Place {
  readonly #port = freePort()
  readonly #host: string
  readonly #servers = new Map<string, Server>()

  constructor(t: Test, host = '127.0.0.1') {
    this.#host = host
    t.teardown(() => {
      for (const name of [...this.#servers.keys()]) this.close(name)
    })
  }

  get isListenedAt(): boolean {
    return isListenedAt(this.#host, this.#port)
  }

  serve(name: string): void {
    this.#open(name, listenSocket(this.#host, this.#port))
  }

  standBy(name: string): void {
    this.#open(name, standbySocket(this.#host, this.#port))
  }

  close(name: string): void {
    this.#servers.get(name)!.close()
    this.#servers.delete(name)
  }

  /** Who answers, from many attempts: the names are in order. */
  async answers(): Promise<string[]> {
    const answers = await Promise.all(Array.from({ length: CLIENTS }, () => this.#answer()))
    return [...new Set(answers)].sort()
  }

  #open(name: string, fd: number): void {
    this.#servers.set(name, createServer((socket) => socket.end(name)).listen({ fd }))
  }

  #answer(): Promise<string> {
    return new Promise((resolve) => {
      let text = ''
      const socket = connect(this.#port, '127.0.0.1')
      socket.on('data', (piece) => {
        text += piece
      })
      socket.on('error', (error) => resolve((error as NodeJS.ErrnoException).code!))
      socket.on('close', () => resolve(text))
    })
  }
}

for (const host of ['127.0.0.1', '0.0.0.0']) {
  t.test(`a standby at ${host} gets connections only while nobody serves, whoever came first`, async (t) => {
    const place = new Place(t, host)
    t.same(await place.answers(), ['ECONNREFUSED'])
    place.standBy('castor waits')
    t.same(await place.answers(), ['castor waits'], 'alone')
    t.equal(place.isListenedAt, false)

    place.serve('castor serves')
    t.same(await place.answers(), ['castor serves'], 'an owner after its own standby')
    t.equal(place.isListenedAt, true)
    place.standBy('pollux waits')
    t.same(await place.answers(), ['castor serves'], 'a standby after the owner')
    place.close('castor waits')
    t.same(await place.answers(), ['castor serves'], 'the first of the standbys has gone')

    place.serve('pollux serves')
    t.same(await place.answers(), ['pollux serves'], 'the owner was stopped, and the partner has taken over')
    place.close('castor serves')
    t.same(await place.answers(), ['pollux serves'], 'it was fenced when it went on')
    place.standBy('castor waits')
    t.same(await place.answers(), ['pollux serves'], 'and stands by')

    place.close('pollux waits')
    place.standBy('pollux waits')
    place.close('pollux serves')
    t.same(await place.answers(), ['castor waits'], 'who gives has the youngest standby')
    place.serve('castor serves')
    t.same(await place.answers(), ['castor serves'], 'who gets serves')

    place.close('castor waits')
    place.close('castor serves')
    t.same(await place.answers(), ['pollux waits'], 'the owner was killed')
    place.close('pollux waits')
    t.same(await place.answers(), ['ECONNREFUSED'], 'nobody is left')
  })
}

t.test('there is no standby at an address that is not here, is taken, or is of IPv6', async (t) => {
  const attempt = (host: string, port: number): string => {
    try {
      return String(standbySocket(host, port))
    } catch (error) {
      return isStoreError(error) ? `${error.code}: ${error.message}` : String(error)
    }
  }
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  t.match(attempt('127.0.0.1', port), /PORT_IN_USE: .*127.0.0.1:\d+: another process/)
  server.close()
  t.match(attempt('192.0.2.1', port), /PORT_IN_USE: .*EADDRNOTAVAIL/)
  if (existsSync('/proc/net/if_inet6')) t.match(attempt('::1', port), /PORT_IN_USE: .*EAFNOSUPPORT/)
})
