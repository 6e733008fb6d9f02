import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, roundDown } from '../base/units.ts'
import { verifyLabels } from '../disk/label.ts'
import { verifySuperblock } from '../disk/superblock.ts'
import { BIRTH, CHECKSUM, FLAGS, PHYSICAL, POINTER_PRESENT, POINTER_WORDS } from '../format/block-pointer.ts'
import { FAILED, HOLE, WAIT } from './answers.ts'
import type { Volume } from './directory.ts'
import type { Image } from './image.ts'
import { nodeIndex, reachOf } from './tree.ts'
import { TreeWalk, type WalkedBlock } from './walk.ts'
import { bytesToWords } from './words.ts'

/** What does not check, and where; `physical` is -1 for what has no place among the blocks. */
export interface ScrubFinding {
  readonly where: string
  readonly physical: number
  readonly why: string
}

export interface ScrubUser {
  /** Whether the scrub shall end now. */
  readonly isOver: () => boolean
  /** Waits until more may be read, after so many bytes were. */
  pace(byteLength: number): Procedure
  found(finding: ScrubFinding): void
}

/** A part that consistency points keep changing is looked at so often; then it was just written. */
const ATTEMPTS = 3
/** The cache remembers a failure for a while; the disk has been asked again after so many. */
const FAILURES_MAX = 20

/**
 * Reads everything that the image reaches from the disks, past the cache, and checks it: labels, superblocks,
 * free map, volume directory, every tree. Writes nothing. Consistency points go on meanwhile: what does not
 * check counts only if the newest generation still reaches it, since the blocks of older ones are used again.
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
  #suspects: { block: WalkedBlock; why: string }[] = []
  #bytes = 0
  /** the node of each level that was looked at last */
  #seen: number[] = []

  constructor(image: Image, user: ScrubUser) {
    this.#image = image
    this.#user = user
    this.#walk = new TreeWalk(image.plex, image.world.memory, {
      enter: () => {
        this.#bytes += BLOCK_SIZE
        return true
      },
      damaged: (block, why) => this.#suspects.push({ block: { ...block }, why }),
    })
  }

  close(): void {
    this.#walk.close()
  }

  *run(): Procedure {
    yield* this.#labels()
    yield* this.#roots()
    yield* this.#directory()
    const volumes = this.#image.directory.list().map(({ volume }) => volume)
    for (const volume of volumes) yield* this.#volume(volume)
  }

  *#labels(): Procedure {
    for (const { disk, label } of this.#image.plex.disks) {
      const problems = yield* verifyLabels(disk, label, this.#image.world.memory)
      for (const why of problems) this.#user.found({ where: disk.path, physical: -1, why })
    }
  }

  /** Superblock and free map of one generation: both are judged only while it is the newest. */
  *#roots(): Procedure {
    const { plex, freeMap, world, counters } = this.#image
    for (let attempt = 1; attempt <= ATTEMPTS && !this.#user.isOver(); attempt += 1) {
      const { superblock } = this.#image
      // what a crash has left of an earlier writer's superblock was enough to open the image
      const isOurs = counters.consistencyPoints > 0
      const problems = isOurs ? yield* verifySuperblock(plex.disks, superblock, world.memory) : []
      const mapProblems = yield* freeMap.verify()
      if (superblock !== this.#image.superblock) continue
      for (const why of problems) this.#user.found({ where: 'superblock', physical: -1, why })
      // a restart does without the map: it counts the free space afresh
      for (const why of mapProblems) this.#user.found({ where: 'free map', physical: -1, why })
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
      for (const { block, why } of this.#suspects) this.#report('the volume directory', block, why)
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
      if (this.#suspects.length > confirmed.length) continue
      for (const suspect of confirmed) this.#report(`volume ${volume.name}`, suspect.block, suspect.why)
      return next
    }
    return block + reachOf(1)
  }

  *#descend(volume: Volume, block: number): Procedure<number> {
    const { tree } = this.#image
    const { root, height } = volume
    const lowest = Math.min(1, height)
    for (let level = height; level >= lowest; level -= 1) {
      const physical = yield* this.#locate(root, height, block, level)
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
      if (this.#suspects.length > before && level > lowest) return nextUnder(block, level)
    }
    return nextUnder(block, lowest)
  }

  *#locate(root: Uint32Array, height: number, block: number, level: number): Procedure<number> {
    for (let failures = 0; ; ) {
      const physical = this.#image.tree.locate(root, height, block, level, this.#waiter)
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
  *#confirmed(number: number): Procedure<{ block: WalkedBlock; why: string }[]> {
    const confirmed: { block: WalkedBlock; why: string }[] = []
    for (const suspect of this.#suspects) {
      const volume = this.#image.directory.get(number)
      if (volume === undefined) return confirmed
      const { level, firstBlock, physical, checksum } = suspect.block
      const now = yield* this.#locate(volume.root, volume.height, firstBlock, level)
      if (now === physical && this.#image.tree.checksum === checksum) confirmed.push(suspect)
    }
    return confirmed
  }

  #report(of: string, { physical, level, firstBlock }: WalkedBlock, why: string): void {
    const what = level === 0 ? 'data' : `pointers of level ${level}`
    this.#user.found({ where: `${of}, block ${firstBlock} (${what}, at ${physical})`, physical, why })
  }

  *#paced(): Procedure {
    const bytes = this.#bytes
    this.#bytes = 0
    if (bytes > 0) yield* this.#user.pace(bytes)
  }
}

/** The first block that does not lie under the node of this level that `block` lies under. */
const nextUnder = (block: number, level: number): number => roundDown(block, reachOf(level)) + reachOf(level)

function pointerTo(physical: number, checksum: number, birth: number): Uint32Array {
  const words = new Uint32Array(POINTER_WORDS)
  words[PHYSICAL] = physical
  words[FLAGS] = POINTER_PRESENT
  words[BIRTH] = birth
  words[CHECKSUM] = checksum
  return words
}
