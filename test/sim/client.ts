import { assert } from '../../ts/base/assert.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { ChunkType, Command, CommandFlag, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC } from '../../ts/format/nbd.ts'
import type { SimNode } from './node.ts'
import type { Random } from './random.ts'
import { type Holder, SimStream } from './stream.ts'
import type { SimWorld } from './world.ts'

interface Operation {
  cookie: number
  command: number
  flags: number
  offset: number
  length: number
  data: Uint8Array | undefined
  read: Uint8Array | undefined
}

/**
 * A client with an oracle: it knows every byte that was acknowledged. Like a virtual machine it never
 * has two requests for one block in flight, and like QEMU it sends again what had no answer when the
 * connection broke. So each read has exactly one right answer.
 */
export class SimClient {
  readonly model: Uint8Array
  acknowledged = 0
  reads = 0
  reconnects = 0
  /** what was answered with an error, by command; expected ones are listed by the test */
  errors: string[] = []
  isIdle = false
  readonly #volume: string
  readonly #world: SimWorld
  readonly #random: Random
  readonly #structured: boolean
  readonly #outstanding = new Map<number, Operation>()
  readonly #busy = new Set<number>()
  #cookie = 0
  #stream: SimStream | undefined
  #buffer = new Uint8Array(0)
  #session = 0
  /** the process that it is connected to: when it dies, its kernel resets the connection */
  #server: { node: SimNode; boot: number } | undefined

  constructor(world: SimWorld, volume: string, byteLength: number) {
    this.#world = world
    this.#random = world.random
    this.#volume = volume
    this.#structured = world.random.chance(0.7)
    this.model = new Uint8Array(byteLength)
    this.#tick()
  }

  get isConnected(): boolean {
    return this.#stream !== undefined
  }

  get inFlight(): number {
    return this.#outstanding.size
  }

  /** Reads everything once, nothing else going on, and compares. */
  verifyAll(): void {
    for (let offset = 0; offset < this.model.length; offset += 64 * BLOCK_SIZE) {
      const length = Math.min(64 * BLOCK_SIZE, this.model.length - offset)
      this.#issue(Command.READ, 0, offset, length, undefined)
    }
  }

  #tick(): void {
    if (this.#server !== undefined && this.#server.node.boot !== this.#server.boot) this.giveUp()
    if (this.#stream === undefined) this.#connect()
    else if (!this.isIdle) for (let i = 0; i < 1 + this.#random.below(4); i += 1) this.#next()
    this.#world.scheduler.after(this.#random.between(0.1, 4), () => this.#tick())
  }

  #connect(): void {
    const node = this.#world.nodes.find((one) => one.isAlive && !one.isPaused && one.serving.serves)
    const volume = node?.serving.volumes.find((one) => one.name === this.#volume)
    if (node === undefined || volume === undefined) return
    this.#session += 1
    this.reconnects += 1
    this.#server = { node, boot: node.boot }
    const [ours, theirs] = this.#pair(node)
    this.#stream = ours
    this.#buffer = new Uint8Array(0)
    this.#listen(this.#session)
    const arrival = {
      stream: theirs,
      volume: volume.volume,
      readOnly: false,
      structured: this.#structured,
      leftover: new Uint8Array(0),
    }
    node.act(() => node.engine!.client(arrival))
    for (const operation of this.#outstanding.values()) this.#send(operation)
  }

  #pair(node: SimNode): [SimStream, SimStream] {
    const holder: Holder = {
      gathered: () => new Uint8Array(0),
      put: (_address, bytes) => {
        const joined = new Uint8Array(this.#buffer.length + bytes.length)
        joined.set(this.#buffer)
        joined.set(bytes, this.#buffer.length)
        this.#buffer = joined
      },
      deliver: (done, result) => done.complete(result),
    }
    return SimStream.pair([node.name, holder], ['client', node.holder()], this.#world.scheduler, this.#random)
  }

  #listen(session: number): void {
    this.#stream!.receive(0, 1 << 20, {
      complete: (result) => {
        if (session !== this.#session) return
        if (result <= 0) return this.#disconnected()
        this.#parse()
        if (this.#stream !== undefined && session === this.#session) this.#listen(session)
      },
    })
  }

  /** The owner has been silent for too long, or the connection has ended: look for the owner again. */
  #disconnected(): void {
    this.#stream?.close()
    this.#stream = undefined
    this.#server = undefined
    this.#session += 1
  }

  /** A stopped owner keeps connections open: a client gives up after a while. */
  giveUp(): void {
    if (this.#stream !== undefined) this.#disconnected()
  }

  #next(): void {
    if (this.#outstanding.size >= 16) return
    const [offset, length] = this.#range()
    if (this.#overlaps(offset, length)) return
    const dice = this.#random.below(100)
    const fua = this.#random.chance(0.1) ? CommandFlag.FUA : 0
    if (dice < 35) this.#issue(Command.READ, 0, offset, length, undefined)
    else if (dice < 85) this.#issue(Command.WRITE, fua, offset, length, this.#bytes(length))
    else if (dice < 90) this.#issue(Command.WRITE_ZEROES, fua, offset, length, undefined)
    else if (dice < 94) this.#issue(Command.TRIM, fua, align(offset), alignDown(length), undefined)
    else this.#issue(Command.FLUSH, 0, 0, 0, undefined)
  }

  #range(): [number, number] {
    const blocks = this.model.length / BLOCK_SIZE
    if (this.#random.chance(0.75)) {
      const count = 1 + this.#random.below(this.#random.chance(0.2) ? 80 : 4)
      const first = this.#random.below(blocks)
      return [first * BLOCK_SIZE, Math.min(count, blocks - first) * BLOCK_SIZE]
    }
    const offset = this.#random.below(this.model.length)
    return [offset, Math.min(1 + this.#random.below(10000), this.model.length - offset)]
  }

  #bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const words = this.#random.u32()
    for (let i = 0; i < length; i += 1) bytes[i] = (words >>> (8 * (i & 3))) ^ (i >>> 4)
    return bytes
  }

  #issue(command: number, flags: number, offset: number, length: number, data: Uint8Array | undefined): void {
    if (length === 0 && command !== Command.FLUSH) return
    this.#cookie += 1
    const operation = { cookie: this.#cookie, command, flags, offset, length, data, read: undefined }
    this.#outstanding.set(operation.cookie, operation)
    for (const block of blocksOf(operation)) this.#busy.add(block)
    this.#send(operation)
  }

  #overlaps(offset: number, length: number): boolean {
    for (const block of blocksOf({ offset, length })) if (this.#busy.has(block)) return true
    return false
  }

  #send(operation: Operation): void {
    const bytes = new Uint8Array(28 + (operation.data?.length ?? 0))
    const view = new DataView(bytes.buffer)
    view.setUint32(0, REQUEST_MAGIC)
    view.setUint16(4, operation.flags)
    view.setUint16(6, operation.command)
    view.setUint32(12, operation.cookie)
    view.setUint32(20, operation.offset)
    view.setUint32(24, operation.length)
    if (operation.data !== undefined) bytes.set(operation.data, 28)
    this.#stream?.sendBytes(bytes)
  }

  #parse(): void {
    for (;;) {
      const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.length)
      const used = this.#parseOne(view)
      if (used === 0) return
      this.#buffer = this.#buffer.subarray(used)
    }
  }

  #parseOne(view: DataView): number {
    if (view.byteLength < 16) return 0
    const cookie = view.getUint32(12)
    const operation = view.getUint32(0) === SIMPLE_REPLY_MAGIC ? this.#outstanding.get(cookie) : undefined
    if (view.getUint32(0) === SIMPLE_REPLY_MAGIC) {
      const error = view.getUint32(4)
      assert(operation !== undefined, 'a reply has its request')
      const isRead = operation.command === Command.READ && error === 0
      if (isRead && view.byteLength < 16 + operation.length) return 0
      if (isRead) operation.read = this.#buffer.slice(16, 16 + operation.length)
      this.#answered(operation, error)
      return 16 + (isRead ? operation.length : 0)
    }
    return this.#parseChunk(view)
  }

  #parseChunk(view: DataView): number {
    if (view.byteLength < 20) return 0
    const length = view.getUint32(16)
    if (view.byteLength < 20 + length) return 0
    const operation = this.#outstanding.get(view.getUint32(12))
    assert(operation !== undefined, 'a chunk has its request')
    const type = view.getUint16(6)
    if (type === ChunkType.OFFSET_DATA) {
      operation.read ??= new Uint8Array(operation.length)
      const at = view.getUint32(24) - operation.offset
      operation.read.set(this.#buffer.subarray(28, 20 + length), at)
    }
    const error = type === ChunkType.ERROR ? view.getUint32(20) : 0
    if ((view.getUint16(4) & 1) !== 0) this.#answered(operation, error)
    return 20 + length
  }

  #answered(operation: Operation, error: number): void {
    this.#outstanding.delete(operation.cookie)
    for (const block of blocksOf(operation)) this.#busy.delete(block)
    if (error !== 0) {
      this.errors.push(
        `command ${operation.command} at ${operation.offset}+${operation.length}: error ${error}`,
      )
      return
    }
    if (operation.command === Command.READ) return this.#compare(operation)
    this.acknowledged += 1
    const end = operation.offset + operation.length
    if (operation.data !== undefined) this.model.set(operation.data, operation.offset)
    else if (operation.command !== Command.FLUSH) this.model.fill(0, operation.offset, end)
  }

  #compare(operation: Operation): void {
    this.reads += 1
    const read = operation.read!
    for (let i = 0; i < read.length; i += 1) {
      const at = operation.offset + i
      if (read[i] === this.model[at]) continue
      const block = Math.floor(at / BLOCK_SIZE)
      throw new Error(
        `block ${block} byte ${at % BLOCK_SIZE}: read ${read[i]}, acknowledged was ${this.model[at]}`,
      )
    }
  }
}

const align = (offset: number): number => offset - (offset % BLOCK_SIZE)
const alignDown = (length: number): number => length - (length % BLOCK_SIZE)

function* blocksOf(operation: { offset: number; length: number }): Generator<number> {
  const end = Math.ceil((operation.offset + operation.length) / BLOCK_SIZE)
  for (let block = Math.floor(operation.offset / BLOCK_SIZE); block < end; block += 1) yield block
}
