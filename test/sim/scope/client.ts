import { assert } from '../../../ts/base/assert.ts'
import { REQUEST_MAGIC, SIMPLE_REPLY_MAGIC } from '../../../ts/format/nbd.ts'
import { type Holder, ScopeStream } from './stream.ts'
import type { ScopeWorld } from './world.ts'

export interface Request {
  readonly command: number
  readonly flags: number
  readonly offset: number
  readonly length: number
  readonly data?: Uint8Array
}

/** One NBD session that has at most one request in flight. */
export class ScopeClient {
  readonly #world: ScopeWorld
  readonly #stream: ScopeStream
  #input = new Uint8Array(0)
  #isOver = false
  #cookie = 0
  #awaited: { readonly request: Request; readonly answered: () => void } | undefined

  /** Throws if nobody serves the volume. */
  constructor(world: ScopeWorld, volume: number) {
    const node = world.owner
    assert(node?.engine !== undefined, 'somebody serves the volume')
    this.#world = world
    const [ours, theirs] = ScopeStream.pair(['server', this.#holder()], ['client', node.holder()])
    this.#stream = ours
    this.#listen()
    const leftover = new Uint8Array(0)
    node.engine.client({ stream: theirs, volume, readOnly: false, structured: false, leftover })
    node.wake()
  }

  /** The reply to one request: its error, and what was read. `answered` runs at the very moment it comes. */
  ask(request: Request, answered: () => void = () => {}): { error: number; data: Uint8Array } {
    this.#awaited = { request, answered }
    this.#send(request)
    if (!this.#world.runUntil(() => this.#isOver || this.#hasReply(request)))
      throw new Error(`no answer to command ${request.command}`)
    assert(!this.#isOver, 'the connection stays open')
    const view = new DataView(this.#input.buffer, this.#input.byteOffset)
    assert(view.getUint32(0) === SIMPLE_REPLY_MAGIC && view.getUint32(12) === this.#cookie, 'it is our reply')
    const error = view.getUint32(4)
    const data = this.#input.slice(16, 16 + (error === 0 ? readLength(request) : 0))
    this.#input = this.#input.subarray(16 + data.length)
    return { error, data }
  }

  close(): void {
    this.#stream.close()
    this.#world.runUntil(() => true)
  }

  #hasReply(request: Request): boolean {
    if (this.#input.length < 16) return false
    const error = new DataView(this.#input.buffer, this.#input.byteOffset).getUint32(4)
    return this.#input.length >= 16 + (error === 0 ? readLength(request) : 0)
  }

  #send({ command, flags, offset, length, data }: Request): void {
    this.#cookie += 1
    const bytes = new Uint8Array(28 + (data?.length ?? 0))
    const view = new DataView(bytes.buffer)
    view.setUint32(0, REQUEST_MAGIC)
    view.setUint16(4, flags)
    view.setUint16(6, command)
    view.setUint32(12, this.#cookie)
    view.setUint32(20, offset)
    view.setUint32(24, length)
    if (data !== undefined) bytes.set(data, 28)
    this.#stream.sendBytes(bytes)
  }

  #holder(): Holder {
    return {
      gathered: () => new Uint8Array(0),
      put: (_address, bytes) => {
        const joined = new Uint8Array(this.#input.length + bytes.length)
        joined.set(this.#input)
        joined.set(bytes, this.#input.length)
        this.#input = joined
        const awaited = this.#awaited
        if (awaited === undefined || !this.#hasReply(awaited.request)) return
        this.#awaited = undefined
        awaited.answered()
      },
      later: (run) => run(),
    }
  }

  #listen(): void {
    this.#stream.receive(0, 1 << 24, {
      complete: (result) => {
        if (result > 0) this.#listen()
        else this.#isOver = true
      },
    })
  }
}

const readLength = ({ command, length }: Request): number => (command === 0 ? length : 0)
