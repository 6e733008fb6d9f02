import { assert } from '../../../ts/base/assert.ts'
import { Command } from '../../../ts/format/nbd.ts'
import { PLAIN_TERMS } from '../../../ts/nbd/session-terms.ts'
import { encodeRequest, ReplyParser, type ReplyReader, type Request as Sent } from '../nbd-wire.ts'
import { type Holder, ScopeStream } from './stream.ts'
import type { ScopeWorld } from './world.ts'

export interface Request {
  readonly command: number
  readonly flags: number
  readonly offset: number
  readonly length: number
  readonly data?: Uint8Array
}

interface Reply {
  readonly error: number
  readonly data: Uint8Array
}

/** One NBD session that has at most one request in flight. */
export class ScopeClient implements ReplyReader {
  readonly #world: ScopeWorld
  readonly #stream: ScopeStream
  readonly #parser = new ReplyParser(this, PLAIN_TERMS)
  #isOver = false
  #cookie = 0
  #asked: Sent | undefined
  #data: Uint8Array = new Uint8Array(0)
  #reply: Reply | undefined
  #whenAnswered: () => void = () => {}

  /** Throws if nobody serves the volume. */
  constructor(world: ScopeWorld, volume: number) {
    const node = world.owner
    assert(node?.engine !== undefined, 'somebody serves the volume')
    this.#world = world
    const [ours, theirs] = ScopeStream.pair(['server', this.#holder()], ['client', node.holder()])
    this.#stream = ours
    this.#listen()
    const leftover = new Uint8Array(0)
    node.engine.client({ stream: theirs, volume, readOnly: false, terms: PLAIN_TERMS, leftover })
    node.wake()
  }

  /** The reply to one request: its error, and what was read. `answered` runs at the very moment it comes. */
  ask(request: Request, answered: () => void = () => {}): Reply {
    this.#cookie += 1
    this.#asked = { ...request, cookie: this.#cookie, data: request.data }
    this.#whenAnswered = answered
    this.#reply = undefined
    this.#data = new Uint8Array(0)
    this.#stream.sendBytes(encodeRequest(this.#asked))
    if (!this.#world.runUntil(() => this.#isOver || this.#reply !== undefined))
      throw new Error(`no answer to command ${request.command}`)
    assert(!this.#isOver, 'the connection stays open')
    return this.#reply!
  }

  close(): void {
    this.#stream.close()
    this.#world.runUntil(() => true)
  }

  dataLength(cookie: number): number | undefined {
    if (this.#reply !== undefined || cookie !== this.#asked?.cookie) return undefined
    return this.#asked.command === Command.READ ? this.#asked.length : 0
  }

  data(_cookie: number, _offset: number | undefined, bytes: Uint8Array): void {
    this.#data = bytes
  }

  answered(_cookie: number, error: number): void {
    this.#reply = { error, data: this.#data }
    this.#whenAnswered()
  }

  #holder(): Holder {
    return {
      gathered: () => new Uint8Array(0),
      put: (_address, bytes) => this.#parser.take(bytes),
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
