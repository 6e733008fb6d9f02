import type { Socket } from 'node:net'

/** How long a client may take to read the last that was sent to it, once its session has ended. */
const LINGER_MS = 10_000

/**
 * Copies between a client and where its requests go, until either has ended. How much waits for a slow side
 * is bounded by the buffers of the two sockets. `inner`: closes both halves at once when it ends a session.
 */
export function join(client: Socket, inner: Socket): void {
  // half a connection ends with its reader: 'end' of the one is end() of the other
  client.pipe(inner)
  inner.pipe(client)
  inner.once('end', () => linger(client))
  inner.once('error', () => client.destroy())
  inner.once('close', () => linger(client))
  client.on('error', () => client.destroy())
  client.once('close', () => {
    // what the client has said before it ended properly is still to be heard
    if (client.readableEnded) inner.destroySoon()
    else inner.destroy()
  })
}

/** Ends a connection when its client has read what was sent to it. */
function linger(client: Socket): void {
  limit(client)
  client.destroySoon()
}

/** Gives a client a while to read what was sent to it, and no longer. */
export function limit(client: Socket): void {
  if (client.destroyed) return
  const timer = setTimeout(() => client.destroy(), LINGER_MS)
  timer.unref()
  client.once('close', () => clearTimeout(timer))
}
