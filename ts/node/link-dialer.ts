import { connect, type Socket } from 'node:net'
import { type Address, addressText } from '../config/address.ts'
import type { LinkConnection } from './link-listener.ts'
import { type SocketTools, takeOffLoop } from './sockets.ts'

const RETRY_MIN_MS = 10
const RETRY_MAX_MS = 1000
const CONNECT_TIMEOUT_MS = 1000

/** A connection that lasted this long was good: the next dial comes at once again. */
const GOOD_AFTER_MS = 2000

/**
 * Dials the partner for one engine whenever that wants a link, ever more slowly while it is of no use.
 * One wish is one connection: an engine that loses its link wishes again.
 */
export class LinkDialer {
  readonly #address: Address
  readonly #tools: SocketTools
  readonly #connected: (link: LinkConnection) => void
  #wanted = false
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #retryMs = RETRY_MIN_MS
  #connectedMs = Number.NEGATIVE_INFINITY

  constructor(address: Address, tools: SocketTools, connected: (link: LinkConnection) => void) {
    this.#address = address
    this.#tools = tools
    this.#connected = connected
  }

  want(wanted: boolean): void {
    this.#wanted = wanted
    if (!wanted) return this.#cancel()
    if (performance.now() - this.#connectedMs > GOOD_AFTER_MS) this.#retryMs = RETRY_MIN_MS
    this.#later()
  }

  #cancel(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #later(): void {
    if (!this.#wanted || this.#timer || this.#socket) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#dial()
    }, this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS)
  }

  #dial(): void {
    const socket = connect({ host: this.#address.host, port: this.#address.port, allowHalfOpen: true })
    this.#socket = socket
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy())
    socket.on('error', () => {})
    socket.once('close', () => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#later()
    })
    socket.once('connect', () => {
      // not read from so far, so nothing of what the partner says stays behind
      const taken = takeOffLoop(socket, new Uint8Array(0), this.#tools)
      // it was reset meanwhile: its end is noticed like that of any other dial
      if (!taken) return
      this.#socket = undefined
      this.#wanted = false
      this.#connectedMs = performance.now()
      this.#connected({ peer: addressText(this.#address), ...taken })
    })
  }
}
