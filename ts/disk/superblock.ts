import { assert } from '../base/assert.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, KIB } from '../base/units.ts'
import { TREE_HEIGHT_MAX } from '../format/block-pointer.ts'
import { sameIdentity } from '../format/identity.ts'
import { SEQUENCE_MAX } from '../format/log-ring.ts'
import { judgeSeal, seal } from '../format/sealed.ts'
import {
  MAP_INDEX_ENTRIES_MAX,
  PLEX_IN_SYNC,
  plexWord,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_SLOTS,
  SUPERBLOCK_VERSION,
  Superblock,
  superblockSlot,
} from '../format/superblock.ts'
import type { MemoryPort } from '../ports/memory.ts'
import type { LabelledDisk } from './labelled-disk.ts'
import { memoryPool } from './memory-pool.ts'
import { readBytes, Transfers } from './transfers.ts'
import { SUPERBLOCK_ZONE_BYTES } from './zones.ts'

export type SuperblockValues = ReturnType<typeof Superblock.decode>

/** Every superblock is written twice per disk: one rotten sector must not cost the newest generation. */
export const SUPERBLOCK_COPIES_AT = [0, 512 * KIB] as const
const SLOTS_BYTES = SUPERBLOCK_SLOTS * BLOCK_SIZE

export interface FoundSuperblocks {
  /** highest epoch, then highest generation, of those allowed */
  readonly newest: SuperblockValues | undefined
  /** the generation before the newest */
  readonly previous: SuperblockValues | undefined
  /** the highest epoch found beyond the allowed one, or -1 */
  readonly refusedEpoch: number
  /** slots that hold something which is not whole, in words */
  readonly problems: readonly string[]
  /** the newest of all, whatever it says of its own plex: for tools */
  readonly latest: SuperblockValues | undefined
  /** the newest on each disk, whatever it says of the disk's own plex */
  readonly newestOf: readonly (SuperblockValues | undefined)[]
}

/**
 * Reads all slots of all disks. A disk whose newest superblock says that its plex is not in sync has none.
 * One disk that has the newest superblock is enough: what it reaches was flushed on all disks before.
 */
export function* readSuperblocks(
  disks: readonly LabelledDisk[],
  allowedEpoch: number,
  port: MemoryPort,
): Procedure<FoundSuperblocks> {
  const good: SuperblockValues[] = []
  const problems: string[] = []
  const newestOf: (SuperblockValues | undefined)[] = []
  let latest: SuperblockValues | undefined
  for (const labelled of disks) {
    const known = yield* readDisk(labelled, port, problems)
    const [own] = known.sort(newestFirst)
    newestOf.push(own)
    if (own === undefined) continue
    if (latest === undefined || newestFirst(own, latest) < 0) latest = own
    const isWhole = (each: SuperblockValues): boolean => plexWord(each, labelled.label.plex) === PLEX_IN_SYNC
    if (isWhole(own)) good.push(...known.filter(isWhole))
  }
  return { ...choose(good, allowedEpoch), problems, latest, newestOf }
}

/** What both copies of all slots of one disk hold. */
function* readDisk(
  labelled: LabelledDisk,
  port: MemoryPort,
  problems: string[],
): Procedure<SuperblockValues[]> {
  const { disk, zones } = labelled
  const pool = memoryPool(port)
  const scratch = pool.borrow(SLOTS_BYTES)
  const known: SuperblockValues[] = []
  for (const copyAt of SUPERBLOCK_COPIES_AT) {
    const transfers = new Transfers(SUPERBLOCK_SLOTS)
    const unread = new Set<number>()
    for (let slot = 0; slot < SUPERBLOCK_SLOTS; slot += 1) {
      const at = zones.superblocksAt + copyAt + slot * BLOCK_SIZE
      yield* transfers.start(
        scratch.address + slot * BLOCK_SIZE,
        BLOCK_SIZE,
        (gather, done) => disk.read(at, gather, done),
        (result) => result < 0 && unread.add(slot),
      )
    }
    yield* transfers.drain()
    for (let slot = 0; slot < SUPERBLOCK_SLOTS; slot += 1) {
      const block = scratch.bytes.subarray(slot * BLOCK_SIZE, (slot + 1) * BLOCK_SIZE)
      const verdict = unread.has(slot) ? 'cannot be read' : judgeSlot(block, slot, labelled)
      if (verdict === 'good') known.push(Superblock.decode(block))
      else if (verdict !== 'blank') problems.push(`${disk.path}: superblock slot ${slot} ${verdict}`)
    }
  }
  pool.giveBack(scratch)
  return known
}

/** Reads both copies of one superblock on every disk. Returns what is not whole, in words. */
export function* verifySuperblock(
  disks: readonly LabelledDisk[],
  { slot, epoch, generation }: SuperblockValues,
  port: MemoryPort,
): Procedure<string[]> {
  const pool = memoryPool(port)
  const scratch = pool.borrow(BLOCK_SIZE)
  const problems: string[] = []
  for (const labelled of disks) {
    for (const copyAt of SUPERBLOCK_COPIES_AT) {
      const at = labelled.zones.superblocksAt + copyAt + slot * BLOCK_SIZE
      const result = yield* readBytes(labelled.disk, at, scratch.address, BLOCK_SIZE)
      const verdict = result < 0 ? 'cannot be read' : judgeSlot(scratch.bytes, slot, labelled)
      const found = Superblock.decode(scratch.bytes)
      const isIt = verdict === 'good' && found.epoch === epoch && found.generation === generation
      if (isIt) continue
      const what = verdict === 'good' ? `holds generation ${found.generation}` : verdict
      problems.push(`${labelled.disk.path}: superblock slot ${slot} ${what}`)
    }
  }
  pool.giveBack(scratch)
  return problems
}

function judgeSlot(block: Uint8Array, slot: number, { label, disk }: LabelledDisk): string {
  const verdict = judgeSeal(block, SUPERBLOCK_MAGIC, SUPERBLOCK_VERSION)
  if (verdict === 'blank') return 'blank'
  if (verdict === 'version') return 'is of another format version'
  if (verdict !== 'good') return 'does not check'
  const found = Superblock.decode(block)
  if (found.slot !== slot || superblockSlot(found.epoch, found.generation) !== slot)
    return 'belongs into another slot'
  if (!sameIdentity(found.disk, label.disk)) return `was written for another disk than ${disk.path}`
  if (!sameIdentity(found.aggregate, label.aggregate)) return 'belongs to another aggregate'
  if (!sameIdentity(found.pair, label.pair)) return 'belongs to another pair'
  if (found.mapIndexCount > MAP_INDEX_ENTRIES_MAX) return 'has an impossible map index'
  if (found.directoryHeight > TREE_HEIGHT_MAX) return 'has a directory of impossible height'
  if (found.lastSequence > SEQUENCE_MAX) return 'has an impossible last entry'
  return 'good'
}

function choose(
  good: readonly SuperblockValues[],
  allowedEpoch: number,
): Pick<FoundSuperblocks, 'newest' | 'previous' | 'refusedEpoch'> {
  const refusedEpoch = Math.max(-1, ...good.map((each) => each.epoch).filter((epoch) => epoch > allowedEpoch))
  const allowed = good.filter((each) => each.epoch <= allowedEpoch).sort(newestFirst)
  const newest = allowed[0]
  const previous = newest && allowed.find((each) => each.generation === newest.generation - 1)
  return { newest, previous, refusedEpoch }
}

const newestFirst = (a: SuperblockValues, b: SuperblockValues): number =>
  b.epoch - a.epoch || b.generation - a.generation

/**
 * Writes a superblock to its slot on every disk and waits. Returns 0 or -errno; flush comes after. Tells of
 * each disk that failed.
 */
export function* writeSuperblock(
  disks: readonly LabelledDisk[],
  values: SuperblockValues,
  port: MemoryPort,
  failed: (disk: LabelledDisk, result: number) => void = () => {},
): Procedure<number> {
  const slot = superblockSlot(values.epoch, values.generation)
  assert(values.slot === slot, 'a superblock is written to its own slot')
  const pool = memoryPool(port)
  const scratch = pool.borrow(disks.length * BLOCK_SIZE)
  const transfers = new Transfers(disks.length * SUPERBLOCK_COPIES_AT.length)
  try {
    for (const [index, labelled] of disks.entries()) {
      const { disk, label, zones } = labelled
      const from = index * BLOCK_SIZE
      const block = scratch.bytes.subarray(from, from + BLOCK_SIZE)
      Superblock.encode({ ...values, disk: label.disk }, block)
      seal(block)
      for (const copyAt of SUPERBLOCK_COPIES_AT) {
        const at = zones.superblocksAt + copyAt + slot * BLOCK_SIZE
        yield* transfers.start(
          scratch.address + from,
          BLOCK_SIZE,
          (gather, done) => disk.write(at, gather, done),
          (result) => result < 0 && failed(labelled, result),
        )
      }
    }
    return yield* transfers.drain()
  } finally {
    // also when the writer is fenced meanwhile: the disks may still read from it
    yield* transfers.drain()
    pool.giveBack(scratch)
  }
}

/** Makes all slots blank, before a new image is made over an old one. Returns 0 or -errno. */
export function* eraseSuperblocks(disks: readonly LabelledDisk[], port: MemoryPort): Procedure<number> {
  const pool = memoryPool(port)
  const zeroes = pool.borrow(SUPERBLOCK_ZONE_BYTES)
  const transfers = new Transfers()
  for (const { disk, zones } of disks) {
    const at = zones.superblocksAt
    yield* transfers.start(zeroes.address, SUPERBLOCK_ZONE_BYTES, (gather, done) =>
      disk.write(at, gather, done),
    )
  }
  const failure = yield* transfers.drain()
  pool.giveBack(zeroes)
  return failure
}
