import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import type { LabelledDisk } from '../disk/labelled-disk.ts'
import { SUPERBLOCK_COPIES_AT, type SuperblockValues } from '../disk/superblock.ts'
import { type DiskZones, diskCountOf } from '../disk/zones.ts'
import { PLEX_FILLING, PLEX_IN_SYNC, PLEX_STALE, plexWord } from '../format/superblock.ts'
import type { Disk } from '../ports/disk.ts'
import type { MemoryPort } from '../ports/memory.ts'
import {
  type CheckReport,
  checkPlex,
  closeAfterCheck,
  openForCheck,
  type PlexToCheck,
  readPlex,
  uncheckedReport,
} from './check.ts'
import { type CheckProblem, CheckProblems } from './check-problems.ts'

/** All but a checked plex cannot be used by themselves: their trees are not complete, and not looked at. */
export type PlexState = 'checked' | 'stale' | 'being filled' | 'empty'

export interface PlexReport extends CheckReport {
  readonly plex: number
  readonly state: PlexState
}

/** What its newest good plex holds, and the problems of all that were given. */
export interface AggregateReport extends CheckReport {
  /** each plex that was given, by itself */
  readonly plexes: readonly PlexReport[]
  /** whether both hold the same generation with the same content; null: there are no two to compare */
  readonly equal: boolean | null
  /** what is worth knowing, and no damage */
  readonly notes: readonly string[]
}

interface NumberedPlex extends PlexToCheck {
  readonly plex: number
  readonly state: PlexState
}

/**
 * Checks each plex of an aggregate by itself, then compares them. Needs all disks of one plex, or of both.
 * A plex that is behind the other one, or not filled yet, is no damage as long as the other one is whole.
 */
export function* checkPlexes(disks: readonly Disk[], port: MemoryPort): Procedure<AggregateReport> {
  const labelled = yield* openForCheck(disks, port)
  try {
    const plexes: NumberedPlex[] = []
    for (const [plex, ofPlex] of byPlex(labelled)) {
      const found = yield* readPlex(ofPlex, port)
      plexes.push({ ...found, plex, state: stateOf(found, plex) })
    }
    compareZones(plexes)
    const isAnyUsable = plexes.some(({ state }) => state === 'checked')
    const reports: PlexReport[] = []
    for (const each of plexes) reports.push(yield* reportOf(each, isAnyUsable, port))
    return conclude(plexes, reports, isAnyUsable)
  } finally {
    closeAfterCheck(labelled, port)
  }
}

/** Refuses a mixture that cannot be checked. */
function byPlex(labelled: readonly LabelledDisk[]): [number, LabelledDisk[]][] {
  const plexes = new Map<number, LabelledDisk[]>()
  for (const each of labelled) {
    const { plex, diskIndex, aggregateName } = each.label
    const ofPlex = plexes.get(plex) ?? []
    const twin = ofPlex.find(({ label }) => label.diskIndex === diskIndex)
    if (twin !== undefined) {
      const both = `${twin.disk.path} and ${each.disk.path}`
      const what = `disk ${diskIndex + 1} of plex ${plex} of aggregate ${aggregateName}`
      throw new StoreError('USAGE', `${both} are both ${what}; give each disk once`)
    }
    plexes.set(plex, [...ofPlex, each])
  }
  const sorted = [...plexes].sort(([a], [b]) => a - b)
  if (sorted.length > 1) for (const [, ofPlex] of sorted) mustBeComplete(ofPlex, sorted[0]![1])
  return sorted
}

function mustBeComplete(plex: readonly LabelledDisk[], first: readonly LabelledDisk[]): void {
  for (const { disk, label } of plex) {
    const is = `${disk.path} is disk ${label.diskIndex + 1} of ${label.diskCount} of plex ${label.plex}`
    if (label.diskCount > plex.length) {
      const text = `${is}, and of this plex ${plex.length} were given`
      throw new StoreError('USAGE', `${text}; give all disks of a plex, or none of them`)
    }
    if (plex.length !== first.length) {
      const text = `${is}, and plex ${first[0]!.label.plex} has ${first.length}: they do not mirror each other`
      throw new StoreError('USAGE', `${text}; check each plex by itself`)
    }
  }
}

function stateOf({ disks, latest, slotProblems }: PlexToCheck, plex: number): PlexState {
  if (latest === undefined) {
    // the very first superblock may be torn by a power cut; more than that is damage
    const ofOneSlot = disks.length * SUPERBLOCK_COPIES_AT.length
    return slotProblems.length <= ofOneSlot ? 'empty' : 'checked'
  }
  const word = plexWord(latest, plex)
  if (word === PLEX_FILLING) return 'being filled'
  return word === PLEX_STALE ? 'stale' : 'checked'
}

const ZONES = [
  'byteLength',
  'superblocksAt',
  'mapIndexAt',
  'mapAt',
  'vaultAt',
  'vaultByteLength',
  'blocksAt',
  'blockCount',
] as const satisfies readonly (keyof DiskZones)[]

/** A block has the same place in both plexes. */
function compareZones([first, second]: readonly NumberedPlex[]): void {
  if (first === undefined || second === undefined) return
  for (const [index, { disk, zones }] of second.disks.entries()) {
    const mirror = first.disks[index]!
    if (ZONES.every((zone) => zones[zone] === mirror.zones[zone])) continue
    second.problems.add('label', `${disk.path}: its zones are not those of its mirror ${mirror.disk.path}`)
  }
}

function* reportOf(each: NumberedPlex, isAnyUsable: boolean, port: MemoryPort): Procedure<PlexReport> {
  const { plex, state } = each
  const isAloneAndEmpty = state === 'empty' && !isAnyUsable
  if (state === 'checked' || isAloneAndEmpty) return { ...(yield* checkPlex(each, port)), plex, state }
  if (!isAnyUsable) {
    const remedy = 'check it together with the disks of the other plex'
    each.problems.add(
      'superblock',
      `its superblock says that it is ${state}: not usable by itself; ${remedy}`,
    )
  }
  return { ...uncheckedReport(each), plex, state }
}

function conclude(
  plexes: readonly NumberedPlex[],
  reports: readonly PlexReport[],
  isAnyUsable: boolean,
): AggregateReport {
  const [newest] = [...reports].sort(bestFirst)
  const { equal, note, difference } = compare(plexes)
  const { list, count } = allProblems(reports, difference)
  const notes = [...(isAnyUsable ? plexes.flatMap(incompleteNote) : []), ...plexes.flatMap(addedNotes)]
  const { plex: _plex, state: _state, ...content } = newest!
  return {
    ...content,
    good: count === 0,
    problems: list,
    problemCount: count,
    plexes: reports,
    equal,
    notes: note === undefined ? notes : [...notes, note],
  }
}

const bestFirst = (a: PlexReport, b: PlexReport): number =>
  Number(b.state === 'checked') - Number(a.state === 'checked') ||
  Number(b.good) - Number(a.good) ||
  b.epoch - a.epoch ||
  b.generation - a.generation

/** With one plex in its own words, with two each says which it is of. */
function allProblems(
  reports: readonly PlexReport[],
  difference: string | undefined,
): { list: readonly CheckProblem[]; count: number } {
  if (reports.length === 1) return { list: reports[0]!.problems, count: reports[0]!.problemCount }
  const all = new CheckProblems()
  if (difference !== undefined) all.add('mirror', difference)
  for (const { plex, problems } of reports) {
    for (const { kind, text } of problems) all.add(kind, `plex ${plex}: ${text}`)
  }
  const hidden = reports.reduce((sum, { problemCount, problems }) => sum + problemCount - problems.length, 0)
  return { list: all.list, count: all.count + hidden }
}

function incompleteNote({ plex, state, latest }: NumberedPlex): string[] {
  if (state === 'checked') return []
  if (latest === undefined) return [`plex ${plex} is empty: it has no superblock yet, and is to be filled`]
  return [`plex ${plex} is ${state} by its own superblock (${moment(latest)}): not usable by itself`]
}

/** Disks that were added, and that no superblock counts yet. */
function addedNotes({ plex, newest, disks }: NumberedPlex): string[] {
  if (newest === undefined) return []
  const zones = disks.map((each) => each.zones)
  const reached = diskCountOf(zones, newest.blockCount)
  if (reached === 0) return []
  return disks
    .slice(reached)
    .map(({ disk }) => `${disk.path} was added to plex ${plex}: the next consistency point counts it`)
}

interface WholePlex {
  readonly plex: number
  readonly newest: SuperblockValues
}

/** Two whole plexes: whether they are equal, else which one is behind, and what the other one knows of it. */
function compare(plexes: readonly NumberedPlex[]): {
  equal: boolean | null
  note?: string
  difference?: string
} {
  const [newer, older] = plexes
    .flatMap(({ plex, state, newest }) => (state === 'checked' && newest ? [{ plex, newest }] : []))
    .sort(newestFirst)
  if (newer === undefined || older === undefined) return { equal: null }
  const [of, than] = [moment(newer.newest), moment(older.newest)]
  const word = plexWord(newer.newest, older.plex)
  if (of !== than) {
    const known = `by the superblock of plex ${newer.plex} it is ${wordText(word)}`
    return {
      equal: false,
      note: `plex ${older.plex} is older (${than}) than plex ${newer.plex} (${of}); ${known}`,
    }
  }
  // one of several attempts at a generation may have reached a plex that was given up in it
  if (word !== PLEX_IN_SYNC) {
    const known = `by the superblock of plex ${newer.plex} (${of}), plex ${older.plex} is ${wordText(word)}`
    return { equal: false, note: known }
  }
  const both = `plex ${newer.plex} and plex ${older.plex}`
  if (newer.newest.root === older.newest.root) return { equal: true, note: `${both} are equal` }
  const roots = [newer, older].map(({ newest }) => newest.root.toString(16).padStart(8, '0')).join(' and ')
  return { equal: false, difference: `${both} have different content of ${of} (roots ${roots})` }
}

/** Of two with the same generation, the one that knows that the other one does not count. */
const newestFirst = (a: WholePlex, b: WholePlex): number =>
  b.newest.epoch - a.newest.epoch ||
  b.newest.generation - a.newest.generation ||
  plexWord(b.newest, a.plex) - plexWord(a.newest, b.plex)

const moment = ({ epoch, generation }: { epoch: number; generation: number }): string =>
  `epoch ${epoch}, generation ${generation}`

function wordText(word: number): string {
  if (word === PLEX_IN_SYNC) return 'in sync: the newest generation had not reached it yet'
  return word === PLEX_FILLING ? 'being filled' : 'stale'
}
