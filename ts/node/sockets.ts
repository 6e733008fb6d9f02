import type { Socket } from 'node:net'
import { assert } from '../base/assert.ts'

/** What the addon does with descriptors that node itself cannot. */
export interface SocketTools {
  /** A blocking duplicate of a connected socket, with TCP_NODELAY: whoever gets it owns it. */
  takeSocket(descriptor: number): number
  /** Two blocking sockets that are connected to each other. */
  socketPair(): [number, number]
  /**
   * A listening socket of a group in which the newest one gets all connections. `mayBeAbsent`: this host may
   * get the address later.
   */
  listenSocket(host: string, port: number, mayBeAbsent?: boolean): number
  /** A listening socket behind those: it gets connections only while there is none of them. */
  standbySocket(host: string, port: number): number
  /** Whether any process of this host listens there in front of a standby. */
  isListenedAt(host: string, port: number): boolean
  closeDescriptor(descriptor: number): void
  signal(eventDescriptor: number): void
}

/** A connection that was taken off node's event loop. */
export interface TakenSocket {
  readonly descriptor: number
  /** bytes that had been read from it already, in order */
  readonly leftover: Uint8Array
}

/**
 * Takes the descriptor of a connected socket out of node's hands. Nothing gets lost: what node has
 * read is returned, and no read can happen between that and the closing of node's own descriptor,
 * because all of it is one synchronous step. Closing sends no FIN: the duplicate keeps the connection.
 */
export function takeOffLoop(
  socket: Socket,
  already: Uint8Array,
  tools: Pick<SocketTools, 'takeSocket'>,
): TakenSocket | undefined {
  assert(socket.writableLength === 0, 'everything said so far has been sent')
  const descriptor = descriptorOf(socket)
  if (descriptor < 0) return undefined
  const taken = tools.takeSocket(descriptor)
  const pieces = [already]
  for (let piece = socket.read(); piece !== null; piece = socket.read()) pieces.push(piece)
  socket.destroy()
  // a copy: a pooled buffer would be transferred whole
  return { descriptor: taken, leftover: Uint8Array.from(Buffer.concat(pieces)) }
}

/** The descriptor under a node socket, or -1 if it is closed. Node has no public name for it. */
function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { _handle?: { fd?: number } | null })._handle
  return handle?.fd ?? -1
}

/** Who is at the other end, for people. */
export function peerText(socket: Socket): string {
  // a Unix socket has no addresses
  if (socket.remoteAddress === undefined) return 'this host'
  return `${socket.remoteAddress}:${socket.remotePort ?? 0}`
}
