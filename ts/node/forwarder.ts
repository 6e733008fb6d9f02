import { connect, type Socket } from 'node:net'
import type { Address } from '../config/address.ts'
import type { ClientHandshake } from './client-handshake.ts'
import { join } from './joined-sockets.ts'

const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 400
/** A host that has just died answers nothing: the address may be another one's by the next attempt. */
const CONNECT_MS = 500
const KEEP_ALIVE_MS = 30_000
const TICK_MS = 500
/**
 * Who has not run for so long passes nothing on any more. A client that was waiting may have gone to the
 * owner itself, and have written again what it said here: to bring that late would undo what it has written
 * since.
 */
const STALL_MS = 3000

/**
 * Passes clients on to the address at which the owner serves, so that they may come to either node. Every
 * byte is passed as it is, the greeting and TLS included: whom the owner takes, and for what, stays its own
 * affair.
 */
export class Forwarder {
  readonly #to: Address
  readonly #clients = new Set<Socket>()
  #ranAtMs = 0
  #ticks: NodeJS.Timeout | undefined

  constructor(to: Address) {
    this.#to = to
  }

  /** Clients that are passed on now. */
  get count(): number {
    return this.#clients.size
  }

  /** Tries to pass on a client as long as it is held: during a takeover nobody serves for a moment. */
  take(handshake: ClientHandshake, retryMs = RETRY_FIRST_MS): void {
    if (!handshake.isHeld) return
    const inner = connect({ ...this.#to, noDelay: true, allowHalfOpen: true })
    const limit = setTimeout(() => inner.destroy(), CONNECT_MS)
    const tryAgain = (): void => {
      clearTimeout(limit)
      setTimeout(() => this.take(handshake, Math.min(retryMs * 2, RETRY_MAX_MS)), retryMs).unref()
    }
    inner.once('error', () => {})
    inner.once('close', tryAgain)
    inner.once('connect', () => {
      clearTimeout(limit)
      inner.off('close', tryAgain)
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
    client.once('close', () => this.#forget(client))
    this.#ticks ??= this.#startTicks()
    // before what is read goes on its way
    client.on('data', () => {
      if (!this.#isInTime()) inner.destroy()
    })
    join(client, inner)
  }

  #forget(client: Socket): void {
    this.#clients.delete(client)
    if (this.#clients.size > 0) return
    clearInterval(this.#ticks)
    this.#ticks = undefined
  }

  #startTicks(): NodeJS.Timeout {
    this.#ranAtMs = performance.now()
    return setInterval(() => {
      if (this.#isInTime()) this.#ranAtMs = performance.now()
    }, TICK_MS).unref()
  }

  /** False: this process did not run for a while, and all clients are closed. */
  #isInTime(): boolean {
    if (performance.now() - this.#ranAtMs < STALL_MS) return true
    this.end()
    return false
  }
}
