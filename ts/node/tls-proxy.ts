import { Socket } from 'node:net'
import { join, limit } from './joined-sockets.ts'
import type { SocketTools } from './sockets.ts'

/**
 * Clients whose connections node itself has to read, because they are TLS. Engines have descriptors
 * only: each gets one end of a pair of sockets, and what passes between the other end and the client is
 * copied here. How much waits for a slow side is bounded by the buffers of the two sockets.
 */
export class TlsProxies {
  readonly #aggregates = new Map<Socket, string>()

  get count(): number {
    return this.#aggregates.size
  }

  /** The descriptor for the engine of an aggregate, or undefined if there is no client any more. */
  open(client: Socket, aggregate: string, tools: SocketTools): number | undefined {
    if (client.destroyed) return undefined
    let ends: [number, number]
    try {
      ends = tools.socketPair()
    } catch {
      // out of descriptors: one client less is better than none at all
      client.destroy()
      return undefined
    }
    const [descriptor, own] = ends
    this.#aggregates.set(client, aggregate)
    client.once('close', () => this.#aggregates.delete(client))
    join(client, new Socket({ fd: own, allowHalfOpen: true }))
    return descriptor
  }

  /** The engine closes all its ends now. A client that does not read would keep that from being noticed. */
  end(aggregate: string): void {
    for (const [client, of] of this.#aggregates) if (of === aggregate) limit(client)
  }
}
