import { connect, type Socket } from 'node:net'
import { type Address, addressText } from '../config/address.ts'
import type { LinkConnection } from './link-listener.ts'
import { type SocketTools, takeOffLoop } from './sockets.ts'

const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 1000
const CONNECT_TIMEOUT_MS = 1000

/** Dials the partner for one engine, for as long as that wants a link, ever more slowly. */
export class LinkDialer {
  readonly #address: Address
  readonly #tools: SocketTools
  readonly #connected: (link: LinkConnection) => void
  #wanted = false
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #retryMs = RETRY_MIN_MS

  constructor(address: Address, tools: SocketTools, connected: (link: LinkConnection) => void) {
    this.#address = address
    this.#tools = tools
    this.#connected = connected
  }

  /** Wanting again what is wanted already means that the last connection was no good. */
  want(wanted: boolean): void {
    this.#wanted = wanted
    if (wanted) {
      if (!this.#socket && !this.#timer) this.#later()
      return
    }
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#retryMs = RETRY_MIN_MS
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #later(): void {
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
      if (this.#wanted && !this.#timer) this.#later()
    })
    socket.once('connect', () => {
      // not read from, so nothing of what the partner says stays behind
      const taken = takeOffLoop(socket, new Uint8Array(0), this.#tools)
      this.#socket = undefined
      if (taken) this.#connected({ peer: addressText(this.#address), ...taken })
      if (this.#wanted && !this.#timer) this.#later()
    })
  }
}
