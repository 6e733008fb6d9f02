import type { Gather } from '../../ts/base/gather.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { Stream } from '../../ts/ports/stream.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

const ECONNRESET = -104
const ECANCELED = -125

/** Who holds an end of a connection: a node's engine, or a client of the test. */
export interface Holder {
  /** gathers what is sent, at the moment it enters the kernel; undefined: it is not entered any more */
  gathered(from: Gather): Uint8Array | undefined
  put(address: number, bytes: Uint8Array): void
  /** runs `complete` when the holder is alive and awake */
  deliver(done: Completion, result: number): void
}

/** What lies between two ends, one way; shared by all connections of that way. */
export class Path {
  /** bytes wait, as TCP sends them again, and so do ends and resets */
  isCut = false
  delayMs = 0
  #held: (() => void)[] = []

  carry(arrive: () => void): void {
    if (this.isCut) this.#held.push(arrive)
    else arrive()
  }

  mend(): void {
    this.isCut = false
    this.delayMs = 0
    for (const arrive of this.#held.splice(0)) arrive()
  }
}

/** One end of a simulated TCP connection: bytes arrive in order, late, in pieces, or never. */
export class SimStream implements Stream {
  readonly peer: string
  other: SimStream | undefined
  isClosed = false
  /** the other side closed in order, or was reset */
  ended: 'no' | 'closed' | 'reset' = 'no'
  /** what becomes of bytes on their way out; for skewed versions */
  alter: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes
  #inbox: Uint8Array[] = []
  #receiving: { address: number; byteLength: number; done: Completion } | undefined
  #arrivesAtMs = 0
  readonly #holder: Holder
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #path: Path

  constructor(peer: string, holder: Holder, scheduler: Scheduler, random: Random, path: Path) {
    this.peer = peer
    this.#holder = holder
    this.#scheduler = scheduler
    this.#random = random
    this.#path = path
  }

  static pair(
    a: [string, Holder],
    b: [string, Holder],
    scheduler: Scheduler,
    random: Random,
    paths: readonly [Path, Path] = [new Path(), new Path()],
  ): [SimStream, SimStream] {
    const one = new SimStream(a[0], a[1], scheduler, random, paths[0])
    const two = new SimStream(b[0], b[1], scheduler, random, paths[1])
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
    if (bytes !== undefined) this.sendBytes(this.alter(bytes))
    const refused = this.isClosed || this.ended !== 'no'
    const result = bytes === undefined ? ECANCELED : refused ? ECONNRESET : bytes.length
    this.#scheduler.after(this.#random.between(0.005, 0.05), () => this.#holder.deliver(done, result))
  }

  sendBytes(bytes: Uint8Array): void {
    const { other } = this
    if (other === undefined || this.isClosed) return
    this.#transmit(other, () => {
      // whoever has closed its end answers with a reset
      if (other.isClosed) return other.#tell('reset')
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

  /** Something in between has ended the connection: this end hears it. */
  breakDown(): void {
    if (this.ended === 'no') this.ended = 'reset'
    this.#tryDeliver()
  }

  #end(how: 'closed' | 'reset'): void {
    if (this.isClosed) return
    this.isClosed = true
    const receiving = this.#receiving
    this.#receiving = undefined
    if (receiving !== undefined)
      this.#scheduler.after(this.#random.between(0, 0.1), () =>
        this.#holder.deliver(receiving.done, ECANCELED),
      )
    this.#tell(how)
  }

  #tell(how: 'closed' | 'reset'): void {
    const { other } = this
    if (other === undefined) return
    this.#transmit(other, () => {
      if (other.ended === 'no') other.ended = how
      other.#tryDeliver()
    })
  }

  #transmit(other: SimStream, arrive: () => void): void {
    const { nowMs } = this.#scheduler
    const at = Math.max(other.#arrivesAtMs, nowMs + this.#random.between(0.02, 0.3) + this.#path.delayMs)
    other.#arrivesAtMs = at
    this.#scheduler.after(at - nowMs, () => this.#path.carry(arrive))
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
