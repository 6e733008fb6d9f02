import {
  closeDescriptor,
  isListenedAt,
  listenSocket,
  portOf,
  signalEventfd,
  socketPair,
  standbySocket,
  takeSocket,
} from '../../ts/adapters/native.ts'
import type { SocketTools } from '../../ts/node/sockets.ts'

/** What a node has. */
export const socketTools: SocketTools = {
  takeSocket,
  socketPair,
  listenSocket,
  standbySocket,
  isListenedAt,
  closeDescriptor,
  signal: signalEventfd,
}

export function freePort(host = '127.0.0.1'): number {
  const descriptor = listenSocket(host, 0)
  const port = portOf(descriptor)
  closeDescriptor(descriptor)
  return port
}
