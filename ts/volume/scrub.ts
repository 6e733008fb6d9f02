import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, roundDown } from '../base/units.ts'
import { verifyLabels } from '../disk/label.ts'
import { verifySuperblock } from '../disk/superblock.ts'
import { BIRTH, CHECKSUM, FLAGS, PHYSICAL, POINTER_PRESENT, POINTER_WORDS } from '../format/block-pointer.ts'
import type { Copy } from '../plex/copies.ts'
import { FAILED, HOLE, WAIT } from './answers.ts'
import type { Volume } from './directory.ts'
import type { Image } from './image.ts'
import { FAILURES_MAX, nextUnder, nodeIndex, reachOf } from './tree.ts'
import { type TreeVisitor, TreeWalk, type WalkedBlock } from './walk.ts'
import { bytesToWords } from './words.ts'

/** What does not check, and where; `physical` is -1 for what has no place among the blocks. */
export interface ScrubFinding {
  readonly where: string
  readonly physical: number
  readonly why: string
  /** the other plex had it: it was written again where it was damaged */
  readonly isMended: boolean
}

export interface ScrubUser {
  /** Whether the scrub shall end now. */
  readonly isOver: () => boolean
  /** Waits until more may be read, after so many bytes were. */
  pace(byteLength: number): Procedure
  found(finding: ScrubFinding): void
  /** The free map is to be written anew. */
  rewriteMap(): void
}

interface Suspect {
  readonly block: WalkedBlock
  readonly why: string
  /** the plex that has it damaged, if another one has not */
  readonly copy: Copy | undefined
  readonly isMended: boolean
}

type Outcome = 'gone' | 'damaged' | 'mended'

/** A part that consistency points keep changing is looked at so often; then it was just written. */
const ATTEMPTS = 3

/**
 * Reads everything that the image reaches from the disks of every plex in sync, past the cache, and checks
 * it: labels, superblocks, free map, volume directory, every tree. Blocks that one plex has and another one
 * has not are written again there; apart from that it writes nothing. A plex that nobody answers for is
 * passed over: that says nothing of its disks. Consistency points go on meanwhile: what does not check
 * counts only if the newest generation still reaches it, since the blocks of older ones are used again.
 */
export function* scrub(image: Image, user: ScrubUser): Procedure {
  const pass = new Pass(image, user)
  try {
    yield* pass.run()
  } finally {
    pass.close()
  }
}

class Pass {
  readonly #image: Image
  readonly #user: ScrubUser
  readonly #walk: TreeWalk
  readonly #waiter = { wake: (): void => {} }
  #suspects: Suspect[] = []
  #bytes = 0
  /** the node of each level that was looked at last */
  #seen: number[] = []

  constructor(image: Image, user: ScrubUser) {
    this.#image = image
    this.#user = user
    const suspect = (block: WalkedBlock, why: string, copy?: Copy): void => {
      this.#suspects.push({ block: { ...block }, why, copy, isMended: false })
    }
    const visitor: TreeVisitor = {
      enter: () => {
        this.#bytes += BLOCK_SIZE * Math.max(1, image.copies.readable.length)
        return true
      },
      damaged: (block, why) => suspect(block, why),
      copyDamaged: (block, copy, why) => {
        if (image.copies.isReadable(copy)) suspect(block, why, copy)
      },
    }
    this.#walk = new TreeWalk(image.plex, image.world.memory, visitor, { copies: image.copies, isEach: true })
  }

  close(): void {
    this.#walk.close()
  }

  *run(): Procedure {
    const { copies } = this.#image
    copies.readers += 1
    try {
      yield* this.#labels()
      yield* this.#roots()
    } finally {
      copies.readers -= 1
    }
    yield* this.#directory()
    const volumes = this.#image.directory.list().map(({ volume }) => volume)
    for (const volume of volumes) yield* this.#volume(volume)
  }

  *#labels(): Procedure {
    const { copies, world } = this.#image
    for (const copy of copies.reading) {
      for (const { disk, label } of copy.disks) {
        const problems = yield* verifyLabels(disk, label, world.memory)
        if (copies.isReadable(copy)) for (const why of problems) this.#found(disk.path, why)
      }
    }
  }

  /** Superblock and free map of one generation: both are judged only while it is the newest. */
  *#roots(): Procedure {
    const { copies, freeMap, world, counters } = this.#image
    for (let attempt = 1; attempt <= ATTEMPTS && !this.#user.isOver(); attempt += 1) {
      const { superblock } = this.#image
      // what a crash has left of an earlier writer's superblock was enough to open the image
      const isOurs = counters.consistencyPoints > 0
      const read = copies.readable
      const disks = read.flatMap((copy) => copy.disks)
      const problems = isOurs ? yield* verifySuperblock(disks, superblock, world.memory) : []
      const mapProblems: string[] = []
      for (const copy of read) mapProblems.push(...(yield* freeMap.verify(copy)))
      const isUnchanged = superblock === this.#image.superblock
      if (!isUnchanged || !read.every((copy) => copies.isReadable(copy))) continue
      for (const why of problems) this.#found('superblock', why)
      // a restart does without the map: it counts the free space afresh
      for (const why of mapProblems) this.#found('free map', why)
      if (mapProblems.length > 0 && copies.isMirrored) this.#user.rewriteMap()
      return
    }
  }

  *#directory(): Procedure {
    for (let attempt = 1; attempt <= ATTEMPTS && !this.#user.isOver(); attempt += 1) {
      const { superblock } = this.#image
      this.#suspects = []
      yield* this.#walk.run(bytesToWords(superblock.directory), superblock.directoryHeight)
      yield* this.#paced()
      if (superblock !== this.#image.superblock && this.#suspects.length > 0) continue
      for (const suspect of this.#suspects) {
        const { physical, checksum } = suspect.block
        const reaches = (): number => {
          this.#image.tree.checksum = checksum
          return superblock === this.#image.superblock ? physical : HOLE
        }
        const outcome = yield* this.#mended(suspect, reaches)
        if (outcome === 'gone') continue
        this.#report('the volume directory', { ...suspect, isMended: outcome === 'mended' })
      }
      return
    }
  }

  *#volume(number: number): Procedure {
    this.#seen = []
    let block = 0
    for (;;) {
      const volume = this.#image.directory.get(number)
      if (this.#user.isOver() || volume === undefined || block * BLOCK_SIZE >= volume.size) return
      block = yield* this.#leafAt(volume, block)
    }
  }

  /** Looks at nodes above a block that were not seen yet, and at its whole leaf. Returns the next one. */
  *#leafAt({ volume: number }: Volume, block: number): Procedure<number> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const volume = this.#image.directory.get(number)
      if (volume === undefined) return block
      this.#suspects = []
      const next = yield* this.#descend(volume, block)
      yield* this.#paced()
      const confirmed = yield* this.#confirmed(number)
      const isWhole = this.#suspects.length === confirmed.length
      // the next attempt finds those good that were mended in this one
      for (const suspect of confirmed)
        if (isWhole || suspect.isMended || attempt === ATTEMPTS)
          this.#report(`volume ${volume.name}`, suspect)
      if (isWhole) return next
      this.#seen = []
    }
    return block + reachOf(1)
  }

  *#descend(volume: Volume, block: number): Procedure<number> {
    const { tree } = this.#image
    const lowest = Math.min(1, volume.height)
    for (let level = volume.height; level >= lowest; level -= 1) {
      const physical = yield* this.#locate(volume.volume, block, level)
      if (physical === HOLE) return nextUnder(block, Math.max(tree.holeLevel, lowest))
      // what failed is above, and was looked at there
      if (physical === FAILED) return nextUnder(block, level)
      const node = nodeIndex(block, level)
      if (level > lowest && this.#seen[level] === node) continue
      this.#seen[level] = node
      const pointer = pointerTo(physical, tree.checksum, tree.birth)
      const before = this.#suspects.length
      // an inner node is read alone, as if it were data; the lowest one with all that it has
      yield* this.#walk.run(pointer, level > lowest ? 0 : lowest)
      this.#place(before, level > lowest ? level : 0, roundDown(block, reachOf(level)))
      // what only one plex has not is in memory all the same
      const isLost = this.#suspects.slice(before).some(({ copy }) => copy === undefined)
      if (isLost && level > lowest) return nextUnder(block, level)
    }
    return nextUnder(block, lowest)
  }

  /** Asks for what the newest generation reaches, each time: blocks of older ones are used again. */
  *#locate(number: number, block: number, level: number): Procedure<number> {
    const { directory, tree } = this.#image
    for (let failures = 0; ; ) {
      const volume = directory.get(number)
      if (volume === undefined) return FAILED
      const physical = tree.locate(volume.root, volume.height, block, level, this.#waiter)
      // whoever has let go of the image does not read for its cache any more
      if (physical === WAIT && this.#user.isOver()) return FAILED
      if (physical === FAILED) failures += 1
      if (physical !== WAIT && (physical !== FAILED || failures > FAILURES_MAX)) return physical
      yield physical === WAIT ? 'wait' : 'again'
    }
  }

  /** A walk begins at the pointer that it is given: its levels and blocks count from there. */
  #place(from: number, level: number, firstBlock: number): void {
    for (const { block } of this.#suspects.slice(from)) {
      block.level += level
      block.firstBlock += firstBlock
    }
  }

  /** Those suspects that the newest generation still reaches at the same place. */
  *#confirmed(number: number): Procedure<Suspect[]> {
    const confirmed: Suspect[] = []
    for (const suspect of this.#suspects) {
      const { level, firstBlock } = suspect.block
      const reaches = (): number => {
        const volume = this.#image.directory.get(number)
        if (volume === undefined) return HOLE
        return this.#image.tree.locate(volume.root, volume.height, firstBlock, level, this.#waiter)
      }
      const outcome = yield* this.#mended(suspect, reaches)
      if (outcome !== 'gone') confirmed.push({ ...suspect, isMended: outcome === 'mended' })
    }
    return confirmed
  }

  /**
   * Whether the newest generation still reaches the block, which `reaches` tells, or it is gone; then it is
   * mended, if that is possible. Reaching and mending are one step: nothing else may have been written there
   * in between.
   */
  *#mended({ block, copy }: Suspect, reaches: () => number): Procedure<Outcome> {
    const { cache, mender, tree } = this.#image
    for (let failures = 0; ; ) {
      const physical = reaches()
      if (physical === WAIT && this.#user.isOver()) return 'gone'
      if (physical === FAILED) failures += 1
      if (failures > FAILURES_MAX) return 'gone'
      if (physical >= 0 || physical === HOLE) {
        if (physical !== block.physical || tree.checksum !== block.checksum) return 'gone'
        if (copy?.state !== 'in-sync' || this.#user.isOver()) return 'damaged'
        const frame = cache.get(physical, block.checksum, this.#waiter)
        if (frame === FAILED) return 'damaged'
        if (frame >= 0 && mender.mend(physical, cache.memory, frame * BLOCK_SIZE, copy))
          return yield* this.#written(physical, copy)
      }
      yield physical === FAILED ? 'again' : 'wait'
    }
  }

  /** A block that is on its way to a plex. One that fails is left out; the last one refuses writes. */
  *#written(physical: number, copy: Copy): Procedure<Outcome> {
    const { mender, copies } = this.#image
    while (mender.isMending(physical, copy)) yield 'wait'
    return copy.state === 'in-sync' && copies.failure === undefined ? 'mended' : 'damaged'
  }

  #found(where: string, why: string): void {
    this.#user.found({ where, physical: -1, why, isMended: false })
  }

  #report(of: string, { block, why, copy, isMended }: Suspect): void {
    const { physical, level, firstBlock } = block
    const what = level === 0 ? 'data' : `pointers of level ${level}`
    const where = `${of}, block ${firstBlock} (${what}, at ${physical}${copy ? ` of plex ${copy.plex}` : ''})`
    this.#user.found({ where, physical, why, isMended })
  }

  *#paced(): Procedure {
    const bytes = this.#bytes
    this.#bytes = 0
    if (bytes > 0) yield* this.#user.pace(bytes)
  }
}

function pointerTo(physical: number, checksum: number, birth: number): Uint32Array {
  const words = new Uint32Array(POINTER_WORDS)
  words[PHYSICAL] = physical
  words[FLAGS] = POINTER_PRESENT
  words[BIRTH] = birth
  words[CHECKSUM] = checksum
  return words
}
