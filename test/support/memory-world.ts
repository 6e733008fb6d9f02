import { crc32c } from '../../ts/base/crc32c.ts'
import type { Gather } from '../../ts/base/gather.ts'
import { type MemoryBatch, MemoryOp, STEP_WORDS } from '../../ts/base/memory-batch.ts'
import type { Procedure } from '../../ts/base/procedure.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { Disk } from '../../ts/ports/disk.ts'
import type { Memory, MemoryPort } from '../../ts/ports/memory.ts'

/** Numbers from a seed, the same every time. */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 2654435761 + 1) >>> 0
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * limit)
  }

  chance(share: number): boolean {
    return this.below(1_000_000) < share * 1_000_000
  }
}

/** Memory with made-up addresses; looking one up finds the bytes again. */
export class MemoryTwin implements MemoryPort {
  readonly #memories: Memory[] = []
  #next = 0x10000

  allocate(byteLength: number): Memory {
    const buffer = new ArrayBuffer(byteLength)
    const address = this.#next
    this.#next += Math.ceil(byteLength / 4096) * 4096 + 4096
    const memory = { bytes: new Uint8Array(buffer), u32: new Uint32Array(buffer), address, byteLength }
    this.#memories.push(memory)
    return memory
  }

  bytesAt(address: number, byteLength: number): Uint8Array {
    let low = 0
    let high = this.#memories.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#memories[middle]!.address <= address) low = middle
      else high = middle - 1
    }
    const memory = this.#memories[low]!
    const from = address - memory.address
    if (from < 0 || from + byteLength > memory.byteLength) throw new Error(`no memory at ${address}`)
    return memory.bytes.subarray(from, from + byteLength)
  }

  run(batch: MemoryBatch): number {
    batch.firstFailure = -1
    for (let step = 0; step < batch.count; step += 1) {
      const [op, a, b, c] = batch.steps.subarray(
        step * STEP_WORDS,
        (step + 1) * STEP_WORDS,
      ) as unknown as number[]
      if (op === MemoryOp.COPY) this.bytesAt(b!, c!).set(this.bytesAt(a!, c!))
      else if (op === MemoryOp.ZERO) this.bytesAt(a!, b!).fill(0)
      else throw new Error(`this twin has no operation ${op}`)
    }
    batch.clear()
    return 0
  }

  checksum(address: number, byteLength: number, seed = 0): number {
    return crc32c(this.bytesAt(address, byteLength), 0, byteLength, seed)
  }
}

export interface LoggedWrite {
  readonly disk: MemoryDisk
  readonly at: number
  readonly bytes: Uint8Array
}

/** Everything that was written and flushed, in order, so that a crash can be made at any point. */
export class WriteLog {
  readonly events: (LoggedWrite | { readonly disk: MemoryDisk; readonly flush: true })[] = []
}

const EIO = -5

/** A disk in memory. What the test sets decides which blocks can be read and which writes fail. */
export class MemoryDisk implements Disk {
  readonly path: string
  readonly byteLength: number
  readonly bytes: Uint8Array
  readonly badBlocks = new Set<number>()
  /** asked before each write and flush: a failure that happens now */
  failWrite: (at: number) => boolean = () => false
  failFlush: () => boolean = () => false
  log: WriteLog | undefined
  closed = false
  reads = 0
  readonly #world: MemoryWorld

  constructor(world: MemoryWorld, path: string, byteLength: number) {
    this.#world = world
    this.path = path
    this.byteLength = byteLength
    this.bytes = new Uint8Array(byteLength)
  }

  read(at: number, into: Gather, done: Completion): void {
    this.reads += 1
    const pieces = piecesOf(into)
    this.#world.later(() => {
      for (let block = at / 4096; block < (at + into.byteLength) / 4096; block += 1) {
        if (this.badBlocks.has(block)) return done.complete(EIO)
      }
      let from = at
      for (const { address, length } of pieces) {
        this.#world.memory.bytesAt(address, length).set(this.bytes.subarray(from, from + length))
        from += length
      }
      done.complete(from - at)
    })
  }

  write(at: number, from: Gather, done: Completion): void {
    const pieces = piecesOf(from)
    this.#world.later(() => {
      if (this.failWrite(at)) return done.complete(EIO)
      let to = at
      for (const { address, length } of pieces) {
        this.bytes.set(this.#world.memory.bytesAt(address, length), to)
        to += length
      }
      this.log?.events.push({ disk: this, at, bytes: this.bytes.slice(at, to) })
      done.complete(to - at)
    })
  }

  flush(done: Completion): void {
    this.#world.later(() => {
      if (this.failFlush()) return done.complete(EIO)
      this.log?.events.push({ disk: this, flush: true })
      done.complete(0)
    })
  }

  close(): void {
    this.closed = true
  }

  /** Another disk with the same content. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk(this.#world, this.path, this.byteLength)
    copy.bytes.set(this.bytes)
    return copy
  }
}

function piecesOf(gather: Gather): { address: number; length: number }[] {
  return Array.from({ length: gather.count }, (_, index) => ({
    address: gather.addresses[index]!,
    length: gather.lengths[index]!,
  }))
}

/** Memory, disks and a clock without anything real; completions come in an order that the seed decides. */
export class MemoryWorld {
  readonly memory: MemoryTwin
  readonly events: { level: string; kind: string; text: string }[] = []
  readonly clock = { now: (): number => this.#nowMs, wall: (): number => 1_700_000_000_000 + this.#nowMs }
  readonly host = {
    event: (level: string, kind: string, text: string): void => {
      this.events.push({ level, kind, text })
    },
    serving: (): void => {},
    answer: (): void => {},
    wantLink: (): void => {},
  }
  #nowMs = 0
  #queue: (() => void)[] = []
  readonly #random: SeededRandom | undefined

  constructor(seed?: number, memory = new MemoryTwin()) {
    this.memory = memory
    this.#random = seed === undefined ? undefined : new SeededRandom(seed)
  }

  disk(path: string, byteLength: number): MemoryDisk {
    return new MemoryDisk(this, path, byteLength)
  }

  later(what: () => void): void {
    this.#queue.push(what)
  }

  /** Lets what is in flight end: all of it, or with a seed some of it, in any order. */
  turn(): boolean {
    this.#nowMs += 1
    const queue = this.#queue
    this.#queue = []
    if (this.#random === undefined) for (const each of queue) each()
    else this.#runSome(queue, this.#random)
    return queue.length > 0
  }

  #runSome(queue: (() => void)[], random: SeededRandom): void {
    for (let last = queue.length - 1; last > 0; last -= 1) {
      const other = random.below(last + 1)
      const swapped = queue[last]!
      queue[last] = queue[other]!
      queue[other] = swapped
    }
    const count = Math.max(1, Math.ceil(queue.length * (0.3 + random.below(70) / 100)))
    this.#queue = queue.splice(count).concat(this.#queue)
    for (const each of queue) each()
  }

  /** Steps a procedure to its end. `eachTurn`: what an engine does once per turn, such as `cache.submit`. */
  run<T>(procedure: Procedure<T>, eachTurn: () => void = () => {}): T {
    let idle = 0
    for (;;) {
      const { done, value } = procedure.next()
      if (done) return value
      eachTurn()
      idle = this.turn() || value === 'again' ? 0 : idle + 1
      if (idle > 3) throw new Error('a procedure waits, and nothing is in flight')
    }
  }

  /** Lets everything end that is in flight. */
  settle(): void {
    while (this.turn());
  }
}
