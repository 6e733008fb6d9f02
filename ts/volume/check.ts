import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { type LabelledDisk, openAnyLabelled } from '../disk/labelled-disk.ts'
import { memoryPool } from '../disk/memory-pool.ts'
import { readSuperblocks, type SuperblockValues } from '../disk/superblock.ts'
import { sameIdentity } from '../format/identity.ts'
import { VOLUME_RECORDS_PER_BLOCK } from '../format/volume-record.ts'
import { Plex } from '../plex/plex.ts'
import type { Disk } from '../ports/disk.ts'
import type { MemoryPort } from '../ports/memory.ts'
import { addedDisks } from './added-disks.ts'
import { compareMap } from './check-map.ts'
import { type CheckProblem, CheckProblems } from './check-problems.ts'
import { type Volume, VolumeDirectory } from './directory.ts'
import { volumeMistake } from './directory-load.ts'
import { Space } from './space.ts'
import { decodeVolumeBlock } from './volume-block.ts'
import { TreeWalk, type WalkedBlock } from './walk.ts'
import { bytesToWords } from './words.ts'

export type { CheckProblem } from './check-problems.ts'

export interface CheckReport {
  readonly good: boolean
  readonly aggregate: string
  readonly epoch: number
  readonly generation: number
  readonly lastSequence: number
  /** one number that stands for the whole content of this generation */
  readonly root: number
  readonly volumes: readonly {
    readonly volume: number
    readonly name: string
    readonly size: number
    readonly mappedBlocks: number
  }[]
  readonly totals: {
    readonly blocks: number
    readonly used: number
    readonly data: number
    readonly pointers: number
    readonly directory: number
  }
  /** the first hundred */
  readonly problems: readonly CheckProblem[]
  readonly problemCount: number
}

const NO_LIMIT = Number.POSITIVE_INFINITY

/**
 * Checks everything that the newest superblock reaches: labels, superblocks, the checksum of every
 * block, pointers, births, volumes, and that the free map marks exactly what is reached. Reads only,
 * and needs nothing but the disks of one plex, or copies of them taken at any moment.
 */
export function* check(disks: readonly Disk[], port: MemoryPort): Procedure<CheckReport> {
  const labelled = yield* openForCheck(disks, port)
  try {
    return yield* checkPlex(yield* readPlex(labelled, port), port)
  } finally {
    closeAfterCheck(labelled, port)
  }
}

export function* openForCheck(disks: readonly Disk[], port: MemoryPort): Procedure<LabelledDisk[]> {
  const labelled: LabelledDisk[] = []
  for (const disk of disks) labelled.push(yield* openAnyLabelled(disk, port))
  return labelled
}

export function closeAfterCheck(labelled: readonly LabelledDisk[], port: MemoryPort): void {
  for (const { scratch } of labelled) memoryPool(port).giveBack(scratch)
}

/** One plex before its trees are checked. */
export interface PlexToCheck {
  /** in order */
  readonly disks: readonly LabelledDisk[]
  /** the newest of those that say that the plex is in sync */
  readonly newest: SuperblockValues | undefined
  /** the newest of all */
  readonly latest: SuperblockValues | undefined
  /** slots that hold something which is not whole, in words */
  readonly slotProblems: readonly string[]
  readonly problems: CheckProblems
}

/** Looks at labels and superblocks. */
export function* readPlex(labelled: readonly LabelledDisk[], port: MemoryPort): Procedure<PlexToCheck> {
  const disks = [...labelled].sort((a, b) => a.label.diskIndex - b.label.diskIndex)
  const problems = new CheckProblems()
  const first = disks[0]!.label
  for (const [index, { disk, label, damaged }] of disks.entries()) {
    if (damaged !== undefined)
      problems.add('label', `${disk.path}: the label at its ${damaged} does not check`)
    if (!sameIdentity(label.aggregate, first.aggregate))
      problems.add('label', `${disk.path}: of another aggregate`)
    if (label.diskIndex !== index)
      problems.add('label', `${disk.path}: disk ${index + 1} is missing before it`)
    // disks that were added are counted by the others from the next opening on
    if (label.diskCount <= index || label.diskCount > disks.length) {
      problems.add('label', `${disk.path}: one of ${label.diskCount} disks, and ${disks.length} were given`)
    }
  }
  const { newest, latest, newestOf, problems: slotProblems } = yield* readSuperblocks(disks, NO_LIMIT, port)
  for (const added of addedDisks(disks)) {
    const found = newestOf[disks.indexOf(added)]
    if (found === undefined) continue
    const text = `holds generation ${found.generation}, and the other disks do not count it`
    problems.add('label', `${added.disk.path}: ${text}`)
  }
  return { disks, newest, latest, slotProblems, problems }
}

/** Checks what the newest superblock reaches. */
export function* checkPlex(plex: PlexToCheck, port: MemoryPort): Procedure<CheckReport> {
  const { disks, newest, slotProblems, problems } = plex
  if (newest !== undefined) {
    const report = yield* new CheckWalk(new Plex(disks), newest, port, problems).run()
    return { ...report, aggregate: disks[0]!.label.aggregateName }
  }
  // slots that are not whole are normal while the image is written; without any good one they explain
  for (const text of slotProblems) problems.add('superblock', text)
  problems.add('superblock', 'there is no valid superblock')
  return uncheckedReport(plex)
}

/** What is known of a plex whose trees are not looked at. */
export function uncheckedReport({ disks, latest, problems }: PlexToCheck): CheckReport {
  return {
    good: false,
    aggregate: disks[0]!.label.aggregateName,
    epoch: latest?.epoch ?? 0,
    generation: latest?.generation ?? 0,
    lastSequence: latest?.lastSequence ?? 0,
    root: latest?.root ?? 0,
    volumes: [],
    totals: { blocks: 0, used: 0, data: 0, pointers: 0, directory: 0 },
    problems: problems.list,
    problemCount: problems.count,
  }
}

class CheckWalk {
  readonly #plex: Plex
  readonly #superblock: SuperblockValues
  readonly #port: MemoryPort
  readonly #problems: CheckProblems
  readonly #space: Space
  readonly #directory: VolumeDirectory
  readonly #totals = { blocks: 0, used: 0, data: 0, pointers: 0, directory: 0 }
  readonly #volumes: Volume[] = []
  #of = 'the volume directory'
  #blockCount = 0
  #data = 0

  constructor(plex: Plex, superblock: SuperblockValues, port: MemoryPort, problems: CheckProblems) {
    this.#plex = plex
    this.#superblock = superblock
    this.#port = port
    this.#problems = problems
    this.#space = new Space(plex.segments, plex.blockCount, port)
    this.#directory = new VolumeDirectory(this.#space)
    this.#totals.blocks = plex.usableBlocks
  }

  *run(): Procedure<CheckReport> {
    const { epoch, generation, lastSequence, root, blockCount, usedBlocks } = this.#superblock
    if (!this.#plex.segments.some(({ end }) => end === blockCount)) {
      this.#problems.add(
        'superblock',
        `it counts ${blockCount} blocks, the disks have ${this.#plex.blockCount}`,
      )
    }
    yield* this.#checkDirectory()
    for (const volume of this.#volumes) yield* this.#checkVolume(volume)
    if (this.#totals.used !== usedBlocks) {
      this.#problems.add(
        'superblock',
        `it counts ${usedBlocks} used blocks, ${this.#totals.used} are reached`,
      )
    }
    yield* compareMap(this.#plex, this.#superblock, this.#space.bits, this.#port, this.#problems)
    this.#space.close()
    const volumes = this.#volumes.map(({ volume, name, size, mappedBlocks }) => ({
      volume,
      name,
      size,
      mappedBlocks,
    }))
    return {
      good: this.#problems.count === 0,
      aggregate: '',
      epoch,
      generation,
      lastSequence,
      root,
      volumes,
      totals: this.#totals,
      problems: this.#problems.list,
      problemCount: this.#problems.count,
    }
  }

  *#checkDirectory(): Procedure {
    const { directory, directoryHeight, directoryBlocks, nextVolume } = this.#superblock
    this.#blockCount = NO_LIMIT
    const walk = new TreeWalk(this.#plex, this.#port, {
      enter: (block) => this.#enter(block),
      damaged: (block, why) => this.#damaged(block, why),
      data: (block, memory, from) => {
        const bytes = memory.bytes.subarray(from, from + BLOCK_SIZE)
        for (const volume of decodeVolumeBlock(bytes, block.firstBlock * VOLUME_RECORDS_PER_BLOCK)) {
          this.#record(volume, nextVolume)
        }
      },
    })
    yield* walk.run(bytesToWords(directory), Math.min(directoryHeight, 4))
    walk.close()
    this.#totals.directory = this.#data
    if (this.#data !== directoryBlocks) {
      this.#problems.add('directory', `it has ${this.#data} blocks, the superblock counts ${directoryBlocks}`)
    }
  }

  #record(volume: Volume, nextVolume: number): void {
    const mistake = volumeMistake(volume, nextVolume, this.#directory)
    if (mistake !== undefined) return this.#problems.add('directory', `volume ${volume.volume} ${mistake}`)
    this.#directory.load(volume)
    this.#volumes.push(volume)
  }

  *#checkVolume(volume: Volume): Procedure {
    this.#of = `volume ${volume.name}`
    this.#data = 0
    this.#blockCount = volume.size / BLOCK_SIZE
    const walk = new TreeWalk(this.#plex, this.#port, {
      enter: (block) => this.#enter(block),
      damaged: (block, why) => this.#damaged(block, why),
    })
    yield* walk.run(volume.root, volume.height)
    walk.close()
    this.#totals.data += this.#data
    if (this.#data !== volume.mappedBlocks) {
      this.#problems.add(
        'volume',
        `${this.#of}: ${this.#data} blocks are mapped, ${volume.mappedBlocks} counted`,
      )
    }
  }

  #enter(block: WalkedBlock): boolean {
    const { generation } = this.#superblock
    const where = this.#where(block)
    if (block.birth > generation) {
      this.#problems.add('birth', `${where}: born in generation ${block.birth}, the newest is ${generation}`)
    }
    if (block.firstBlock >= this.#blockCount)
      this.#problems.add('size', `${where}: beyond the end of the volume`)
    if (block.level === 0) this.#data += 1
    else this.#totals.pointers += 1
    if (!this.#space.mark(block.physical)) {
      this.#problems.add('shared', `${where}: the block is used twice`)
      return false
    }
    this.#totals.used += 1
    return true
  }

  #damaged(block: WalkedBlock, why: string): void {
    this.#problems.add(why, `${this.#where(block)}: ${why}`)
  }

  #where(block: WalkedBlock): string {
    const what = block.level === 0 ? 'data' : `pointers of level ${block.level}`
    return `${this.#of}, block ${block.firstBlock} (${what}, at ${block.physical})`
  }
}
