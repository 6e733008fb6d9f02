import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { memoryPool } from '../disk/memory-pool.ts'
import { Transfers } from '../disk/transfers.ts'
import {
  BIRTH,
  CHECKSUM,
  FLAGS,
  PHYSICAL,
  POINTER_PRESENT,
  POINTER_WORDS,
  POINTERS_PER_BLOCK,
} from '../format/block-pointer.ts'
import type { Plex } from '../plex/plex.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { reachOf } from './tree.ts'

/** One block of a tree, as its pointer describes it. */
export interface WalkedBlock {
  physical: number
  birth: number
  checksum: number
  /** 0: data */
  level: number
  /** first block of the volume that lies under it */
  firstBlock: number
}

export interface TreeVisitor {
  /** Called for each pointer before its block is read; false: it is not read, nor anything below it. */
  enter(block: WalkedBlock): boolean
  damaged(block: WalkedBlock, why: 'unreadable' | 'checksum' | 'pointer'): void
  /** Every block of data that was read and is good. */
  data?(block: WalkedBlock, memory: Memory, from: number): void
}

/** Blocks read at once; each level of the tree has memory for so many. */
const BATCH = 64
const TRANSFERS = 32

/** Reads a tree from the disks, top-down, in the order of its blocks, past any cache. */
export class TreeWalk {
  readonly #plex: Plex
  readonly #port: MemoryPort
  readonly #visitor: TreeVisitor
  readonly #levels: Memory[] = []

  constructor(plex: Plex, port: MemoryPort, visitor: TreeVisitor) {
    this.#plex = plex
    this.#port = port
    this.#visitor = visitor
  }

  *run(root: Uint32Array, height: number): Procedure {
    for (let level = 0; level <= height; level += 1) {
      if (this.#levels.length <= level) this.#levels.push(memoryPool(this.#port).borrow(BATCH * BLOCK_SIZE))
    }
    yield* this.#children(root, 0, 1, height, 0)
  }

  close(): void {
    for (const memory of this.#levels) memoryPool(this.#port).giveBack(memory)
    this.#levels.length = 0
  }

  /** The blocks that `count` pointers from `at` on in `words` name, and all below. */
  *#children(words: Uint32Array, at: number, count: number, level: number, firstBlock: number): Procedure {
    const reach = reachOf(level)
    for (let child = 0; child < count; ) {
      const batch: WalkedBlock[] = []
      for (; child < count && batch.length < BATCH; child += 1) {
        const block = pointerAt(words, at + child * POINTER_WORDS, level, firstBlock + child * reach)
        if (block !== undefined && this.#enter(block)) batch.push(block)
      }
      if (batch.length === 0) continue
      const unread = yield* this.#read(batch, level)
      const good = batch.map((block, place) => this.#isGood(block, place, unread))
      for (const [place, block] of batch.entries()) {
        if (good[place]) yield* this.#visit(block, place)
      }
    }
  }

  #enter(block: WalkedBlock): boolean {
    if (block.physical >= 0 && this.#plex.holds(block.physical)) return this.#visitor.enter(block)
    this.#visitor.damaged(block, 'pointer')
    return false
  }

  /** Reads a batch, neighbours together. Returns the places that could not be read. */
  *#read(batch: readonly WalkedBlock[], level: number): Procedure<ReadonlySet<number>> {
    const { address } = this.#levels[level]!
    const transfers = new Transfers(TRANSFERS)
    const unread = new Set<number>()
    for (let from = 0; from < batch.length; ) {
      const first = batch[from]!.physical
      let count = 1
      while (batch[from + count]?.physical === first + count && this.#plex.holds(first, count + 1)) count += 1
      const [place, end] = [from, from + count]
      yield* transfers.start(
        address + place * BLOCK_SIZE,
        count * BLOCK_SIZE,
        (gather, done) => this.#plex.read(first, gather, done),
        (result) => {
          for (let each = place; result < 0 && each < end; each += 1) unread.add(each)
        },
      )
      from = end
    }
    yield* transfers.drain()
    for (const place of [...unread]) {
      const result = yield* this.#plex.readBlocks(batch[place]!.physical, address + place * BLOCK_SIZE, 1)
      if (result >= 0) unread.delete(place)
    }
    return unread
  }

  #isGood(block: WalkedBlock, place: number, unread: ReadonlySet<number>): boolean {
    const address = this.#levels[block.level]!.address + place * BLOCK_SIZE
    const isRead = !unread.has(place)
    if (isRead && this.#port.checksum(address, BLOCK_SIZE) === block.checksum) return true
    this.#visitor.damaged(block, isRead ? 'checksum' : 'unreadable')
    return false
  }

  *#visit(block: WalkedBlock, place: number): Procedure {
    const memory = this.#levels[block.level]!
    const from = place * BLOCK_SIZE
    if (block.level === 0) return this.#visitor.data?.(block, memory, from)
    yield* this.#children(memory.u32, from / 4, POINTERS_PER_BLOCK, block.level - 1, block.firstBlock)
  }
}

/** The block that a pointer names; undefined for a hole. A pointer of unknown kind names no possible one. */
function pointerAt(
  words: Uint32Array,
  at: number,
  level: number,
  firstBlock: number,
): WalkedBlock | undefined {
  const flags = words[at + FLAGS]!
  if (flags === 0) return undefined
  const physical = flags === POINTER_PRESENT ? words[at + PHYSICAL]! : -1
  return { physical, birth: words[at + BIRTH]!, checksum: words[at + CHECKSUM]!, level, firstBlock }
}
