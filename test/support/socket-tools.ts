import { closeDescriptor, listenSocket, portOf } from '../../ts/adapters/native.ts'

export function freePort(host = '127.0.0.1'): number {
  const descriptor = listenSocket(host, 0)
  const port = portOf(descriptor)
  closeDescriptor(descriptor)
  return port
}
