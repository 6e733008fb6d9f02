import { isStoreError, StoreError } from '../base/errors.ts'
import type { PlexPlace } from '../base/plex-place.ts'
import type { Procedure } from '../base/procedure.ts'
import { closeDisks, giveBackScratch } from '../disk/guarded-disk.ts'
import { type ExpectedDisk, type LabelledDisk, openLabelled } from '../disk/labelled-disk.ts'
import { readSuperblocks, type SuperblockValues } from '../disk/superblock.ts'
import { blockRanges, diskCountOf, spaceMistake } from '../disk/zones.ts'
import { identityFromText } from '../format/identity.ts'
import { PLEX_IN_SYNC, plexWord } from '../format/superblock.ts'
import { type Base, baseOf, Copies, Copy, NO_BASE, noPlexInSync } from '../plex/copies.ts'
import { MirroredDisk } from '../plex/mirrored-disk.ts'
import { Plex } from '../plex/plex.ts'
import type { Disk, DiskPort } from '../ports/disk.ts'
import type { World } from '../ports/world.ts'
import { addedDisks, addedMustBeEmpty, reachMistake } from './added-disks.ts'

/** The disks of one plex, or why they could not be opened. */
export type PlexDisks = readonly Disk[] | StoreError

/** Identities of pair and aggregate, as texts. */
export interface Whose {
  readonly pair: string
  readonly aggregate: string
}

/** What the arbiter's record says of a plex; absent: the aggregate had no mirror. */
export type RecordedPlex = 'in-sync' | 'stale' | 'absent'

type PlexWorld = Pick<World, 'memory'> & Partial<Pick<World, 'host'>>

/** Opens the disks of one plex, all or none. Those of the partner join later, when the link is up. */
export function openDisks(port: DiskPort, place: PlexPlace): PlexDisks {
  if (place === 'partner') return new StoreError('DISK_AWAY', "its disks are the partner's")
  const disks: Disk[] = []
  try {
    for (const path of place) disks.push(port.open(path))
    return disks
  } catch (error) {
    for (const disk of disks) disk.close()
    if (!(error instanceof StoreError)) throw error
    return error
  }
}

/** Checks the labels of one plex. Throws DISK_*; then the disks are closed. */
export function* labelledPlex(
  world: PlexWorld,
  plex: number,
  disks: readonly Disk[],
  whose: Whose,
): Procedure<LabelledDisk[]> {
  const labelled: LabelledDisk[] = []
  try {
    const pair = identity('pair', whose.pair)
    const aggregate = identity('aggregate', whose.aggregate)
    for (const [diskIndex, disk] of disks.entries()) {
      const expected: ExpectedDisk = { pair, aggregate, plex, diskIndex, diskCount: disks.length }
      const opened = yield* openLabelled(disk, expected, world.memory)
      labelled.push(opened)
      if (opened.damaged === undefined) continue
      const text = `${disk.path}: the label at its ${opened.damaged} does not check`
      world.host?.event('warn', 'label damaged', text)
    }
    const mistake = spaceMistake(labelled.map(({ zones }) => zones))
    if (mistake !== undefined)
      throw new StoreError('DISK_UNUSABLE', `${disks.map(({ path }) => path).join(' ')}: ${mistake}`)
    if (addedDisks(labelled).length > 0) yield* addedMustBeEmpty(labelled, world.memory)
    return labelled
  } catch (error) {
    for (const disk of disks) disk.close()
    giveBackScratch(world.memory, labelled)
    throw error
  }
}

/** The same for all plexes: what could be opened of each, or why not. */
export function* labelledPlexes(
  world: PlexWorld,
  plexes: readonly PlexDisks[],
  whose: Whose,
): Procedure<(LabelledDisk[] | StoreError)[]> {
  const opened: (LabelledDisk[] | StoreError)[] = []
  for (const [plex, disks] of plexes.entries()) {
    try {
      opened.push(disks instanceof StoreError ? disks : yield* labelledPlex(world, plex, disks, whose))
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      opened.push(error)
    }
  }
  return opened
}

export interface FoundImage {
  readonly copies: Copies
  readonly newest: SuperblockValues
  readonly previous: SuperblockValues | undefined
  /** disks in sync that the newest superblock was not found on: whoever wrote it died before it was */
  readonly lacking: readonly LabelledDisk[]
}

/**
 * Finds the newest generation on the plexes that the record calls in sync, and which of them have it. One is
 * enough. `recorded`: what the record says of each plex. Throws DISK_* and IMAGE_UNREADABLE.
 */
export function* findImage(
  world: Pick<World, 'memory' | 'host'>,
  opened: readonly (LabelledDisk[] | StoreError)[],
  recorded: readonly RecordedPlex[],
  allowedEpoch: number,
): Procedure<FoundImage> {
  const inSync = recorded.map((word) => word === 'in-sync')
  const usable = opened.flatMap((disks, plex) =>
    inSync[plex] && !(disks instanceof StoreError) ? disks : [],
  )
  if (usable.length === 0) throw noneUsable(opened, inSync)
  const found = yield* readSuperblocks(usable, allowedEpoch, world.memory)
  for (const problem of found.problems) world.host.event('warn', 'superblock damaged', problem)
  const newest = mustBeAllowed(found, usable, allowedEpoch)
  const newestOf = (disk: LabelledDisk): SuperblockValues | undefined => found.newestOf[usable.indexOf(disk)]
  const judge = new Judge(newest, recorded, opened, newestOf)
  const all = opened.map((_, plex) => judge.copyOf(plex))
  for (const { plex, state, because } of all) {
    // the partner's disks come later, in their turn
    const isAway = isStoreError(opened[plex], 'DISK_AWAY')
    if (inSync[plex] && state === 'missing' && !isAway)
      world.host.event('error', 'plex not usable', `plex ${plex}: ${because}`, { plex })
  }
  if (!all.some(({ state }) => state === 'in-sync'))
    throw noPlexInSync(all.map(({ plex, because }) => `plex ${plex}: ${because}`).join('; '))
  const copies = new Copies(all)
  const lacking = copies.disks.filter((disk) => !isIt(newestOf(disk), newest))
  return { copies, newest, previous: found.previous, lacking }
}

const isIt = (found: SuperblockValues | undefined, newest: SuperblockValues): boolean =>
  found?.epoch === newest.epoch && found.generation === newest.generation

/** What each plex is worth, going by the newest superblock of those that the record calls in sync. */
class Judge {
  readonly #newest: SuperblockValues
  readonly #recorded: readonly RecordedPlex[]
  readonly #opened: readonly (LabelledDisk[] | StoreError)[]
  readonly #newestOf: (disk: LabelledDisk) => SuperblockValues | undefined
  /** the zones that others are compared with */
  #model: readonly LabelledDisk[] | undefined

  constructor(
    newest: SuperblockValues,
    recorded: readonly RecordedPlex[],
    opened: readonly (LabelledDisk[] | StoreError)[],
    newestOf: (disk: LabelledDisk) => SuperblockValues | undefined,
  ) {
    this.#newest = newest
    this.#recorded = recorded
    this.#opened = opened
    this.#newestOf = newestOf
  }

  copyOf(plex: number): Copy {
    const word = this.#recorded[plex]
    const disks = this.#opened[plex]!
    const base = word === 'absent' ? NO_BASE : baseOf(this.#newest, plex)
    if (disks instanceof StoreError) return new Copy(plex, 'missing', [], base, disks.message)
    if (word !== 'in-sync') return new Copy(plex, 'missing', disks, base, `the record calls it ${word}`)
    if (plexWord(this.#newest, plex) !== PLEX_IN_SYNC)
      return new Copy(plex, 'missing', disks, base, 'the newest superblock calls it stale')
    const lack = this.#lackOf(disks, plex)
    if (lack !== undefined) return new Copy(plex, 'missing', disks, NO_BASE, lack)
    this.#model ??= disks
    return new Copy(plex, 'in-sync', disks, base)
  }

  /**
   * Every disk of a plex that is in sync has the newest superblock or, by a crash, the one before. Those that
   * were added since are empty, and lack nothing.
   */
  #lackOf(disks: readonly LabelledDisk[], plex: number): string | undefined {
    const difference = this.#model && differentZones(disks, this.#model)
    const mistake = difference ?? reachMistake(disks, this.#newest)
    if (mistake !== undefined) return mistake
    const isOnly = this.#opened.length === 1
    const zones = disks.map((disk) => disk.zones)
    for (const labelled of disks.slice(0, diskCountOf(zones, this.#newest.blockCount))) {
      const found = this.#newestOf(labelled)
      // of an aggregate without a mirror, any disk vouches for all
      if (isOnly || isWhole(found, plex, this.#newest)) continue
      const has = found === undefined ? 'no superblock' : `generation ${found.generation}`
      return `${labelled.disk.path} has ${has}, and generation ${this.#newest.generation} should be there, whole`
    }
    return undefined
  }
}

/** An empty image says nothing: another disk may have been formatted in this place. */
export function isWhole(
  found: SuperblockValues | undefined,
  plex: number,
  { epoch, generation }: Base,
): boolean {
  if (found === undefined || plexWord(found, plex) !== PLEX_IN_SYNC) return false
  return found.generation >= generation - 1 && (found.epoch > 0 || epoch === 0)
}

/**
 * The base of a plex that comes back: what the plexes in sync say, as far as its own disks bear it out. One
 * that was being filled says itself from where on; another disk in its place says nothing.
 */
export function confirmedBase(
  base: Base,
  disks: readonly LabelledDisk[],
  newestOf: readonly (SuperblockValues | undefined)[],
): Base {
  let { generation } = base
  const ranges = blockRanges(disks.map(({ zones }) => zones))
  // on a disk that was added later, the base has nothing
  const isBeforeAdded = (first: number): boolean =>
    newestOf.some((found) => found && found.generation >= base.generation && found.blockCount <= first)
  for (const [index, { label }] of disks.entries()) {
    const found = newestOf[index]
    if (isBeforeAdded(ranges[index]!.first)) continue
    if (isWhole(found, label.plex, base)) continue
    const isFilling = found !== undefined && plexWord(found, label.plex) !== PLEX_IN_SYNC
    generation = isFilling ? Math.min(generation, baseOf(found, label.plex).generation) : 0
    if (generation === 0) return NO_BASE
  }
  return { ...base, generation }
}

/** Blocks have the same places on both plexes. Returns what is different. */
export function differentZones(
  disks: readonly LabelledDisk[],
  model: readonly LabelledDisk[],
): string | undefined {
  if (disks.length !== model.length) {
    const paths = disks.map(({ disk }) => disk.path).join(', ')
    const text = `${paths}: a plex of ${disks.length} disks cannot mirror one of ${model.length}`
    if (disks.length > model.length) return `${text}; correct the lists`
    return `${text}: add the missing one to the list of the node that has these disks, and restart that`
  }
  for (const [index, { zones, disk }] of disks.entries()) {
    const wanted = model[index]?.zones
    const isSame =
      wanted !== undefined &&
      wanted.mapIndexAt === zones.mapIndexAt &&
      wanted.mapAt === zones.mapAt &&
      wanted.vaultAt === zones.vaultAt &&
      wanted.vaultByteLength === zones.vaultByteLength &&
      wanted.blocksAt === zones.blocksAt &&
      wanted.blockCount === zones.blockCount
    if (isSame) continue
    const size = wanted === undefined ? '' : ` --size ${wanted.byteLength}B`
    return `${disk.path} is not laid out like the disk that it mirrors; label it again${size}`
  }
  return undefined
}

/** The block space of all plexes. */
export function plexOf(copies: Copies): Plex {
  const [first] = copies.reading
  const zones = first!.disks.map((disk) => disk.zones)
  if (!copies.isMirrored) return new Plex(first!.disks)
  return new Plex(zones.map((each, index) => ({ disk: new MirroredDisk(copies, index), zones: each })))
}

/** Closes the disks of all plexes that could be opened. */
export function* closePlexes(
  { memory }: Pick<World, 'memory'>,
  opened: readonly (readonly LabelledDisk[] | StoreError)[],
): Procedure {
  yield* closeDisks(
    memory,
    opened.flatMap((disks) => (disks instanceof StoreError ? [] : disks)),
  )
}

export const noSuperblock = (where: string): StoreError =>
  new StoreError('IMAGE_UNREADABLE', `${where}: no valid superblock; look with: pollux check ${where}`)

function mustBeAllowed(
  { newest, refusedEpoch }: { newest: SuperblockValues | undefined; refusedEpoch: number },
  disks: readonly LabelledDisk[],
  allowedEpoch: number,
): SuperblockValues {
  const where = disks.map(({ disk }) => disk.path).join(', ')
  if (refusedEpoch >= 0) {
    // an owner's epoch is in the record before it is on the disks: the record is from the past, or not theirs
    const text = `${where}: a superblock is of epoch ${refusedEpoch}, the arbiter knows only ${allowedEpoch}`
    const remedy = "restore the arbiter's data, or check that these disks belong to this arbiter"
    throw new StoreError('IMAGE_UNREADABLE', `${text}; ${remedy}`)
  }
  if (newest === undefined) throw noSuperblock(where)
  return newest
}

function noneUsable(
  opened: readonly (LabelledDisk[] | StoreError)[],
  inSync: readonly boolean[],
): StoreError {
  const failures = opened.filter((disks, plex) => inSync[plex] && disks instanceof StoreError) as StoreError[]
  const [only] = failures
  if (failures.length === 1 && opened.length === 1) return only!
  const why = failures.map(({ message }) => message).join('; ')
  const stale = opened.flatMap((_, plex) => (inSync[plex] ? [] : [`plex ${plex} is stale`]))
  return new StoreError(only?.code ?? 'IMAGE_UNREADABLE', [why, ...stale].filter(Boolean).join('; '))
}

function identity(of: string, text: string): Uint8Array {
  const found = identityFromText(text)
  if (found === undefined)
    throw new StoreError('CONFIG_INVALID', `the identity of the ${of} is wrong: ${text}`)
  return found
}
