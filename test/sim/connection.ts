import type { Owner } from '../../ts/engine/owner.ts'
import type { SessionTerms } from '../../ts/nbd/session-terms.ts'
import type { SimEngine } from './engine-host.ts'
import { encodeRequest, ReplyParser, type ReplyReader, type Request } from './nbd-wire.ts'
import { type Holder, SimStream } from './stream.ts'

/** One NBD session of a client, and what became of the engine at its other end. */
export class Connection {
  readonly host: SimEngine
  readonly #owner: Owner | undefined
  readonly #ours: SimStream
  readonly #theirs: SimStream
  #isOpen = true
  /** what the owner had logged when this session was seen to be over on its side */
  #loggedAtEnd: number | undefined
  readonly #lost: () => void
  readonly #parser: ReplyParser
  readonly #terms: SessionTerms

  constructor(host: SimEngine, volume: number, terms: SessionTerms, reader: ReplyReader, lost: () => void) {
    this.host = host
    this.#owner = host.engine.owner
    this.#lost = lost
    this.#terms = terms
    this.#parser = new ReplyParser(reader, terms)
    const { scheduler, random } = host.world
    const ends = SimStream.pair(
      [host.node.name, this.#holder()],
      ['client', host.holder(true)],
      scheduler,
      random,
    )
    this.#ours = ends[0]
    this.#theirs = ends[1]
    const arrival = { stream: ends[1], volume, readOnly: false, terms, leftover: new Uint8Array(0) }
    this.#listen()
    host.act(() => host.engine.client(arrival))
  }

  send(request: Request): void {
    this.#ours.sendBytes(encodeRequest(request, this.#terms))
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#ours.close()
  }

  /** The kernel of a host whose process died resets its connections. */
  get hasDied(): boolean {
    return this.host.isDead
  }

  /** Whether nothing that was sent here can take effect any more, and what did can be read. */
  get isDecided(): boolean {
    const { host } = this
    const owner = host.isDead ? undefined : host.engine.owner
    const server = host.world.serverOf(host.world.aggregates[host.place]!)
    if (owner !== undefined && owner === this.#owner) {
      if (!this.#theirs.isClosed) return false
      this.#loggedAtEnd ??= owner.aggregate.ring.head - 1
      return owner.aggregate.acknowledged >= this.#loggedAtEnd
    }
    return server !== undefined && server.engine.owner !== undefined
  }

  #holder(): Holder {
    return {
      gathered: () => new Uint8Array(0),
      put: (_address, bytes) => {
        if (this.#isOpen) this.#parser.take(bytes)
      },
      deliver: (done, result) => done.complete(result),
    }
  }

  #listen(): void {
    this.#ours.receive(0, 1 << 20, {
      complete: (result) => {
        if (!this.#isOpen) return
        if (result > 0) return this.#listen()
        this.close()
        this.#lost()
      },
    })
  }
}
