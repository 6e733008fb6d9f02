import type { Gather } from '../../ts/base/gather.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { Disk } from '../../ts/ports/disk.ts'
import type { SimEngine } from './engine-host.ts'
import { type Platter, stampOf } from './platter.ts'

export { Platter } from './platter.ts'

const EIO = -5

/** A node's open descriptor of a platter. Writes land when they complete, or not at all if the node dies. */
export class SimDisk implements Disk {
  readonly path: string
  readonly byteLength: number
  readonly platterOf: Platter
  readonly #host: SimEngine
  /** blocks that are being written */
  readonly #writing = new Set<number>()
  #isOpen = true

  constructor(path: string, platter: Platter, host: SimEngine) {
    this.path = path
    this.platterOf = platter
    this.byteLength = platter.byteLength
    this.#host = host
    host.opened(path)
  }

  read(at: number, into: Gather, done: Completion): void {
    const { platterOf: platter } = this
    this.#host.submit(this, done, this.#delay(), () => {
      const { byteLength } = into
      if (platter.isGone) return this.#missed(at, byteLength)
      const blocks: Uint8Array[] = []
      for (let offset = 0; offset < byteLength; offset += BLOCK_SIZE) {
        const number = (at + offset) / BLOCK_SIZE
        if (platter.isUnreadable(number, this.#host.random)) return EIO
        blocks.push(platter.block(number))
      }
      this.#host.world.memory.scatter(blocks, into)
      return byteLength
    })
  }

  write(at: number, from: Gather, done: Completion): void {
    const { platterOf: platter } = this
    this.#beginWrite(at, from.byteLength)
    this.#host.submit(this, done, this.#delay(), (isWhole) => {
      this.#endWrite(at, from.byteLength)
      if (platter.isGone) return EIO
      const { random } = this.#host
      const fails = platter.faults.write > 0 && random.chance(platter.faults.write)
      const bytes = this.#host.world.memory.gathered(from)
      for (let offset = 0; offset < bytes.length; offset += BLOCK_SIZE) {
        // of a write that fails, or whose host dies, any part may be on the disk
        if ((fails || !isWhole) && random.chance(0.5)) continue
        this.#put((at + offset) / BLOCK_SIZE, bytes.subarray(offset, offset + BLOCK_SIZE))
      }
      return fails ? EIO : bytes.length
    })
  }

  flush(done: Completion): void {
    const { platterOf: platter } = this
    this.#host.submit(this, done, this.#delay(), (isWhole) => {
      const { random } = this.#host
      if (platter.isGone || (platter.faults.flush > 0 && random.chance(platter.faults.flush))) {
        if (random.chance(0.5)) platter.failFlush(random)
        return EIO
      }
      if (isWhole && !platter.faults.lies) platter.flush()
      return 0
    })
  }

  close(): void {
    if (!this.#isOpen) throw new Error(`${this.path} is closed twice`)
    this.#isOpen = false
    this.#host.openDisks -= 1
  }

  /** Of two writes to one place at a time nobody knows which one a disk takes last. */
  #beginWrite(at: number, byteLength: number): void {
    for (let number = at / BLOCK_SIZE; number < (at + byteLength) / BLOCK_SIZE; number += 1) {
      if (this.#writing.has(number))
        throw new Error(`${this.path}: block ${number} is written twice at a time`)
      this.#writing.add(number)
    }
  }

  #endWrite(at: number, byteLength: number): void {
    for (let number = at / BLOCK_SIZE; number < (at + byteLength) / BLOCK_SIZE; number += 1)
      this.#writing.delete(number)
  }

  /** Nothing can be read: clients may miss what superblocks reach, and nobody the rest. */
  #missed(at: number, byteLength: number): number {
    const end = (at + byteLength) / BLOCK_SIZE
    for (let number = at / BLOCK_SIZE; number < end; number += 1) {
      if (this.#isInBlockZone(number)) this.platterOf.doubt(number)
    }
    return EIO
  }

  /**
   * Writes of data may be lost or misplaced. Those of metadata only where another plex is known to have
   * them: with one plex they would not be survivable.
   */
  #put(number: number, bytes: Uint8Array): void {
    const { platterOf: platter } = this
    const { lost, misdirected } = platter.faults
    if (lost + misdirected > 0 && this.#mayLose(number, bytes)) {
      const { random } = this.#host
      if (random.chance(lost)) return this.#lose(number, bytes)
      const other = random.chance(misdirected) ? this.#otherBlock(number) : undefined
      if (other !== undefined) {
        this.#lose(number, bytes)
        return platter.damage(other, bytes)
      }
    }
    platter.put(number, bytes)
  }

  /** What should have come here never does: what was here before stays. */
  #lose(number: number, bytes: Uint8Array): void {
    const { platterOf: platter } = this
    const before = platter.block(number)
    platter.put(number, bytes)
    platter.damage(number, before)
  }

  #mayLose(number: number, bytes: Uint8Array): boolean {
    return this.#isInBlockZone(number) && (this.platterOf.losesAnything || stampOf(bytes) !== undefined)
  }

  #isInBlockZone(number: number): boolean {
    const { blocksFrom, blocksEnd } = this.#host.world
    return number >= blocksFrom && number < blocksEnd
  }

  #otherBlock(number: number): number | undefined {
    const near = number + this.#host.random.between(-8, 8)
    const other = Math.floor(near)
    if (other === number || !this.#mayLose(other, this.platterOf.block(other))) return undefined
    return other
  }

  #delay(): number {
    const { random } = this.#host
    const delayMs = random.chance(0.02) ? random.between(5, 50) : random.between(0.05, 1)
    return delayMs * this.platterOf.faults.slow
  }
}
