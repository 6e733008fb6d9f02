import { createConnection, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { until } from './program.ts'

/** What QEMU tells over its machine protocol: it is heard, and asked nothing but to begin. */
export class Qmp {
  readonly events: { readonly event: string; readonly data?: unknown }[] = []
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
    createInterface({ input: socket }).on('line', (line) => {
      const message = JSON.parse(line) as { event?: string; data?: unknown }
      if (message.event !== undefined) this.events.push({ event: message.event, data: message.data })
    })
  }

  static async connect(path: string): Promise<Qmp> {
    const socket = await until('QEMU listens', () => connected(path))
    socket.write('{"execute":"qmp_capabilities"}\n')
    return new Qmp(socket)
  }

  close(): void {
    this.#socket.destroy()
  }
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    socket.once('connect', () => resolve(socket)).on('error', () => resolve(undefined))
  })
}
