import { connect, type Socket } from 'node:net'
import type { Address } from '../config/address.ts'
import type { ClientHandshake } from './client-handshake.ts'
import { join } from './joined-sockets.ts'

const RETRY_MS = 50
const KEEP_ALIVE_MS = 30_000

/**
 * Passes clients on to the address at which the owner serves, so that they may come to either node. Every
 * byte is passed as it is, the greeting and TLS included: whom the owner takes, and for what, stays its own
 * affair.
 */
export class Forwarder {
  readonly #to: Address
  readonly #clients = new Set<Socket>()

  constructor(to: Address) {
    this.#to = to
  }

  /** Clients that are passed on now. */
  get count(): number {
    return this.#clients.size
  }

  /** Tries to pass on a client as long as it is held: during a takeover nobody serves for a moment. */
  take(handshake: ClientHandshake): void {
    if (!handshake.isHeld) return
    const inner = connect({ ...this.#to, noDelay: true, allowHalfOpen: true })
    const tryAgain = (): void => {
      inner.destroy()
      setTimeout(() => this.take(handshake), RETRY_MS).unref()
    }
    inner.once('error', tryAgain)
    inner.once('connect', () => {
      inner.off('error', tryAgain)
      this.#passOn(handshake.release(), inner)
    })
  }

  /** Closes all of them: this node serves now, or stops, and what had no answer stays without one. */
  end(): void {
    for (const client of this.#clients) client.destroy()
  }

  #passOn(client: Socket | undefined, inner: Socket): void {
    if (client === undefined) {
      inner.destroy()
      return
    }
    for (const socket of [client, inner]) socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.#clients.add(client)
    client.once('close', () => this.#clients.delete(client))
    join(client, inner)
  }
}
