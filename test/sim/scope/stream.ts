import type { Gather } from '../../../ts/base/gather.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { Stream } from '../../../ts/ports/stream.ts'

const ECONNRESET = -104
const ECANCELED = -125

/** Who holds an end of a connection, and how its completions reach it. */
export interface Holder {
  gathered(from: Gather): Uint8Array
  put(address: number, bytes: Uint8Array): void
  later(run: () => void): void
}

/** One end of a connection without delay: what is sent is there in the next round. */
export class ScopeStream implements Stream {
  readonly peer: string
  isClosed = false
  #other: ScopeStream | undefined
  #ended: 'no' | 'closed' | 'reset' = 'no'
  readonly #inbox: Uint8Array[] = []
  #receiving: { address: number; byteLength: number; done: Completion } | undefined
  readonly #holder: Holder

  constructor(peer: string, holder: Holder) {
    this.peer = peer
    this.#holder = holder
  }

  static pair(a: [string, Holder], b: [string, Holder]): [ScopeStream, ScopeStream] {
    const [one, two] = [new ScopeStream(...a), new ScopeStream(...b)]
    one.#other = two
    two.#other = one
    return [one, two]
  }

  get isUp(): boolean {
    return !this.isClosed && this.#ended === 'no'
  }

  receive(address: number, byteLength: number, done: Completion): void {
    this.#receiving = { address, byteLength, done }
    this.#deliver()
  }

  send(from: Gather, done: Completion): void {
    const bytes = this.#holder.gathered(from)
    const result = this.isUp ? bytes.length : ECONNRESET
    this.sendBytes(bytes)
    this.#holder.later(() => done.complete(result))
  }

  sendBytes(bytes: Uint8Array): void {
    const other = this.#other!
    if (this.isClosed || other.isClosed) return
    other.#inbox.push(bytes)
    other.#deliver()
  }

  close(): void {
    this.#end('closed')
  }

  /** The process behind this end has died. */
  reset(): void {
    this.#end('reset')
  }

  #end(how: 'closed' | 'reset'): void {
    if (this.isClosed) return
    this.isClosed = true
    const receiving = this.#receiving
    this.#receiving = undefined
    if (receiving !== undefined) this.#holder.later(() => receiving.done.complete(ECANCELED))
    const other = this.#other!
    if (other.#ended === 'no') other.#ended = how
    other.#deliver()
  }

  #deliver(): void {
    const receiving = this.#receiving
    if (receiving === undefined || this.isClosed) return
    const bytes = this.#inbox.shift()
    if (bytes === undefined && this.#ended === 'no') return
    this.#receiving = undefined
    const { address, byteLength, done } = receiving
    if (bytes === undefined) {
      const result = this.#ended === 'closed' ? 0 : ECONNRESET
      return this.#holder.later(() => done.complete(result))
    }
    const now = bytes.subarray(0, byteLength)
    if (now.length < bytes.length) this.#inbox.unshift(bytes.subarray(now.length))
    this.#holder.later(() => {
      this.#holder.put(address, now)
      done.complete(now.length)
    })
  }
}
