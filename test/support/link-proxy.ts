import net from 'node:net'
import { FrameKind, LinkFrame } from '../../ts/format/link-frame.ts'

export { FrameKind } from '../../ts/format/link-frame.ts'

export interface Frame {
  readonly kind: number
  readonly bytes: Buffer
}

/** 'pass' it on, 'drop' it, or 'hold' it until `release`. */
export type Verdict = 'pass' | 'drop' | 'hold'

/**
 * A TCP proxy between the partners that understands frames, so that a test can withhold exactly the
 * acknowledgements and let heartbeats pass. `forward` is what the dialling node sends.
 */
export class LinkProxy {
  readonly port: number
  /** who decides; replace it at any time */
  forward: (frame: Frame) => Verdict = () => 'pass'
  backward: (frame: Frame) => Verdict = () => 'pass'
  /** new connections are refused while it is true */
  isCut = false
  connections = 0
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()
  #held: { to: net.Socket; bytes: Buffer }[] = []

  private constructor(server: net.Server) {
    this.#server = server
    this.port = (server.address() as net.AddressInfo).port
  }

  static async start(target: { host: string; port: number }): Promise<LinkProxy> {
    const server = net.createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const proxy = new LinkProxy(server)
    server.on('connection', (socket) => proxy.#connect(socket, target))
    return proxy
  }

  get heldCount(): number {
    return this.#held.length
  }

  /** Passes on what was held, in order. */
  release(): void {
    const held = this.#held
    this.#held = []
    for (const { to, bytes } of held) if (!to.destroyed) to.write(bytes)
  }

  /** Cuts all connections, and refuses new ones until `restore`. */
  cut(): void {
    this.isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  restore(): void {
    this.isCut = false
  }

  close(): void {
    this.cut()
    this.#server.close()
  }

  #connect(near: net.Socket, target: { host: string; port: number }): void {
    if (this.isCut) return void near.destroy()
    this.connections += 1
    const far = net.connect(target)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one)
      one.setNoDelay(true)
      one.on('error', () => {})
      one.on('close', () => {
        this.#sockets.delete(one)
        other.destroy()
      })
    }
    near.on(
      'data',
      this.#pump(far, (frame) => this.forward(frame)),
    )
    far.on(
      'data',
      this.#pump(near, (frame) => this.backward(frame)),
    )
  }

  #pump(to: net.Socket, judge: (frame: Frame) => Verdict): (chunk: Buffer) => void {
    let pending: Buffer = Buffer.alloc(0)
    return (chunk) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= LinkFrame.byteLength) {
        const end = LinkFrame.byteLength + pending.readUInt32LE(LinkFrame.at.payloadByteLength)
        if (pending.length < end) return
        const frame = { kind: pending.readUInt16LE(LinkFrame.at.kind), bytes: pending.subarray(0, end) }
        pending = pending.subarray(end)
        const verdict = judge(frame)
        if (verdict === 'pass') to.write(frame.bytes)
        if (verdict === 'hold') this.#held.push({ to, bytes: frame.bytes })
      }
    }
  }
}

/** Holds what acknowledges log entries, and lets everything else pass. */
export const holdAcknowledgements = ({ kind }: Frame): Verdict =>
  kind === FrameKind.ACKNOWLEDGE ? 'hold' : 'pass'
