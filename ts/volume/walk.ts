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
import type { Copies, Copy } from '../plex/copies.ts'
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

export type Damage = 'unreadable' | 'checksum' | 'pointer'

export interface TreeVisitor {
  /** Called for each pointer before its block is read; false: it is not read, nor anything below it. */
  enter(block: WalkedBlock): boolean
  /** No plex that is in sync has the block. */
  damaged(block: WalkedBlock, why: Damage): void
  /** A plex that is in sync has the block not, and another one has. */
  copyDamaged?(block: WalkedBlock, copy: Copy, why: Damage): void
  /** Every block of data that was read and is good. */
  data?(block: WalkedBlock, memory: Memory, from: number): void
}

/** Blocks read at once; each level of the tree has memory for so many. */
const BATCH = 64
const TRANSFERS = 32

/** Which plexes a walk reads: undefined stands for the only one there is. */
export interface WalkedPlexes {
  readonly copies?: Copies
  /** every block is read from each plex; else only what the first one has not is asked of the other */
  readonly isEach?: boolean
}

/** What one plex lacks of a batch. */
interface Lack {
  readonly place: number
  readonly copy: Copy | undefined
  readonly why: Damage
}

/** Reads a tree from the disks, top-down, in the order of its blocks, past any cache. */
export class TreeWalk {
  readonly #plex: Plex
  readonly #port: MemoryPort
  readonly #visitor: TreeVisitor
  readonly #plexes: WalkedPlexes
  readonly #levels: Memory[] = []
  /** what another plex has of the batch that was read last */
  #other: Memory | undefined

  constructor(plex: Plex, port: MemoryPort, visitor: TreeVisitor, plexes: WalkedPlexes = {}) {
    this.#plex = plex
    this.#port = port
    this.#visitor = visitor
    this.#plexes = plexes
  }

  *run(root: Uint32Array, height: number): Procedure {
    for (let level = 0; level <= height; level += 1) {
      if (this.#levels.length <= level) this.#levels.push(memoryPool(this.#port).borrow(BATCH * BLOCK_SIZE))
    }
    yield* this.#children(root, 0, 1, height, 0)
  }

  close(): void {
    for (const memory of this.#levels) memoryPool(this.#port).giveBack(memory)
    if (this.#other !== undefined) memoryPool(this.#port).giveBack(this.#other)
    this.#levels.length = 0
    this.#other = undefined
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
      const good = yield* this.#readGood(batch, this.#levels[level]!)
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

  /** Reads a batch from as many plexes as it takes, or from all. Returns which blocks are in memory now. */
  *#readGood(batch: readonly WalkedBlock[], memory: Memory): Procedure<boolean[]> {
    const good = batch.map(() => false)
    const lacks: Lack[] = []
    const { copies, isEach } = this.#plexes
    for (const copy of copies?.reading ?? [undefined]) {
      const isFirst = lacks.length === 0 && !good.includes(true)
      if (!isEach && !good.includes(false)) break
      // what is not there can be asked for nothing, if another one is
      if (isEach && !isFirst && !copies!.isReadable(copy!)) continue
      if (!isFirst) this.#other ??= memoryPool(this.#port).borrow(BATCH * BLOCK_SIZE)
      const into = isFirst ? memory : this.#other!
      const unread = yield* this.#read(batch, into, copy)
      for (const [place, block] of batch.entries()) {
        const why = this.#damageOf(block, place, into, unread)
        if (why !== undefined) lacks.push({ place, copy, why })
        else if (!good[place]) takeOver(memory, into, place)
        good[place] ||= why === undefined
      }
    }
    this.#tell(batch, good, lacks)
    return good
  }

  #tell(batch: readonly WalkedBlock[], good: readonly boolean[], lacks: readonly Lack[]): void {
    const damaged = new Set<number>()
    for (const { place, copy, why } of lacks) {
      const block = batch[place]!
      if (good[place]) this.#visitor.copyDamaged?.(block, copy!, why)
      else if (!damaged.has(place)) this.#visitor.damaged(block, why)
      damaged.add(place)
    }
  }

  /** Reads a batch, neighbours together. Returns the places that could not be read. */
  *#read(
    batch: readonly WalkedBlock[],
    { address }: Memory,
    copy: Copy | undefined,
  ): Procedure<ReadonlySet<number>> {
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
        (gather, done) => this.#plex.read(first, gather, done, copy),
        (result) => {
          for (let each = place; result < 0 && each < end; each += 1) unread.add(each)
        },
      )
      from = end
    }
    yield* transfers.drain()
    for (const place of [...unread]) {
      const at = address + place * BLOCK_SIZE
      const result = yield* this.#plex.readBlocks(batch[place]!.physical, at, 1, copy)
      if (result >= 0) unread.delete(place)
    }
    return unread
  }

  #damageOf(
    { checksum }: WalkedBlock,
    place: number,
    { address }: Memory,
    unread: ReadonlySet<number>,
  ): Damage | undefined {
    if (unread.has(place)) return 'unreadable'
    const isGood = this.#port.checksum(address + place * BLOCK_SIZE, BLOCK_SIZE) === checksum
    return isGood ? undefined : 'checksum'
  }

  *#visit(block: WalkedBlock, place: number): Procedure {
    const memory = this.#levels[block.level]!
    const from = place * BLOCK_SIZE
    if (block.level === 0) return this.#visitor.data?.(block, memory, from)
    yield* this.#children(memory.u32, from / 4, POINTERS_PER_BLOCK, block.level - 1, block.firstBlock)
  }
}

function takeOver(into: Memory, from: Memory, place: number): void {
  if (into === from) return
  const at = place * BLOCK_SIZE
  into.bytes.set(from.bytes.subarray(at, at + BLOCK_SIZE), at)
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
