import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'

/** Below the range from which the kernel takes ports for outgoing connections. */
const PORT_MIN = 20_000
const PORT_END = 32_000

/** Ports on loopback that nobody uses now. They are kept for the life of the pair. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = []
  const ports: number[] = []
  while (ports.length < count) {
    const port = randomInt(PORT_MIN, PORT_END)
    const server = await listen(port)
    if (!server) continue
    servers.push(server)
    ports.push(port)
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

function listen(port: number): Promise<Server | undefined> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
