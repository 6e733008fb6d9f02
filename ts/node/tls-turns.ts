import type { TLSSocket } from 'node:tls'

/**
 * A TLS handshake takes a millisecond or more of the main thread, which also renews the leases of engines: if
 * a thousand clients finished theirs in one turn of the event loop, ownership could be lost.
 */
const UNDER_WAY_MAX = 64
const TIMEOUT_MS = 3000

/** Begins TLS with one client. */
type Begin = () => TLSSocket | undefined

/** Has clients begin TLS in the order in which they came, and few at a time. */
export class TlsTurns {
  readonly #waiting = new Set<Begin>()
  #underWay = 0

  /** `begin` is called at once or later; it may find that its client has gone. */
  take(begin: Begin): void {
    this.#waiting.add(begin)
    this.#next()
  }

  /** The client of this `begin` has gone. */
  leave(begin: Begin): void {
    this.#waiting.delete(begin)
  }

  #next(): void {
    for (const begin of this.#waiting) {
      if (this.#underWay >= UNDER_WAY_MAX) return
      this.#waiting.delete(begin)
      const socket = begin()
      if (socket) this.#watch(socket)
    }
  }

  #watch(socket: TLSSocket): void {
    this.#underWay += 1
    const late = new Error(`it took more than ${TIMEOUT_MS} ms`)
    const timer = setTimeout(() => socket.destroy(late), TIMEOUT_MS)
    let isOver = false
    const over = () => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      this.#underWay -= 1
      this.#next()
    }
    socket.once('secure', over)
    socket.once('close', over)
  }
}
