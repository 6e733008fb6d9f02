import { Gather } from '../base/gather.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import type { Copies, Copy } from './copies.ts'
import { ANY_GENERATION } from './pins.ts'
import type { Plex } from './plex.ts'

/** Blocks that are mended at once; what else is found meanwhile waits for the next one who finds it. */
const MENDS_MAX = 16

class Mend implements Completion {
  readonly gather = new Gather()
  readonly place: number
  copy: Copy | undefined
  physical = 0
  readonly #mender: Mender

  constructor(mender: Mender, place: number) {
    this.#mender = mender
    this.place = place
  }

  complete(result: number): void {
    this.#mender.ended(this, result)
  }
}

/** Writes good blocks over bad ones, on the one plex that has them bad. */
export class Mender {
  mended = 0
  inFlight = 0
  onMended: (physical: number, copy: Copy) => void = () => {}
  readonly #plex: Plex
  readonly #copies: Copies
  readonly #pool: MemoryPool
  readonly #memory: Memory
  readonly #mends: readonly Mend[]
  readonly #idle: Mend[]

  constructor(plex: Plex, copies: Copies, port: MemoryPort) {
    this.#plex = plex
    this.#copies = copies
    this.#pool = memoryPool(port)
    this.#memory = this.#pool.borrowAsIs(MENDS_MAX * BLOCK_SIZE)
    this.#mends = Array.from({ length: MENDS_MAX }, (_, place) => new Mend(this, place))
    this.#idle = [...this.#mends]
  }

  /**
   * Begins to write a block to its place on a plex; `source` has its content from byte `from` on. To be
   * called while nothing else may be written to that place. Returns whether it is being written, by this call
   * or by another one for the same block.
   */
  mend(physical: number, source: Memory, from: number, copy: Copy): boolean {
    if (copy.state !== 'in-sync' || this.#copies.failure !== undefined) return false
    if (this.isMending(physical, copy)) return true
    const mend = this.#idle.pop()
    if (mend === undefined) return false
    const at = mend.place * BLOCK_SIZE
    this.#memory.bytes.set(source.bytes.subarray(from, from + BLOCK_SIZE), at)
    mend.gather.clear()
    mend.gather.add(this.#memory.address + at, BLOCK_SIZE)
    mend.copy = copy
    mend.physical = physical
    this.inFlight += 1
    this.#copies.pins.pin(ANY_GENERATION)
    this.#plex.write(physical, mend.gather, mend, copy)
    return true
  }

  /** Whether a block is being written to this plex. */
  isMending(physical: number, copy: Copy): boolean {
    return this.#mends.some((mend) => mend.physical === physical && mend.copy === copy)
  }

  ended(mend: Mend, result: number): void {
    const { physical } = mend
    const copy = mend.copy!
    mend.copy = undefined
    this.#idle.push(mend)
    this.inFlight -= 1
    this.#copies.pins.unpin(ANY_GENERATION)
    if (result < 0) return this.#copies.failed(copy, `block ${physical} cannot be mended (error ${-result})`)
    this.mended += 1
    this.onMended(physical, copy)
  }

  /** To be called when nothing is in flight any more. */
  close(): void {
    this.#pool.giveBack(this.#memory)
  }
}
