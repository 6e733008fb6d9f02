import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import { DISK_IO_ERROR } from '../disk/guarded-disk.ts'
import type { LabelledDisk } from '../disk/labelled-disk.ts'
import type { SuperblockValues } from '../disk/superblock.ts'
import { PLEX_FILLING, PLEX_IN_SYNC, PLEX_STALE, plexWord } from '../format/superblock.ts'
import type { Completion } from '../ports/completion.ts'
import { Pins } from './pins.ts'

/**
 * What a plex is to its owner. *In sync*: it has everything, and nothing counts without it. *Filling*: it is
 * written, and a resync brings it the rest. *Missing*: it is not written.
 */
export type CopyState = 'in-sync' | 'filling' | 'missing'

/** The last generation of which a plex has everything; generation 0: it has nothing that is known. */
export interface Base {
  readonly epoch: number
  readonly generation: number
}

export const NO_BASE: Base = { epoch: 0, generation: 0 }

/** One plex, as its owner sees it. */
export class Copy {
  readonly plex: number
  /** on the partner's host */
  isRemote = false
  state: CopyState
  /** why it is not in sync, in words */
  because: string
  /** in order; empty as long as they are not open */
  disks: readonly LabelledDisk[]
  base: Base
  /** everything has been copied: the next consistency point that is begun makes it whole */
  isCopied = false
  /** the generation that makes it whole; 0: none is being written */
  wholeIn = 0
  /** while it is being filled: the newest generation is all there, and so will be those that follow */
  isWhole = false

  constructor(plex: number, state: CopyState, disks: readonly LabelledDisk[], base = NO_BASE, because = '') {
    assert(state === 'missing' || disks.length > 0, 'a plex that is used is open')
    this.plex = plex
    this.state = state
    this.disks = disks
    this.base = base
    this.because = because
  }
}

interface HeldFlush {
  readonly done: Completion
  readonly result: number
}

/**
 * The plexes of an aggregate, and which of them count. The rule: nothing that was flushed counts before each
 * plex has it, or the arbiter's record calls the plex stale that has it not. Flushes keep it: everything
 * durable goes through one. A plex whose disk fails is given up as long as another one is in sync.
 */
export class Copies {
  readonly all: readonly Copy[]
  readonly pins = new Pins()
  /** whoever keeps disks of a plex in hand from one step to the next: they are not closed meanwhile */
  readers = 0
  /** those that are in sync: the first one is read, and it is on this host if any is */
  reading: readonly Copy[] = []
  /** those that are written */
  writing: readonly Copy[] = []
  /** what the record is to say of each plex */
  recordWords: readonly ('in-sync' | 'stale')[] = []
  /** whether the record calls a plex stale, for sure */
  isRecordedStale: (plex: number) => boolean = () => false
  /** whether nobody answers for the disks on the partner's host */
  isRemoteAway: () => boolean = () => false
  onMissing: (copy: Copy) => void = () => {}
  #held: HeldFlush[] = []
  #isClosed = false

  constructor(all: readonly Copy[]) {
    this.all = all
    this.#sort()
    assert(this.reading.length > 0, 'some plex is in sync')
  }

  get isMirrored(): boolean {
    return this.all.length > 1
  }

  /** Disks of the plexes that are written. */
  get disks(): LabelledDisk[] {
    return this.writing.flatMap(({ disks }) => disks)
  }

  setState(copy: Copy, state: CopyState, because = ''): void {
    copy.state = state
    copy.because = because
    copy.isCopied = false
    copy.wholeIn = 0
    copy.isWhole = false
    this.#sort()
    assert(this.reading.length > 0, 'the last plex that is in sync stays')
  }

  /** A write or flush of this plex has failed. It is given up, unless no other one is in sync. */
  failed(copy: Copy, why: string): void {
    if (copy.state === 'missing' || this.isLast(copy)) return
    this.setState(copy, 'missing', why)
    this.onMissing(copy)
  }

  /** This plex is on the partner's host. */
  setRemote(plex: number): void {
    this.all[plex]!.isRemote = true
    this.#sort()
  }

  /** Whether no plex on this host has everything. */
  get isRemoteOnly(): boolean {
    return this.reading.every(({ isRemote }) => isRemote)
  }

  /** It should have everything, and can be asked for it. */
  isReadable({ state, isRemote }: Copy): boolean {
    return state === 'in-sync' && !(isRemote && this.isRemoteAway())
  }

  /** Those in sync that can be asked; none, if the only one is on a host that does not answer. */
  get readable(): Copy[] {
    return this.reading.filter((copy) => this.isReadable(copy))
  }

  isLast(copy: Copy): boolean {
    return copy.state === 'in-sync' && this.reading.length === 1
  }

  /** Whether the record calls all plexes stale that are not in sync. */
  get isSettled(): boolean {
    for (const copy of this.all) {
      if (copy.state !== 'in-sync' && !this.isRecordedStale(copy.plex)) return false
    }
    return true
  }

  /** A flush has succeeded on all plexes that count. It completes when the record says of the others so. */
  flushed(done: Completion, result: number): void {
    if (this.isSettled) done.complete(result)
    else if (this.#isClosed) done.complete(DISK_IO_ERROR)
    else this.#held.push({ done, result })
  }

  /** A flush waits for the record. */
  get isHolding(): boolean {
    return this.#held.length > 0
  }

  /** Called once per turn. */
  step(): void {
    if (this.#held.length === 0 || !this.isSettled) return
    for (const { done, result } of this.#held.splice(0)) done.complete(result)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The ownership is over: nothing counts any more that has not. */
  close(): void {
    this.#isClosed = true
    for (const { done } of this.#held.splice(0)) done.complete(DISK_IO_ERROR)
  }

  /** A consistency point begins. Returns whether it makes a plex whole: then it writes all of the map. */
  begin(generation: number): boolean {
    const whole = this.all.filter(({ isCopied, isWhole }) => isCopied && !isWhole)
    for (const copy of whole) copy.wholeIn = generation
    return whole.length > 0
  }

  /** What the superblock of this generation says of the plexes, if it is written now. */
  words(
    generation: number,
  ): Pick<
    SuperblockValues,
    'plex0' | 'plex1' | 'base0Epoch' | 'base0Generation' | 'base1Epoch' | 'base1Generation'
  > {
    const [first, second] = [this.#wordsOf(0, generation), this.#wordsOf(1, generation)]
    return {
      plex0: first.state,
      plex1: second.state,
      base0Epoch: first.base.epoch,
      base0Generation: first.base.generation,
      base1Epoch: second.base.epoch,
      base1Generation: second.base.generation,
    }
  }

  #wordsOf(plex: number, generation: number): { state: number; base: Base } {
    const copy = this.all[plex]
    // nobody writes to a plex that is not configured
    if (copy === undefined) return { state: PLEX_STALE, base: NO_BASE }
    const isWhole = copy.state === 'in-sync' || copy.isWhole || copy.wholeIn === generation
    if (isWhole) return { state: PLEX_IN_SYNC, base: NO_BASE }
    return { state: copy.state === 'filling' ? PLEX_FILLING : PLEX_STALE, base: copy.base }
  }

  /** A superblock with these words is durable: what it calls in sync has everything of this generation. */
  published(superblock: SuperblockValues): void {
    for (const copy of this.all) {
      if (plexWord(superblock, copy.plex) !== PLEX_IN_SYNC) continue
      copy.base = { epoch: superblock.epoch, generation: superblock.generation }
      if (copy.state === 'filling') copy.isWhole = true
    }
  }

  /** What failed on a disk without which nothing goes on; undefined if all of them are good. */
  get failure(): string | undefined {
    for (const { disks } of this.reading) {
      for (const { disk } of disks) if (disk.failure !== undefined) return `${disk.path}: ${disk.failure}`
    }
    return undefined
  }

  #sort(): void {
    const inSync = this.all.filter(({ state }) => state === 'in-sync')
    this.reading = inSync.sort((a, b) => Number(a.isRemote) - Number(b.isRemote))
    this.writing = this.all.filter(({ state }) => state !== 'missing')
    this.recordWords = this.all.map(({ state }) => (state === 'in-sync' ? 'in-sync' : 'stale'))
  }
}

/** The base of a plex that is not in sync, going by the newest superblock of one that is. */
export function baseOf(superblock: SuperblockValues, plex: number): Base {
  const { epoch, generation } = superblock
  if (plexWord(superblock, plex) === PLEX_IN_SYNC) return { epoch, generation }
  return plex === 0
    ? { epoch: superblock.base0Epoch, generation: superblock.base0Generation }
    : { epoch: superblock.base1Epoch, generation: superblock.base1Generation }
}

export const noPlexInSync = (why: string): StoreError =>
  new StoreError('IMAGE_UNREADABLE', `no plex that is in sync can be used: ${why}`)
