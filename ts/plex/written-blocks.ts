import { Gather } from '../base/gather.ts'
import { MemoryBatch } from '../base/memory-batch.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { DISK_BLOCKS_MAX, NO_PAGE } from '../format/link-frame.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'

/** What both nodes have of the log. */
export interface SharedLog {
  /** the page of the ring at this address, if the partner has it, too; or -1 */
  sharedPageAt(address: number): number
  /** the block may change while it is sent: what leaves is a copy of it, as it is when it is sealed */
  isChanging(address: number): boolean
}

/** Of each write to disks of the partner: which blocks its copy of the log has, and which are sent. */
export class WrittenBlocks {
  bytesByValue = 0
  bytesByReference = 0
  readonly #port: MemoryPort
  readonly #log: SharedLog
  /** where tables go */
  readonly #heads: Memory
  readonly #batch = new MemoryBatch()
  readonly #copies: (Memory | undefined)[] = []

  constructor(port: MemoryPort, log: SharedLog, heads: Memory) {
    this.#port = port
    this.#log = log
    this.#heads = heads
  }

  /** Writes a table to byte `at`: which page has each block. Returns those that no page has. */
  fillTable(slot: number, at: number, byteLength: number, { addresses, lengths, count }: Gather): Gather {
    const values = new Gather()
    let copied = 0
    const { u32 } = this.#heads
    u32.fill(NO_PAGE, at / 4, (at + byteLength) / 4)
    let word = at / 4
    for (let piece = 0; piece < count; piece += 1) {
      for (let offset = 0; offset < lengths[piece]!; offset += BLOCK_SIZE) {
        const address = addresses[piece]! + offset
        const page = this.#log.sharedPageAt(address)
        if (page < 0 && this.#log.isChanging(address)) {
          const copy = this.#copyOf(slot).address + copied
          this.#batch.copy(address, copy, BLOCK_SIZE)
          values.add(copy, BLOCK_SIZE)
          copied += BLOCK_SIZE
        } else if (page < 0) values.add(address, BLOCK_SIZE)
        else {
          u32[word] = page
          this.bytesByReference += BLOCK_SIZE
        }
        word += 1
      }
    }
    if (copied > 0) this.#port.run(this.#batch)
    this.bytesByValue += values.byteLength
    return values
  }

  /** Memory for blocks of this slot that are copied; few slots ever need it. */
  #copyOf(slot: number): Memory {
    this.#copies[slot] ??= this.#port.allocate(DISK_BLOCKS_MAX * BLOCK_SIZE)
    return this.#copies[slot]!
  }

  /** The checksum of a table and of the blocks that follow it. */
  sealOf(at: number, byteLength: number, { addresses, lengths, count }: Gather): number {
    let sum = this.#port.checksum(this.#heads.address + at, byteLength)
    for (let i = 0; i < count; i += 1) sum = this.#port.checksum(addresses[i]!, lengths[i]!, sum)
    return sum
  }
}
