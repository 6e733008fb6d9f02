import { assert } from '../../../ts/base/assert.ts'
import type { Gather } from '../../../ts/base/gather.ts'
import { Command, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC } from '../../../ts/format/nbd.ts'
import { PLAIN_TERMS } from '../../../ts/nbd/session-terms.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { Stream } from '../../../ts/ports/stream.ts'
import type { SimNode } from '../node.ts'
import { type Holder, SimStream } from '../stream.ts'
import type { SimWorld } from '../world.ts'

const ECANCELED = -125

/** The server's end of a connection whose client may stop reading: then a send does not end. */
class ReluctantStream implements Stream {
  readonly peer = 'scripted client'
  isRead = true
  #stuck: Completion | undefined
  readonly #stream: SimStream

  constructor(stream: SimStream) {
    this.#stream = stream
  }

  receive(address: number, byteLength: number, done: Completion): void {
    this.#stream.receive(address, byteLength, done)
  }

  send(from: Gather, done: Completion): void {
    if (this.isRead) this.#stream.send(from, done)
    else this.#stuck = done
  }

  close(): void {
    this.#stream.close()
    this.#stuck?.complete(ECANCELED)
    this.#stuck = undefined
  }
}

/** Sends exactly what it is told, one cookie after the other, and keeps what it hears by cookie. */
export class ScriptedClient {
  /** error by cookie, 0 for success */
  readonly answers = new Map<number, number>()
  readonly data = new Map<number, Uint8Array>()
  isClosed = false
  #cookie = 0
  #buffer = new Uint8Array(0)
  readonly #readLengths = new Map<number, number>()
  readonly #stream: SimStream
  readonly #theirs: ReluctantStream

  constructor(world: SimWorld, node: SimNode, volumeName: string) {
    const volume = node.serving.volumes.find(({ name }) => name === volumeName)
    assert(volume !== undefined, 'the volume is served')
    const holder: Holder = {
      gathered: () => new Uint8Array(0),
      put: (_address, bytes) => {
        this.#buffer = new Uint8Array([...this.#buffer, ...bytes])
      },
      deliver: (done, result) => done.complete(result),
    }
    const ends = [
      [node.name, holder],
      ['client', node.holder()],
    ] as const
    const [ours, theirs] = SimStream.pair([...ends[0]], [...ends[1]], world.scheduler, world.random)
    this.#stream = ours
    this.#theirs = new ReluctantStream(theirs)
    this.#listen()
    const leftover = new Uint8Array(0)
    const arrival = { volume: volume.volume, readOnly: false, terms: PLAIN_TERMS, leftover }
    node.act(() => node.engine!.client({ stream: this.#theirs, ...arrival }))
  }

  /** From here on it takes none of its replies. */
  stopReading(): void {
    this.#theirs.isRead = false
  }

  close(): void {
    this.#stream.close()
  }

  read(offset: number, length: number): number {
    const cookie = this.#send(Command.READ, offset, length)
    this.#readLengths.set(cookie, length)
    return cookie
  }

  write(offset: number, data: Uint8Array): number {
    return this.#send(Command.WRITE, offset, data.length, data)
  }

  /** A WRITE of which the rest of the payload comes later, with `more`. */
  beginWrite(offset: number, length: number, data: Uint8Array): number {
    return this.#send(Command.WRITE, offset, length, data)
  }

  more(data: Uint8Array): void {
    this.#stream.sendBytes(data)
  }

  trim(offset: number, length: number): number {
    return this.#send(Command.TRIM, offset, length)
  }

  flush(): number {
    return this.#send(Command.FLUSH, 0, 0)
  }

  #send(command: number, offset: number, length: number, data: Uint8Array = new Uint8Array(0)): number {
    this.#cookie += 1
    const bytes = new Uint8Array(28 + data.length)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, REQUEST_MAGIC)
    view.setUint16(6, command)
    view.setUint32(12, this.#cookie)
    view.setBigUint64(16, BigInt(offset))
    view.setUint32(24, length)
    bytes.set(data, 28)
    this.#stream.sendBytes(bytes)
    return this.#cookie
  }

  #listen(): void {
    this.#stream.receive(0, 1 << 20, {
      complete: (result) => {
        this.isClosed = result <= 0
        while (this.#parse());
        if (!this.isClosed) this.#listen()
      },
    })
  }

  #parse(): boolean {
    const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.length)
    if (view.byteLength < 16) return false
    assert(view.getUint32(0) === SIMPLE_REPLY_MAGIC, 'a reply is a simple one')
    const [error, cookie] = [view.getUint32(4), view.getUint32(12)]
    const length = error === 0 ? (this.#readLengths.get(cookie) ?? 0) : 0
    if (view.byteLength < 16 + length) return false
    this.answers.set(cookie, error)
    this.data.set(cookie, this.#buffer.slice(16, 16 + length))
    this.#buffer = this.#buffer.subarray(16 + length)
    return true
  }
}
