import { assert } from '../base/assert.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import type { Copies, Copy } from '../plex/copies.ts'
import type { Plex } from '../plex/plex.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { FAILED, WAIT } from './answers.ts'
import { FETCH_BLOCKS_MAX, Fetch } from './fetch.ts'
import { FrameTable, NO_FRAME } from './frame-table.ts'
import { Waiters } from './waiters.ts'

/** Somebody who wants to ask again; may be woken more often than needed. */
export interface Waiter {
  wake(): void
}

const NO_PLEX = 255
const FREE = 0
const WANTED = 1
const FETCHING = 2
const READY = 3
const BAD = 4

/** Reads on their way at once: many more than disks have queues for, and far fewer than a ring of I/O has. */
const FETCHES_MAX = 512
/** Frames that reads of clients leave to a consistency point, which must go on for them to go on. */
const FRAMES_FOR_POINT = 32
/**
 * A block that could not be had is asked of the disk again after this many refusals, or turns: whoever waited
 * for it has heard of it by then, and a failure that has passed is not told to somebody who comes later.
 */
const REFUSALS = 16
const REFUSED_TURNS = 256
export const CACHE_FRAMES_MIN = 256
/** Frames looked at for one that may be evicted, before giving up until the next turn. */
const SEARCH_STEPS = 1024

/**
 * Blocks of the plex in memory, each checked against the checksum in its pointer. A fixed number of
 * frames, replaced by CLOCK. Nothing is pinned: whoever gets a frame copies out of it in the same
 * turn. Frames that were given out in this turn are not reused before the next `submit`.
 */
export class BlockCache {
  readonly frameCount: number
  readonly u32: Uint32Array
  readonly counters = { hits: 0, misses: 0, fetches: 0, checksumErrors: 0, readErrors: 0 }
  /** told of each block that could not be read or did not match its checksum, twice */
  onDamage: (physical: number, why: 'unreadable' | 'checksum' | 'pointer') => void = () => {}
  /** told of each block that one plex could not give and another one could; the frame has it */
  onFoundElsewhere: (physical: number, frame: number, copy: Copy) => void = () => {}
  /** set while a consistency point takes its step: it may have what clients leave free */
  isForPoint = false
  /** all frames, one after the other */
  readonly memory: Memory
  readonly #port: MemoryPort
  readonly #pool: MemoryPool
  readonly #plex: Plex
  readonly #copies: Copies | undefined
  readonly #table: FrameTable
  readonly #waiters: Waiters
  readonly #state: Uint8Array
  readonly #checksum: Uint32Array
  readonly #recent: Uint8Array
  readonly #turn: Uint32Array
  readonly #attempts: Uint8Array
  readonly #stale: Uint8Array
  /** number of the plex that a frame is read from, and of the one that could not give it, or NONE */
  readonly #source: Uint8Array
  readonly #failedOn: Uint8Array
  #wanted: Int32Array
  #wantedCount = 0
  #turnNumber = 1
  #hand = 0
  readonly #idle: Fetch[] = []
  #starved: Waiter[] = []
  /** fetches on their way, and frames that are or will be */
  #inFlight = 0
  #busyFrames = 0

  constructor(plex: Plex, port: MemoryPort, byteLength: number, copies?: Copies) {
    this.frameCount = Math.max(CACHE_FRAMES_MIN, Math.floor(byteLength / BLOCK_SIZE))
    this.#plex = plex
    this.#copies = copies
    this.#port = port
    this.#pool = memoryPool(port)
    this.memory = this.#pool.borrowAsIs(this.frameCount * BLOCK_SIZE)
    this.u32 = this.memory.u32
    this.#table = new FrameTable(this.frameCount)
    this.#waiters = new Waiters(this.frameCount)
    this.#state = new Uint8Array(this.frameCount)
    this.#checksum = new Uint32Array(this.frameCount)
    this.#recent = new Uint8Array(this.frameCount)
    this.#turn = new Uint32Array(this.frameCount)
    this.#attempts = new Uint8Array(this.frameCount)
    this.#stale = new Uint8Array(this.frameCount)
    this.#source = new Uint8Array(this.frameCount)
    this.#failedOn = new Uint8Array(this.frameCount)
    this.#wanted = new Int32Array(this.frameCount)
  }

  /**
   * The frame that holds the block, or WAIT: it is on its way, and `waiter` will be woken; or FAILED.
   */
  get(physical: number, checksum: number, waiter: Waiter | undefined): number {
    const frame = this.#table.find(physical)
    if (frame === NO_FRAME) return this.#miss(physical, checksum, waiter)
    const state = this.#state[frame]
    if (this.#checksum[frame] !== checksum || this.#stale[frame] === 1) {
      return this.#replace(frame, physical, checksum, waiter)
    }
    if (state === READY) {
      this.#recent[frame] = 1
      this.#turn[frame] = this.#turnNumber
      this.counters.hits += 1
      return frame
    }
    if (state === BAD) return this.#refuse(frame, physical, checksum, waiter)
    if (waiter !== undefined) this.#waiters.add(frame, waiter)
    return WAIT
  }

  frameAddress(frame: number): number {
    return this.memory.address + frame * BLOCK_SIZE
  }

  /** Where the words of a frame begin in `u32`. */
  frameWord(frame: number): number {
    return frame * (BLOCK_SIZE / 4)
  }

  /** Takes a fresh block in, that is being written to `physical`. `source` holds it from byte `from` on. */
  put(physical: number, checksum: number, source: Memory, from: number): void {
    let frame = this.#table.find(physical)
    if (frame !== NO_FRAME) {
      this.#abandon(frame)
      frame = this.#table.find(physical)
      if (frame !== NO_FRAME) return
    }
    frame = this.#take()
    if (frame === NO_FRAME) return
    this.memory.bytes.set(source.bytes.subarray(from, from + BLOCK_SIZE), frame * BLOCK_SIZE)
    this.#enter(frame, physical, checksum, READY)
    this.#recent[frame] = 1
  }

  /** The block at this place is freed: its frame is of use only until that counts. */
  fade(physical: number): void {
    const frame = this.#table.find(physical)
    if (frame !== NO_FRAME) this.#recent[frame] = 0
  }

  /** The block at this place is about to be overwritten. */
  invalidate(physical: number): void {
    const frame = this.#table.find(physical)
    if (frame !== NO_FRAME) this.#abandon(frame)
  }

  /** Asks the disks again for blocks that could not be had. */
  forgetFailures(): void {
    for (let frame = 0; frame < this.frameCount; frame += 1) {
      if (this.#state[frame] === BAD) this.#drop(frame)
    }
  }

  /**
   * Once per turn, after copies out of frames have been carried out and procedures have been
   * stepped: sends what was missed to the disks, neighbours together.
   */
  submit(): void {
    this.#turnNumber = (this.#turnNumber + 1) >>> 0
    if (this.#wantedCount === 0) {
      if (this.#inFlight === 0) this.#wakeStarved()
      return
    }
    const wanted = this.#wanted.subarray(0, this.#wantedCount)
    if (wanted.length > 1) wanted.sort((a, b) => this.#table.physical(a) - this.#table.physical(b))
    let sent = 0
    while (sent < wanted.length && this.#inFlight < FETCHES_MAX) sent += this.#sendFrom(wanted, sent)
    this.#wanted.copyWithin(0, sent, this.#wantedCount)
    this.#wantedCount -= sent
  }

  /** One read of neighbours, the first of which is at `from`. Returns how many they are. */
  #sendFrom(wanted: Int32Array, from: number): number {
    const fetch = this.#startFetch(wanted[from]!)
    while (from + fetch.count < wanted.length && fetch.count < FETCH_BLOCKS_MAX) {
      const frame = wanted[from + fetch.count]!
      const follows =
        this.#table.physical(frame) === fetch.first + fetch.count && this.#copyOf(frame) === fetch.copy
      if (!follows || !this.#plex.holds(fetch.first, fetch.count + 1)) break
      this.#addToFetch(fetch, frame)
    }
    this.#send(fetch)
    return fetch.count
  }

  fetched(fetch: Fetch, result: number): void {
    for (let i = 0; i < fetch.count; i += 1) this.#arrived(fetch.frames[i]!, result)
    this.#idle.push(fetch)
    this.#inFlight -= 1
    this.#wakeStarved()
  }

  /**
   * A plex has come into sync: it has what the newest generation reaches, but not all that somebody has asked
   * the other plex for before, and that may never have been on this one. Whoever waits for that asks again.
   */
  plexReturned(): void {
    for (let frame = 0; frame < this.frameCount; frame += 1)
      if (this.#isUnderWay(frame)) this.#stale[frame] = 1
  }

  #isUnderWay(frame: number): boolean {
    return this.#state[frame] === WANTED || this.#state[frame] === FETCHING
  }

  /** To be called when nothing is in flight any more. */
  close(): void {
    this.#pool.giveBack(this.memory)
  }

  #miss(physical: number, checksum: number, waiter: Waiter | undefined): number {
    this.counters.misses += 1
    const frame = this.#take()
    if (frame === NO_FRAME) {
      if (waiter !== undefined) this.#starved.push(waiter)
      return WAIT
    }
    this.#enter(frame, physical, checksum, WANTED)
    this.#want(frame)
    if (waiter !== undefined) this.#waiters.add(frame, waiter)
    return WAIT
  }

  /** The frame holds another content of this place than the one asked for. */
  #replace(frame: number, physical: number, checksum: number, waiter: Waiter | undefined): number {
    if (this.#isUnderWay(frame)) {
      if (waiter !== undefined) this.#waiters.add(frame, waiter)
      this.#stale[frame] = 1
      return WAIT
    }
    this.#drop(frame)
    return this.#miss(physical, checksum, waiter)
  }

  #refuse(frame: number, physical: number, checksum: number, waiter: Waiter | undefined): number {
    const turns = (this.#turnNumber - this.#turn[frame]!) >>> 0
    if (turns > REFUSED_TURNS) {
      this.#drop(frame)
      return this.#miss(physical, checksum, waiter)
    }
    if (this.#attempts[frame]! >= REFUSALS) this.#drop(frame)
    else this.#attempts[frame] = this.#attempts[frame]! + 1
    return FAILED
  }

  #want(frame: number): void {
    this.#state[frame] = WANTED
    if (this.#copies !== undefined && this.#attempts[frame] === 0)
      this.#source[frame] = this.#copies.reading[0]!.plex
    this.#busyFrames += 1
    this.#wanted[this.#wantedCount] = frame
    this.#wantedCount += 1
  }

  #enter(frame: number, physical: number, checksum: number, state: number): void {
    this.#table.insert(physical, frame)
    this.#checksum[frame] = checksum
    this.#state[frame] = state
    this.#attempts[frame] = 0
    this.#recent[frame] = 0
    this.#stale[frame] = 0
    this.#failedOn[frame] = NO_PLEX
  }

  #abandon(frame: number): void {
    if (this.#isUnderWay(frame)) this.#stale[frame] = 1
    else this.#drop(frame)
  }

  #drop(frame: number): void {
    this.#table.remove(frame)
    this.#state[frame] = FREE
  }

  #startFetch(frame: number): Fetch {
    const fetch = this.#idle.pop() ?? new Fetch(this)
    fetch.gather.clear()
    fetch.count = 0
    fetch.first = this.#table.physical(frame)
    fetch.copy = this.#copyOf(frame)
    this.#addToFetch(fetch, frame)
    return fetch
  }

  #addToFetch(fetch: Fetch, frame: number): void {
    assert(this.#state[frame] === WANTED, 'only wanted frames are fetched')
    this.#state[frame] = FETCHING
    fetch.frames[fetch.count] = frame
    fetch.count += 1
    fetch.gather.add(this.frameAddress(frame), BLOCK_SIZE)
  }

  #send(fetch: Fetch): void {
    this.counters.fetches += 1
    this.#inFlight += 1
    this.#plex.read(fetch.first, fetch.gather, fetch, fetch.copy)
  }

  /** A failed read may still have brought this block: its checksum decides. */
  #arrived(frame: number, result: number): void {
    this.#busyFrames -= 1
    if (this.#stale[frame] === 1) {
      this.#drop(frame)
    } else if (this.#port.checksum(this.frameAddress(frame), BLOCK_SIZE) === this.#checksum[frame]) {
      this.#state[frame] = READY
      if (this.#failedOn[frame] !== NO_PLEX) this.#foundElsewhere(frame)
    } else if (this.#attempts[frame]! < this.#attemptsMax) {
      this.#attempts[frame] = this.#attempts[frame]! + 1
      return this.#askAgain(frame)
    } else {
      this.#damaged(frame, result)
    }
    this.#waiters.wake(frame)
  }

  /** Every plex that is in sync is asked twice. */
  get #attemptsMax(): number {
    return this.#copies === undefined ? 1 : 2 * this.#copies.reading.length - 1
  }

  #askAgain(frame: number): void {
    if (this.#copies !== undefined) {
      const source = this.#source[frame]!
      this.#failedOn[frame] = source
      const other = this.#copies.reading.find(({ plex }) => plex !== source)
      this.#source[frame] = other?.plex ?? source
    }
    this.#want(frame)
  }

  #copyOf(frame: number): Copy | undefined {
    if (this.#copies === undefined) return undefined
    const copy = this.#copies.all[this.#source[frame]!]!
    return copy.state === 'in-sync' ? copy : this.#copies.reading[0]
  }

  #foundElsewhere(frame: number): void {
    const copy = this.#copies!.all[this.#failedOn[frame]!]!
    if (copy.plex !== this.#source[frame]) this.onFoundElsewhere(this.#table.physical(frame), frame, copy)
  }

  #damaged(frame: number, result: number): void {
    this.#state[frame] = BAD
    this.#attempts[frame] = 1
    this.#turn[frame] = this.#turnNumber
    if (result < 0) this.counters.readErrors += 1
    else this.counters.checksumErrors += 1
    this.onDamage(this.#table.physical(frame), result < 0 ? 'unreadable' : 'checksum')
  }

  /** Those who found no frame ask again: frames have arrived, or another turn has begun. */
  #wakeStarved(): void {
    const starved = this.#starved
    if (starved.length === 0) return
    this.#starved = []
    for (const waiter of starved) waiter.wake()
  }

  /**
   * A frame to use, evicting by CLOCK. NO_FRAME: half of them are on their way already, or those at hand
   * were given out in this turn. Where all at hand were used, the first of them goes.
   */
  #take(): number {
    const busyMax = (this.frameCount >>> 1) - (this.isForPoint ? 0 : FRAMES_FOR_POINT)
    if (this.#busyFrames >= busyMax) return NO_FRAME
    let first = NO_FRAME
    for (let step = 0; step < SEARCH_STEPS; step += 1) {
      const frame = this.#hand
      this.#hand = frame + 1 === this.frameCount ? 0 : frame + 1
      const state = this.#state[frame]!
      if (state === FREE) return frame
      if (state === WANTED || state === FETCHING || this.#turn[frame] === this.#turnNumber) continue
      const isRecent = this.#recent[frame] === 1
      if (!isRecent || first === NO_FRAME) first = frame
      if (!isRecent) break
      this.#recent[frame] = 0
    }
    if (first !== NO_FRAME) this.#table.remove(first)
    return first
  }
}
