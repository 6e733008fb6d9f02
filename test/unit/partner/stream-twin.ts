import { assert } from '../../../ts/base/assert.ts'
import type { Gather } from '../../../ts/base/gather.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { Stream } from '../../../ts/ports/stream.ts'
import type { MemoryTwin } from '../log/memory-twin.ts'

/** One end of a connection in memory. Nothing ends inside of the call that asked for it: see `step`. */
export class StreamTwin implements Stream {
  readonly peer = 'twin'
  other: StreamTwin | undefined
  isClosed = false
  sends = 0
  /** bytes of one receive at most */
  mouthful = Number.POSITIVE_INFINITY
  /** changes bytes on their way to the other end */
  tamper: (bytes: Uint8Array) => void = () => {}
  #inbox = new Uint8Array(0)
  #receiving: { address: number; byteLength: number; done: Completion } | undefined
  #sending: { bytes: Uint8Array; done: Completion } | undefined
  readonly #memory: MemoryTwin

  constructor(memory: MemoryTwin) {
    this.#memory = memory
  }

  receive(address: number, byteLength: number, done: Completion): void {
    assert(this.#receiving === undefined && byteLength > 0, 'one receive at a time')
    this.#receiving = { address, byteLength, done }
  }

  send(from: Gather, done: Completion): void {
    assert(this.#sending === undefined && from.byteLength > 0, 'one send at a time')
    this.sends += 1
    this.#sending = { bytes: this.#memory.gathered(from), done }
  }

  close(): void {
    this.isClosed = true
  }

  get isSending(): boolean {
    return this.#sending !== undefined
  }

  /** Ends what can end. False: nothing could. */
  step(): boolean {
    const sent = this.#endSend()
    return this.#endReceive() || sent
  }

  /** Bytes as if the other end had sent them. */
  deliver(bytes: Uint8Array): void {
    this.#inbox = new Uint8Array(Buffer.concat([this.#inbox, bytes]))
  }

  failSend(result: number): void {
    const { done } = this.#sending!
    this.#sending = undefined
    done.complete(result)
  }

  #endSend(): boolean {
    const sending = this.#sending
    if (sending === undefined) return false
    this.#sending = undefined
    this.tamper(sending.bytes)
    this.other?.deliver(sending.bytes)
    sending.done.complete(sending.bytes.length)
    return true
  }

  #endReceive(): boolean {
    const receiving = this.#receiving
    const isOver = this.isClosed || this.other?.isClosed === true
    if (receiving === undefined || (this.#inbox.length === 0 && !isOver)) return false
    this.#receiving = undefined
    const count = Math.min(receiving.byteLength, this.#inbox.length, this.mouthful)
    if (count > 0) this.#memory.at(receiving.address, count).set(this.#inbox.subarray(0, count))
    this.#inbox = this.#inbox.slice(count)
    receiving.done.complete(count)
    return true
  }
}

export function connected(memory: MemoryTwin): [StreamTwin, StreamTwin] {
  const ends: [StreamTwin, StreamTwin] = [new StreamTwin(memory), new StreamTwin(memory)]
  ends[0].other = ends[1]
  ends[1].other = ends[0]
  return ends
}
