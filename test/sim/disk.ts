import type { Gather } from '../../ts/base/gather.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { Disk } from '../../ts/ports/disk.ts'
import type { SimNode } from './node.ts'
import type { Random } from './random.ts'

const SECTOR = 512
const EIO = -5

/** What lies on a disk that both nodes reach: what is durable, and what its cache still holds. */
export class Platter {
  readonly byteLength: number
  readonly durable = new Map<number, Uint8Array>()
  /** written and visible, but not flushed: block -> newest content */
  cache = new Map<number, Uint8Array>()
  writes = 0
  /** probabilities of failures, set by a world */
  faults = { read: 0, write: 0 }

  constructor(byteLength: number) {
    this.byteLength = byteLength
  }

  block(number: number): Uint8Array {
    return this.cache.get(number) ?? this.durable.get(number) ?? ZEROES
  }

  put(number: number, bytes: Uint8Array): void {
    this.writes += 1
    this.cache.set(number, bytes)
  }

  flush(): void {
    for (const [number, bytes] of this.cache) this.durable.set(number, bytes)
    this.cache.clear()
  }

  /** Power is lost: each unflushed block is kept, dropped, or torn at a sector. */
  losePower(random: Random): void {
    for (const [number, bytes] of this.cache) {
      const fate = random.below(3)
      if (fate === 0) continue
      const kept = fate === 1 ? BLOCK_SIZE : random.below(BLOCK_SIZE / SECTOR) * SECTOR
      const torn = (this.durable.get(number) ?? ZEROES).slice()
      torn.set(bytes.subarray(0, kept))
      this.durable.set(number, torn)
    }
    this.cache.clear()
  }

  /** What somebody would copy off it now: everything visible. */
  copy(): Platter {
    const copied = new Platter(this.byteLength)
    for (const [number, bytes] of this.durable) copied.durable.set(number, bytes)
    for (const [number, bytes] of this.cache) copied.durable.set(number, bytes)
    return copied
  }
}

const ZEROES = new Uint8Array(BLOCK_SIZE)

/** A node's open descriptor of a platter. Writes land when they complete, or not at all if the node dies. */
export class SimDisk implements Disk {
  readonly path: string
  readonly byteLength: number
  readonly #platter: Platter
  readonly #node: SimNode
  readonly #boot: number

  constructor(path: string, platter: Platter, node: SimNode) {
    this.path = path
    this.platterOf = platter
    this.#platter = platter
    this.byteLength = platter.byteLength
    this.#node = node
    this.#boot = node.boot
  }

  readonly platterOf: Platter

  read(at: number, into: Gather, done: Completion): void {
    this.#node.submit(this.#boot, done, this.#delay(), () => {
      if (this.#node.random.chance(this.#platter.faults.read)) return EIO
      const bytes = new Uint8Array(into.byteLength)
      for (let offset = 0; offset < bytes.length; offset += BLOCK_SIZE) {
        bytes.set(this.#platter.block((at + offset) / BLOCK_SIZE), offset)
      }
      this.#node.memory.scatter(bytes, into)
      return bytes.length
    })
  }

  write(at: number, from: Gather, done: Completion): void {
    this.#node.submit(this.#boot, done, this.#delay(), () => {
      if (this.#node.random.chance(this.#platter.faults.write)) return EIO
      const bytes = this.#node.memory.gathered(from)
      for (let offset = 0; offset < bytes.length; offset += BLOCK_SIZE) {
        this.#platter.put((at + offset) / BLOCK_SIZE, bytes.slice(offset, offset + BLOCK_SIZE))
      }
      return bytes.length
    })
  }

  flush(done: Completion): void {
    this.#node.submit(this.#boot, done, this.#delay(), () => {
      this.#platter.flush()
      return 0
    })
  }

  close(): void {}

  #delay(): number {
    const { random } = this.#node
    return random.chance(0.02) ? random.between(5, 50) : random.between(0.05, 1)
  }
}
