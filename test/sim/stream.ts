import type { Gather } from '../../ts/base/gather.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { Stream } from '../../ts/ports/stream.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

const ECONNRESET = -104
const ECANCELED = -125

/** Who holds an end of a connection: a node's engine, or a client of the test. */
export interface Holder {
  /** gathers what is sent, at the moment it enters the kernel */
  gathered(from: Gather): Uint8Array
  put(address: number, bytes: Uint8Array): void
  /** runs `complete` when the holder is alive and awake */
  deliver(done: Completion, result: number): void
}

/** One end of a simulated TCP connection: bytes arrive in order, late, in pieces, or never. */
export class SimStream implements Stream {
  readonly peer: string
  other: SimStream | undefined
  isCut = false
  isClosed = false
  /** the other side closed in order, or was reset */
  ended: 'no' | 'closed' | 'reset' = 'no'
  #inbox: Uint8Array[] = []
  #receiving: { address: number; byteLength: number; done: Completion } | undefined
  #arrivesAtMs = 0
  readonly #holder: Holder
  readonly #scheduler: Scheduler
  readonly #random: Random

  constructor(peer: string, holder: Holder, scheduler: Scheduler, random: Random) {
    this.peer = peer
    this.#holder = holder
    this.#scheduler = scheduler
    this.#random = random
  }

  static pair(
    a: [string, Holder],
    b: [string, Holder],
    scheduler: Scheduler,
    random: Random,
  ): [SimStream, SimStream] {
    const one = new SimStream(a[0], a[1], scheduler, random)
    const two = new SimStream(b[0], b[1], scheduler, random)
    one.other = two
    two.other = one
    return [one, two]
  }

  receive(address: number, byteLength: number, done: Completion): void {
    this.#receiving = { address, byteLength, done }
    this.#scheduler.after(0, () => this.#tryDeliver())
  }

  send(from: Gather, done: Completion): void {
    const bytes = this.#holder.gathered(from)
    this.sendBytes(bytes)
    const result = this.isClosed || this.ended !== 'no' ? ECONNRESET : bytes.length
    this.#scheduler.after(this.#random.between(0.005, 0.05), () => this.#holder.deliver(done, result))
  }

  sendBytes(bytes: Uint8Array): void {
    const { other } = this
    if (other === undefined || this.isClosed || this.isCut) return
    const at = Math.max(other.#arrivesAtMs, this.#scheduler.nowMs + this.#random.between(0.02, 0.3))
    other.#arrivesAtMs = at
    this.#scheduler.after(at - this.#scheduler.nowMs, () => {
      if (other.isClosed || other.isCut) return
      other.#inbox.push(bytes)
      other.#tryDeliver()
    })
  }

  close(): void {
    this.#end('closed')
  }

  /** The process behind this end has died: the kernel resets the connection. */
  reset(): void {
    this.#end('reset')
  }

  #end(how: 'closed' | 'reset'): void {
    if (this.isClosed) return
    this.isClosed = true
    const receiving = this.#receiving
    this.#receiving = undefined
    if (receiving !== undefined)
      this.#scheduler.after(0, () => this.#holder.deliver(receiving.done, ECANCELED))
    const { other } = this
    if (other === undefined || this.isCut) return
    const at = Math.max(other.#arrivesAtMs, this.#scheduler.nowMs + this.#random.between(0.02, 0.3))
    this.#scheduler.after(at - this.#scheduler.nowMs, () => {
      if (other.ended === 'no') other.ended = how
      other.#tryDeliver()
    })
  }

  #tryDeliver(): void {
    const receiving = this.#receiving
    if (receiving === undefined || this.isClosed) return
    const bytes = this.#inbox.shift()
    if (bytes !== undefined) {
      const limit = this.#random.chance(0.1) ? 1 + this.#random.below(bytes.length) : bytes.length
      const now = bytes.subarray(0, Math.min(limit, receiving.byteLength))
      if (now.length < bytes.length) this.#inbox.unshift(bytes.subarray(now.length))
      this.#receiving = undefined
      this.#holder.put(receiving.address, now)
      this.#holder.deliver(receiving.done, now.length)
    } else if (this.ended !== 'no') {
      this.#receiving = undefined
      this.#holder.deliver(receiving.done, this.ended === 'closed' ? 0 : ECONNRESET)
    }
  }
}
