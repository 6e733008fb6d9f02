import { createServer, type Server, type Socket } from 'node:net'
import type { ListenAddress } from '../config/address.ts'
import type { SocketTools } from './sockets.ts'

/**
 * Takes connections at a service address while nobody serves there: without it the clients of a killed
 * owner are refused until the partner has taken over, and some of them then sleep for a second. Where it
 * cannot listen it is just not there, without a word: clients are refused then.
 */
export class StandbyListener {
  readonly #address: ListenAddress
  readonly #tools: SocketTools
  readonly #accept: (socket: Socket) => void
  #server: Server | undefined

  constructor(address: ListenAddress, tools: SocketTools, accept: (socket: Socket) => void) {
    this.#address = address
    this.#tools = tools
    this.#accept = accept
  }

  open(): void {
    const address = this.#address
    if (this.#server || 'path' in address) return
    let descriptor: number
    try {
      descriptor = this.#tools.standbySocket(address.host, address.port)
    } catch {
      return
    }
    const server = createServer({ allowHalfOpen: true, noDelay: true }, this.#accept)
    server.on('error', () => {
      if (this.#server === server) this.close()
    })
    this.#server = server
    server.listen({ fd: descriptor })
  }

  close(): void {
    this.#server?.close()
    this.#server = undefined
  }
}
