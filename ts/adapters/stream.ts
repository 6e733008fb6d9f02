import { assert } from '../base/assert.ts'
import type { Gather } from '../base/gather.ts'
import type { Completion } from '../ports/completion.ts'
import type { Stream } from '../ports/stream.ts'
import { native } from './native.ts'
import { isTransient, type Uring } from './uring.ts'

const EPIPE = -32

/** A connected socket whose descriptor is ours (`takeSocket`), driven by one io_uring. */
export class NativeStream implements Stream {
  readonly peer: string
  readonly #uring: Uring
  readonly #descriptor: number
  #receiving: Completion | undefined
  #sending: Completion | undefined
  #receiveAt = 0
  #receiveByteLength = 0
  #pieces: Gather | undefined
  #isClosed = false
  readonly #received: Completion = { complete: (result) => this.#endReceive(result) }
  readonly #sent: Completion = { complete: (result) => this.#endSend(result) }

  constructor(uring: Uring, descriptor: number, peer: string) {
    this.peer = peer
    this.#uring = uring
    this.#descriptor = descriptor
  }

  receive(address: number, byteLength: number, done: Completion): void {
    assert(this.#receiving === undefined && !this.#isClosed, 'one receive at a time, on an open stream')
    this.#receiving = done
    this.#receiveAt = address
    this.#receiveByteLength = byteLength
    this.#uring.receive(this.#descriptor, address, byteLength, this.#received)
  }

  send(from: Gather, done: Completion): void {
    assert(this.#sending === undefined && !this.#isClosed, 'one send at a time, on an open stream')
    this.#sending = done
    this.#pieces = from
    this.#uring.send(this.#descriptor, from, this.#sent)
  }

  /** Shuts the connection down now; the descriptor goes when nothing in flight uses it any more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    native.shutdownSocket(this.#descriptor)
    this.#closeWhenIdle()
  }

  #endReceive(result: number): void {
    if (isTransient(result) && !this.#isClosed) {
      this.#uring.receive(this.#descriptor, this.#receiveAt, this.#receiveByteLength, this.#received)
      return
    }
    const done = this.#receiving!
    this.#receiving = undefined
    if (this.#isClosed) this.#closeWhenIdle()
    done.complete(result)
  }

  #endSend(result: number): void {
    const pieces = this.#pieces!
    if (isTransient(result) && !this.#isClosed) {
      this.#uring.send(this.#descriptor, pieces, this.#sent)
      return
    }
    const done = this.#sending!
    const byteLength = pieces.byteLength
    this.#sending = undefined
    this.#pieces = undefined
    if (this.#isClosed) this.#closeWhenIdle()
    // The kernel sends all of it, or the connection has broken in between.
    done.complete(result >= 0 && result < byteLength ? EPIPE : result)
  }

  #closeWhenIdle(): void {
    if (this.#receiving === undefined && this.#sending === undefined) native.closeDescriptor(this.#descriptor)
  }
}
