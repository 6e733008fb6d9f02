import { StoreError } from '../base/errors.ts'
import type { PlexPlace } from '../base/plex-place.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { closeDisks } from '../disk/guarded-disk.ts'
import { type LabelledDisk, tellFailures } from '../disk/labelled-disk.ts'
import { readSuperblocks, type SuperblockValues, writeSuperblock } from '../disk/superblock.ts'
import { flushDisk } from '../disk/transfers.ts'
import type { Consistency } from '../flow/consistency.ts'
import type { Branch } from '../format/owner-record.ts'
import { PLEX_FILLING } from '../format/superblock.ts'
import type { Vault } from '../log/vault.ts'
import type { ResyncProgress } from '../node/messages.ts'
import { type Copy, NO_BASE } from '../plex/copies.ts'
import type { Disk } from '../ports/disk.ts'
import type { World } from '../ports/world.ts'
import { reachMistake, renewLabels } from '../volume/added-disks.ts'
import type { Image } from '../volume/image.ts'
import {
  confirmedBase,
  differentZones,
  labelledPlex,
  openDisks,
  type PlexDisks,
  type Whose,
} from '../volume/open-plexes.ts'
import { resync } from '../volume/resync.ts'
import { Backoff } from './backoff.ts'
import { mustNotBeAhead, mustNotBeLost } from './other-branch.ts'
import { mustOwn, type Right } from './owning.ts'
import { Pacer } from './pacer.ts'
import { type ClientLoad, ResyncRate } from './resync-rate.ts'

export interface ReturningParts extends Right {
  readonly world: World
  readonly image: Image
  readonly consistency: Consistency
  readonly vault: Vault
  readonly plexes: readonly PlexPlace[]
  /** opens the disks of the partner */
  readonly openRemote: () => Procedure<PlexDisks>
  /** all disks that the partner has open, by its own list */
  readonly remoteDisks: () => readonly Disk[]
  readonly whose: Whose
  readonly clients: ClientLoad
  /** where the image has left another branch, by the record */
  readonly newestBranch: () => Branch | undefined
}

const BACKOFF = { firstMs: 500, maxMs: 10_000, forgivenAfterMs: 20_000 }

/**
 * Brings a plex that is missing back into sync, while clients run: its disks are opened anew, marked as being
 * filled, written by every consistency point from then on, and a resync copies the rest. Then a consistency
 * point makes the plex whole, the vault gets its marks there, and the record may call it in sync.
 */
export class Returning {
  /** of the resync that is under way, or was last */
  copiedBytes = 0
  /** the ownership is about to be handed over: what is under way ends, and nothing is begun */
  isQuiet = false
  #running: Procedure | undefined
  #returning: Copy | undefined
  /** when the resync that is under way, or was last, has begun */
  #sinceMs = 0
  #isOver = false
  #dueMs = Number.POSITIVE_INFINITY
  /** of each plex */
  readonly #backoffs: readonly Backoff[]
  /** all disks of each plex that has come back, also those that the image does without */
  readonly #found: (readonly LabelledDisk[])[] = []
  #hasMoreDisks = false
  readonly #parts: ReturningParts
  readonly #pacer: Pacer
  readonly #rate: ResyncRate

  constructor(parts: ReturningParts) {
    this.#parts = parts
    this.#backoffs = parts.plexes.map(() => new Backoff(BACKOFF))
    const { clock } = parts.world
    this.#pacer = new Pacer(clock, () => this.#isOver || this.isQuiet)
    this.#rate = new ResyncRate(clock, this.#pacer, parts.clients)
  }

  /** Every plex is in sync, and has more disks than the image lies on: a new opening counts them. */
  get hasMoreDisks(): boolean {
    return this.#hasMoreDisks && this.#parts.image.copies.all.every(({ state }) => state === 'in-sync')
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /**
   * The partner is there, and maybe its disks. `isOutlived`: those in use were opened before the link broke.
   * They would fail only with the next write, and leave the plex stale then, whatever comes next.
   */
  linkUp(isOutlived: boolean): void {
    if (isOutlived) this.leaveOutRemote('the link to its disks was down')
    const missing = this.#missing
    if (missing?.isRemote !== true) return
    this.#backoffs[missing.plex]!.forget()
    this.#dueMs = 0
  }

  /** The disks of the partner cannot be used as they are. It is tried again. */
  leaveOutRemote(why: string): void {
    const { copies } = this.#parts.image
    const remote = copies.all.find(({ isRemote }) => isRemote)
    if (remote !== undefined) copies.failed(remote, why)
  }

  /**
   * A plex that was given up may still be there, and then the log of the partner may belong to it: that is
   * left as it is until the plex is filled.
   */
  get keepsLostLog(): boolean {
    const lost = this.#parts.newestBranch()?.lost
    return lost !== undefined && this.#parts.image.copies.all[lost]?.state === 'missing'
  }

  /** Called once per turn. Returns whether there is more to do at once. */
  step(nowMs: number): boolean {
    if (this.#running === undefined && !this.#begin(nowMs)) return false
    try {
      const { done, value } = this.#running!.next()
      if (done === true) this.#ended()
      return done !== true && value === 'again'
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#failed(nowMs, error)
      return false
    }
  }

  nextWakeMs(): number {
    if (this.#running !== undefined) return this.#pacer.nextWakeMs()
    return this.isQuiet ? Number.POSITIVE_INFINITY : this.#dueMs
  }

  /** The ownership ends: what is left to be done until nothing is in flight. */
  *close(): Procedure {
    this.#isOver = true
    while (this.#running !== undefined) {
      this.step(this.#parts.world.clock.now())
      if (this.#running !== undefined) yield 'wait'
    }
  }

  /** Of the resync of this plex, if one is under way. */
  progressOf(copy: Copy): ResyncProgress | undefined {
    if (copy !== this.#returning || copy.state !== 'filling') return undefined
    const { image, world } = this.#parts
    const { copiedBytes } = this
    const usedBytes = image.superblock.usedBlocks * BLOCK_SIZE
    const tookMs = Math.max(1, world.clock.now() - this.#sinceMs)
    return {
      copiedBytes,
      restBytesMax: Math.max(0, usedBytes - copiedBytes),
      bytesPerSecond: (copiedBytes / tookMs) * 1000,
    }
  }

  #begin(nowMs: number): boolean {
    if (this.#isOver || this.isQuiet) return false
    const copy = this.#missing
    if (copy === undefined) {
      this.#dueMs = Number.POSITIVE_INFINITY
      return false
    }
    if (this.#dueMs === Number.POSITIVE_INFINITY) this.#waitFor(copy, nowMs)
    if (nowMs < this.#dueMs) return false
    this.#returning = copy
    this.#running = this.#bringBack(copy)
    return true
  }

  get #missing(): Copy | undefined {
    return this.#parts.image.copies.all.find(({ state }) => state === 'missing')
  }

  #waitFor({ plex }: Copy, nowMs: number): void {
    this.#dueMs = nowMs + this.#backoffs[plex]!.failed(nowMs)
  }

  #ended(): void {
    this.#running = undefined
    this.#returning = undefined
    this.#dueMs = Number.POSITIVE_INFINITY
  }

  #failed(nowMs: number, error: StoreError): void {
    const copy = this.#returning!
    this.#ended()
    if (this.#isOver) return
    // not the plex's fault
    if (error.code === 'FENCED') this.#backoffs[copy.plex]!.forget()
    if (copy.state === 'filling') this.#parts.image.copies.setState(copy, 'missing')
    if (copy.state === 'missing') copy.because = error.message
    this.#waitFor(copy, nowMs)
    const text = `plex ${copy.plex} did not come back: ${error.message}`
    this.#parts.world.host.event('warn', 'plex still missing', text, { plex: copy.plex })
  }

  *#bringBack(copy: Copy): Procedure {
    const { image, consistency, world, vault } = this.#parts
    const { copies } = image
    // one that is under way may still call the plex in sync in its superblock, as it was when it was lost
    while (!copies.isRecordedStale(copy.plex) || consistency.isRunning) {
      this.#mustGoOn()
      yield 'wait'
    }
    yield* this.#reopen(copy)
    this.#mustGoOn()
    yield* this.#mark(copy)
    // and this one has begun without it
    yield* this.#betweenPoints()
    copies.setState(copy, 'filling', 'a resync brings it what it has missed')
    const from = copy.base.generation === 0 ? 'everything' : `what was born after ${copy.base.generation}`
    world.host.event('info', 'resync', `plex ${copy.plex} gets ${from}`, { plex: copy.plex })
    this.copiedBytes = 0
    this.#sinceMs = world.clock.now()
    const { isThrough, unreadCount } = yield* resync(image, copy, this.#user())
    this.#mustGoOn()
    if (!isThrough) throw new StoreError('DISK_FAILED', copy.because)
    if (unreadCount > 0) {
      const text = `${unreadCount} blocks cannot be read from the plex in sync`
      throw new StoreError('DISK_FAILED', `${text}: it is tried again, until they are, or are written anew`)
    }
    // one that is tried again may have a volume that was deleted since, and was passed over
    yield* this.#betweenPoints()
    copy.isCopied = true
    consistency.force('a plex is whole again')
    while (copy.state === 'filling' && !copy.isWhole) {
      this.#mustGoOn()
      yield 'wait'
    }
    this.#mustGoOn()
    const failure = yield* vault.refresh()
    this.#mustGoOn()
    if (copy.state !== 'filling' || failure < 0) throw new StoreError('DISK_FAILED', copy.because)
    copies.setState(copy, 'in-sync')
    image.cache.plexReturned()
    this.#backoffs[copy.plex]!.good(world.clock.now())
    const text = `plex ${copy.plex} is in sync again: ${this.copiedBytes} bytes were copied`
    world.host.event('info', 'plex in sync', text, { plex: copy.plex, copiedBytes: this.copiedBytes })
    yield* this.#lookForMore(copy)
  }

  /** An image that was opened without disks that were added is opened anew only if both plexes have them. */
  *#lookForMore(returned: Copy): Procedure {
    const { image, world, plexes, remoteDisks, whose } = this.#parts
    const { all, reading } = image.copies
    this.#hasMoreDisks = false
    const counts = plexes.map((place) => (place === 'partner' ? remoteDisks().length : place.length))
    if (counts.some((count) => count <= reading[0]!.disks.length)) return
    try {
      // one that stayed in sync may have got them since it was opened
      for (const { plex } of all.filter((copy) => copy !== returned && copy.isRemote)) {
        this.#found[plex] = yield* labelledPlex(world, plex, remoteDisks(), whose)
        yield* closeDisks(world.memory, this.#found[plex]!)
      }
      const [first, second] = this.#found
      // one of this host has fewer in use than its list names only if it has come back
      if (first === undefined || second === undefined) return
      const difference = differentZones(second, first)
      if (difference !== undefined) throw new StoreError('DISK_FOREIGN', difference)
      this.#hasMoreDisks = true
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      const text = `${error.message}; they are looked at again when a plex comes back`
      world.host.event('warn', 'disks left out', text)
    }
  }

  *#betweenPoints(): Procedure {
    while (this.#parts.consistency.isRunning) {
      this.#mustGoOn()
      yield 'wait'
    }
    this.#mustGoOn()
  }

  #mustGoOn(): void {
    if (this.#isOver || this.isQuiet) throw new StoreError('FENCED', 'the ownership has ended')
    mustOwn(this.#parts)
  }

  /** The disks of the partner may not answer for ever, and nobody who ends waits for them. */
  *#asLongAsWanted<T>(procedure: Procedure<T>): Procedure<T> {
    for (;;) {
      const { done, value } = procedure.next()
      if (done === true) return value
      this.#mustGoOn()
      yield value
    }
  }

  #user(): Parameters<typeof resync>[2] {
    const { world } = this.#parts
    this.#rate.begin()
    return {
      isOver: () => this.#isOver || this.isQuiet || !this.#parts.stillOwner(),
      pieceBlocks: () => this.#rate.pieceBlocks,
      pace: (byteLength) => this.#pace(byteLength),
      damaged: (physical) => {
        const text = `block ${physical} is damaged on every plex in sync; it is not copied`
        world.host.event('error', 'block damaged', text, { physical })
      },
    }
  }

  *#pace(byteLength: number): Procedure {
    this.copiedBytes += byteLength
    yield* this.#rate.pace(byteLength)
  }

  /** Its disks may be other ones by now, or may have been mended; what they have decides what is copied. */
  *#reopen(copy: Copy): Procedure {
    const { world, image, plexes, whose, openRemote } = this.#parts
    const { plex } = copy
    yield* this.#closeDisks(copy)
    const place = plexes[plex]!
    const disks =
      place === 'partner' ? yield* this.#asLongAsWanted(openRemote()) : openDisks(world.disks, place)
    if (disks instanceof StoreError) throw disks
    const labelled = yield* labelledPlex(world, plex, disks, whose)
    copy.disks = labelled
    this.#found[plex] = labelled
    tellFailures(labelled, world.host)
    const { newestOf, problems } = yield* readSuperblocks(labelled, Number.POSITIVE_INFINITY, world.memory)
    if (this.#parts.newestBranch()?.lost === plex && problems.length > 0)
      throw new StoreError('DISK_FAILED', `${problems[0]}: it may hold what is kept`)
    mustNotBeLost(this.#parts.newestBranch(), labelled, newestOf)
    mustNotBeAhead(image.generation, labelled, newestOf)
    yield* this.#leaveAdded(copy, newestOf)
    const difference = differentZones(copy.disks, image.copies.reading[0]!.disks)
    if (difference !== undefined) throw new StoreError('DISK_FOREIGN', difference)
    const branch = this.#parts.newestBranch()
    // what was written before, and not by this branch, says nothing of what it has now
    const isOlder = branch !== undefined && newestOf.some((found) => found && found.epoch < branch.epoch)
    copy.base = isOlder ? NO_BASE : confirmedBase(copy.base, copy.disks, newestOf)
  }

  /**
   * One node may have been told earlier of disks that were added. The image goes on without them until both
   * were.
   */
  *#leaveAdded(copy: Copy, newestOf: readonly (SuperblockValues | undefined)[]): Procedure {
    const used = copy.disks.slice(0, this.#parts.image.copies.reading[0]!.disks.length)
    const added = copy.disks.slice(used.length)
    if (added.length === 0) return
    for (const found of newestOf) {
      const mistake = found && reachMistake(used, found)
      if (mistake !== undefined) throw new StoreError('DISK_FOREIGN', mistake)
    }
    copy.disks = used
    yield* closeDisks(this.#parts.world.memory, added)
  }

  *#closeDisks(copy: Copy): Procedure {
    // a scrub looks at labels and superblocks of what it found open
    while (this.#parts.image.copies.readers > 0) {
      // which does not go on while the ownership is about to be handed over
      this.#mustGoOn()
      yield 'wait'
    }
    const { disks } = copy
    copy.disks = []
    yield* closeDisks(this.#parts.world.memory, disks)
  }

  /** From the first write of the resync on, nobody may take what is on these disks for an image. */
  *#mark(copy: Copy): Procedure {
    const { image, world } = this.#parts
    const { superblock, copies } = image
    const words = copies.words(superblock.generation)
    const own = copy.plex === 0 ? { plex0: PLEX_FILLING } : { plex1: PLEX_FILLING }
    const marker = { ...superblock, ...words, ...own }
    const failure = yield* renewLabels(copy.disks, world)
    if (failure !== undefined) throw new StoreError('DISK_FAILED', failure)
    this.#mustGoOn()
    const written = yield* writeSuperblock(copy.disks, marker, world.memory)
    if (written < 0) throw new StoreError('DISK_FAILED', `a superblock cannot be written (error ${-written})`)
    for (const { disk } of copy.disks) {
      const flushed = yield* flushDisk(disk)
      if (flushed < 0) throw new StoreError('DISK_FAILED', `${disk.path}: a flush failed (error ${-flushed})`)
    }
  }
}
