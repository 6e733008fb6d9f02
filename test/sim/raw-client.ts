import { Command } from '../../ts/format/nbd.ts'
import { PLAIN_TERMS, type SessionTerms } from '../../ts/nbd/session-terms.ts'
import { formatDisk } from './format.ts'
import { type Extent, encodeRequest, ReplyParser, type ReplyReader } from './nbd-wire.ts'
import { SimStream } from './stream.ts'
import { SimWorld, type WorldOptions } from './world.ts'

/** A pair in sync with one volume of 1 MiB called `v`, for tests that tell one story. */
export function pairInSync(seed: number, options: Partial<WorldOptions> = {}): SimWorld {
  const world = new SimWorld(seed, {
    durability: 'pair',
    logPages: 256,
    diskByteLength: 24 << 20,
    ...options,
  })
  for (const aggregate of world.aggregates) formatDisk(world, aggregate)
  for (const node of world.nodes) world.start(node)
  mustCome(world, 'in sync', () => world.record?.log === 'in-sync' && world.owner !== undefined)
  mustAsk(world, 'volume-create', { name: 'v', size: 1 << 20 })
  return world
}

export function mustCome(world: SimWorld, what: string, condition: () => boolean, withinMs = 20_000): void {
  if (world.runUntil(condition, withinMs)) return
  throw new Error(`not within ${withinMs} ms: ${what}\n${world.events.slice(-20).join('\n')}`)
}

/** A request to the engine that serves, and its answer. */
export function mustAsk(world: SimWorld, name: string, body: object): unknown {
  const { owner } = world
  const request = owner!.request(name, body)
  mustCome(world, `an answer to ${name}`, () => owner!.answers.has(request))
  const { result, error } = owner!.answers.get(request)!
  if (error !== undefined) throw error
  return result
}

interface Reply {
  readonly error: number
  readonly data: Uint8Array
}

/** A session in which a test says each request by itself; with simple replies unless it asks for others. */
export class RawClient implements ReplyReader {
  readonly replies = new Map<number, Reply>()
  isClosed = false
  readonly #world: SimWorld
  readonly #stream: SimStream
  readonly #lengths = new Map<number, number>()
  readonly #terms: SessionTerms
  readonly #parser: ReplyParser
  readonly #data = new Map<number, Uint8Array>()
  readonly #offsets = new Map<number, number>()
  readonly #extents = new Map<number, Map<number, readonly Extent[]>>()
  /** chunks with data, and holes */
  pieces = 0
  #cookie = 0

  constructor(world: SimWorld, volume = 'v', terms: SessionTerms = PLAIN_TERMS) {
    this.#world = world
    this.#terms = terms
    this.#parser = new ReplyParser(this, terms)
    const node = world.owner!
    const found = node.serving.volumes.find(({ name }) => name === volume)!
    const holder = {
      gathered: () => new Uint8Array(0),
      put: (_address: number, bytes: Uint8Array) => this.#parser.take(bytes),
      deliver: (done: { complete(result: number): void }, result: number) => done.complete(result),
    }
    const ends = SimStream.pair([node.name, holder], ['client', node.holder()], world.scheduler, world.random)
    this.#stream = ends[0]
    this.#listen()
    const leftover = new Uint8Array(0)
    const arrival = { volume: found.volume, readOnly: false, terms, leftover }
    node.act(() => node.engine!.client({ stream: ends[1], ...arrival }))
  }

  /** Returns the cookie under which the reply will be in `replies`. */
  send(command: number, offset: number, length: number, data?: Uint8Array, flags = 0): number {
    this.#cookie += 1
    const cookie = this.#cookie
    this.#lengths.set(cookie, command === Command.READ ? length : 0)
    this.#offsets.set(cookie, offset)
    this.#stream.sendBytes(encodeRequest({ cookie, command, flags, offset, length, data }, this.#terms))
    return cookie
  }

  /** Waits for the reply; an error of the protocol is its `error`. */
  must(cookie: number, withinMs = 5000): Reply {
    mustCome(this.#world, `a reply to request ${cookie}`, () => this.replies.has(cookie), withinMs)
    return this.replies.get(cookie)!
  }

  write(offset: number, data: Uint8Array): void {
    const { error } = this.must(this.send(Command.WRITE, offset, data.length, data))
    if (error !== 0) throw new Error(`the write was answered with error ${error}`)
  }

  flush(): void {
    this.must(this.send(Command.FLUSH, 0, 0))
  }

  read(offset: number, length: number): Uint8Array {
    return this.must(this.send(Command.READ, offset, length)).data
  }

  /** What the first of the contexts that were asked for tells; the others must tell the same. */
  status(offset: number, length: number, flags = 0, payload?: Uint8Array): readonly Extent[] {
    const [first, ...others] = [...this.statuses(offset, length, flags, payload).values()]
    const isSame = others.every((extents) => JSON.stringify(extents) === JSON.stringify(first))
    if (!isSame) throw new Error('the contexts do not tell the same')
    return first!
  }

  /** What each context tells. */
  statuses(
    offset: number,
    length: number,
    flags = 0,
    payload?: Uint8Array,
  ): ReadonlyMap<number, readonly Extent[]> {
    const cookie = this.send(Command.BLOCK_STATUS, offset, length, payload, flags)
    const { error } = this.must(cookie)
    if (error !== 0) throw new Error(`the status was answered with error ${error}`)
    return this.#extents.get(cookie)!
  }

  close(): void {
    this.#stream.close()
  }

  // --- what the server says ------------------------------------------------------------------------

  dataLength(cookie: number): number | undefined {
    return this.#lengths.get(cookie)
  }

  data(cookie: number, offset: number | undefined, bytes: Uint8Array): void {
    this.pieces += 1
    const all = this.#data.get(cookie) ?? new Uint8Array(this.#lengths.get(cookie)!)
    all.set(bytes, offset === undefined ? 0 : offset - this.#offsets.get(cookie)!)
    this.#data.set(cookie, all)
  }

  extents(cookie: number, extents: readonly Extent[], context: number): void {
    const told = this.#extents.get(cookie) ?? new Map<number, readonly Extent[]>()
    if (told.has(context)) throw new Error(`a second chunk of context ${context}`)
    this.#extents.set(cookie, told.set(context, extents))
  }

  answered(cookie: number, error: number): void {
    this.replies.set(cookie, { error, data: this.#data.get(cookie) ?? new Uint8Array(0) })
    this.#data.delete(cookie)
  }

  #listen(): void {
    this.#stream.receive(0, 1 << 20, {
      complete: (result) => {
        if (result > 0) this.#listen()
        else this.isClosed = true
      },
    })
  }
}
