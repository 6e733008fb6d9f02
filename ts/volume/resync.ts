import { assert } from '../base/assert.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import { Transfers } from '../disk/transfers.ts'
import {
  BIRTH,
  CHECKSUM,
  FLAGS,
  PHYSICAL,
  POINTER_PRESENT,
  POINTER_WORDS,
  POINTERS_PER_BLOCK,
  TREE_HEIGHT_MAX,
} from '../format/block-pointer.ts'
import type { Copy } from '../plex/copies.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory } from '../ports/memory.ts'
import { FAILED, HOLE, WAIT } from './answers.ts'
import type { Image } from './image.ts'
import { FAILURES_MAX, nextUnder, nodeIndex, reachOf } from './tree.ts'
import { bytesToWords } from './words.ts'

export interface ResyncUser {
  /** How many blocks are copied at once, at most. */
  pieceBlocks(): number
  /** Whether the resync shall end now. */
  readonly isOver: () => boolean
  /** Waits until more may be copied, after so many bytes were. */
  pace(byteLength: number): Procedure
  /** A block that no plex in sync has any more: it stays damaged. */
  damaged(physical: number): void
}

export interface ResyncOutcome {
  /** whether it has come to its end */
  readonly isThrough: boolean
  /** what could not be read, and perhaps can be another time */
  readonly unreadCount: number
}

/** All under one leaf, it and the nodes above it. */
const PIECE_BLOCKS_MAX = POINTERS_PER_BLOCK + TREE_HEIGHT_MAX
const TRANSFERS = 16
/** Pieces looked at before others get a turn. */
const PIECES_PER_STEP = 64

interface LiveTree {
  readonly root: Uint32Array
  readonly height: number
  readonly blockCount: number
}

interface Wanted {
  readonly physical: number
  readonly checksum: number
}

/**
 * Copies to a plex that is being filled what was born after its base and before it was written again: from
 * then on every consistency point has written to it, too. Runs while clients and consistency points do. What
 * a piece copies is reached by the newest generation, and pinned, so that nobody writes to its places at the
 * same time.
 */
export function* resync(image: Image, copy: Copy, user: ResyncUser): Procedure<ResyncOutcome> {
  const pass = new Resync(image, copy, user)
  try {
    return yield* pass.run()
  } finally {
    pass.close()
  }
}

class Resync {
  readonly #image: Image
  readonly #copy: Copy
  readonly #user: ResyncUser
  readonly #pool: MemoryPool
  readonly #memory: Memory
  readonly #waiter = { wake: (): void => {} }
  /** blocks born from here on are written to this plex by consistency points */
  readonly #writtenFrom: number
  #wanted: Wanted[] = []
  /** the node of each level that was looked at last */
  #seen: number[] = []
  #pieces = 0
  #unreadCount = 0

  constructor(image: Image, copy: Copy, user: ResyncUser) {
    this.#image = image
    this.#copy = copy
    this.#user = user
    this.#pool = memoryPool(image.world.memory)
    this.#memory = this.#pool.borrowAsIs(PIECE_BLOCKS_MAX * BLOCK_SIZE)
    this.#writtenFrom = image.generation + 1
  }

  close(): void {
    this.#pool.giveBack(this.#memory)
  }

  *run(): Procedure<ResyncOutcome> {
    const { directory } = this.#image
    yield* this.#tree(() => this.#directory())
    for (const { volume: number } of directory.list()) {
      yield* this.#tree(() => {
        const volume = directory.get(number)
        return volume && { ...volume, blockCount: volume.size / BLOCK_SIZE }
      })
    }
    return { isThrough: this.#mayGoOn, unreadCount: this.#unreadCount }
  }

  get #mayGoOn(): boolean {
    return this.#copy.state === 'filling' && !this.#user.isOver()
  }

  #directory(): LiveTree {
    const { directory, directoryHeight: height } = this.#image.superblock
    return { root: bytesToWords(directory), height, blockCount: reachOf(height) }
  }

  /** `live`: the tree as the newest generation has it; undefined: it has been deleted. */
  *#tree(live: () => LiveTree | undefined): Procedure {
    this.#seen = []
    let block = 0
    let failures = 0
    while (this.#mayGoOn) {
      const tree = live()
      if (tree === undefined || block >= tree.blockCount) return
      this.#wanted = []
      const skips = failures > FAILURES_MAX
      const next = this.#collect(tree, block, skips)
      if (next >= 0) {
        yield* this.#copyWanted()
        block = next
        this.#pieces += 1
      } else if (next === FAILED) failures += 1
      if (next >= 0) failures = 0
      if (next === WAIT) yield 'wait'
      else if (next === FAILED || this.#pieces % PIECES_PER_STEP === 0) yield 'again'
    }
  }

  /**
   * Collects a block, its next neighbours under the same leaf and the nodes above, as far as the plex lacks
   * them. Returns the block to go on with, or WAIT or FAILED. `skips`: what cannot be read is left out.
   */
  #collect({ root, height }: LiveTree, block: number, skips: boolean): number {
    const { tree, cache } = this.#image
    if (height === 0) {
      this.#want(root, 0)
      return Number.POSITIVE_INFINITY
    }
    for (let level = height; ; level -= 1) {
      const physical = tree.locate(root, height, block, level, this.#waiter)
      if (physical === HOLE) return this.#saw(block, height, level, Math.max(tree.holeLevel, 1))
      if (physical === FAILED && skips) return this.#passOver(this.#saw(block, height, level, level))
      if (physical === FAILED || physical === WAIT) return physical
      if (tree.birth <= this.#copy.base.generation) return this.#saw(block, height, level, level)
      if (this.#seen[level] !== nodeIndex(block, level)) this.#add(physical, tree.checksum, tree.birth)
      if (level > 1) continue
      const frame = cache.get(physical, tree.checksum, this.#waiter)
      if (frame === FAILED && skips) return this.#passOver(this.#saw(block, height, 0, 1))
      if (frame < 0) return frame
      const next = this.#saw(block, height, 0, 1)
      const most = Math.max(1, this.#user.pieceBlocks())
      for (let each = block, nodes = this.#wanted.length; each < next; each += 1) {
        if (this.#wanted.length - nodes >= most) return each
        this.#want(cache.u32, cache.frameWord(frame) + (each % POINTERS_PER_BLOCK) * POINTER_WORDS)
      }
      return next
    }
  }

  #passOver(next: number): number {
    this.#unreadCount += 1
    return next
  }

  /** The nodes over a block, down to above `level`, are taken. Returns what is after those under `under`. */
  #saw(block: number, height: number, level: number, under: number): number {
    for (let each = level + 1; each <= height; each += 1) this.#seen[each] = nodeIndex(block, each)
    return nextUnder(block, under)
  }

  #want(words: Uint32Array, at: number): void {
    if (words[at + FLAGS] !== POINTER_PRESENT) return
    this.#add(words[at + PHYSICAL]!, words[at + CHECKSUM]!, words[at + BIRTH]!)
  }

  #add(physical: number, checksum: number, birth: number): void {
    if (birth <= this.#copy.base.generation || birth >= this.#writtenFrom) return
    if (!this.#image.plex.holds(physical)) return
    assert(this.#wanted.length < PIECE_BLOCKS_MAX, 'no tree is higher than its format allows')
    this.#wanted.push({ physical, checksum })
  }

  *#copyWanted(): Procedure {
    if (this.#wanted.length === 0) return
    const { copies, generation } = this.#image
    const wanted = this.#wanted.sort((a, b) => a.physical - b.physical)
    copies.pins.pin(generation)
    try {
      const { plex } = this.#image
      const read = yield* this.#transfer(wanted, (first, gather, done) => plex.read(first, gather, done))
      // then not all of it was read
      if (!this.#mayGoOn) return
      const good = wanted.map(({ checksum }, place) => this.#checksum(place) === checksum)
      for (const [place, isGood] of good.entries()) {
        if (isGood) continue
        if (read < 0) this.#unreadCount += 1
        else this.#user.damaged(wanted[place]!.physical)
      }
      const failure = yield* this.#transfer(
        wanted,
        (first, gather, done) => this.#image.plex.write(first, gather, done, this.#copy),
        good,
      )
      if (failure < 0) copies.failed(this.#copy, `a write of the resync failed with error ${-failure}`)
    } finally {
      copies.pins.unpin(generation)
    }
    yield* this.#user.pace(wanted.length * BLOCK_SIZE)
  }

  #checksum(place: number): number {
    return this.#image.world.memory.checksum(this.#memory.address + place * BLOCK_SIZE, BLOCK_SIZE)
  }

  /** One request for neighbours; `only`: for these alone. Returns the first failure, or 0. */
  *#transfer(
    wanted: readonly Wanted[],
    start: (first: number, gather: Parameters<Image['plex']['read']>[1], done: Completion) => void,
    only?: readonly boolean[],
  ): Procedure<number> {
    const transfers = new Transfers(TRANSFERS)
    for (let from = 0; from < wanted.length; ) {
      const count = this.#runFrom(wanted, from, only)
      const { physical } = wanted[from]!
      if (only?.[from] !== false) {
        const address = this.#memory.address + from * BLOCK_SIZE
        while (transfers.inFlight === TRANSFERS) yield 'wait'
        if (!this.#mayGoOn) break
        yield* transfers.start(address, count * BLOCK_SIZE, (gather, done) => start(physical, gather, done))
      }
      from += count
    }
    return yield* transfers.drain()
  }

  #runFrom(wanted: readonly Wanted[], from: number, only: readonly boolean[] | undefined): number {
    const first = wanted[from]!.physical
    if (only?.[from] === false) return 1
    let count = 1
    while (
      wanted[from + count]?.physical === first + count &&
      only?.[from + count] !== false &&
      this.#image.plex.holds(first, count + 1)
    )
      count += 1
    return count
  }
}
