import { StoreError } from '../base/errors.ts'
import { Gather } from '../base/gather.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, isMultiple, KIB, roundUp } from '../base/units.ts'
import { closeDisks, GuardedDisk, type OpenDisk } from '../disk/guarded-disk.ts'
import { readLabel } from '../disk/label.ts'
import { memoryPool } from '../disk/memory-pool.ts'
import { DISK_BLOCKS_MAX, DISK_SLOTS, FrameKind, NO_PAGE, OpenedDisk } from '../format/link-frame.ts'
import type { LogRing } from '../log/ring.ts'
import { encodeFrame, FRAME_BYTES, type FrameReader, type FrameValues } from '../partner/frame.ts'
import type { Completion } from '../ports/completion.ts'
import type { DiskPort } from '../ports/disk.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'

const EIO = 5
/** Answers with data of one send: more would make acknowledgements wait behind them. */
const BYTES_AT_ONCE = 256 * KIB

export interface PlexServiceUser {
  queue(values: FrameValues, payload?: Uint8Array): void
  epoch(): number
  incarnation(): Uint8Array
}

/** One request of the owner, and memory for what comes or goes by value. */
class Slot implements Completion {
  readonly number: number
  readonly gather = new Gather()
  memory: Memory | undefined
  isBusy = false
  kind = 0
  /** of which link session */
  session = 0
  readonly #service: PlexService

  constructor(service: PlexService, number: number) {
    this.#service = service
    this.number = number
  }

  complete(result: number): void {
    this.#service.ended(this, result)
  }
}

interface ServedDisk extends OpenDisk {
  identity: Uint8Array
}

/**
 * The keeper's side of a plex on this node's disks: carries out what the owner asks of them, and takes no
 * decision. Blocks of the log come as pages of this node's ring. What is under way when the link goes down
 * ends before anybody opens these disks again.
 */
export class PlexService {
  readonly #port: MemoryPort
  readonly #diskPort: DiskPort
  readonly #paths: readonly string[]
  readonly #ring: LogRing
  readonly #user: PlexServiceUser
  readonly #heads: Memory
  readonly #slots: Slot[]
  #disks: ServedDisk[] = []
  #session = 0
  #opening: { readonly procedure: Procedure; readonly session: number } | undefined
  /** an opening of this session waits for one of an earlier session */
  #nextOpening: Slot | undefined
  /** slots with data to be sent */
  #replies: Slot[] = []

  constructor(
    port: MemoryPort,
    diskPort: DiskPort,
    paths: readonly string[],
    ring: LogRing,
    user: PlexServiceUser,
  ) {
    this.#port = port
    this.#diskPort = diskPort
    this.#paths = paths
    this.#ring = ring
    this.#user = user
    this.#heads = port.allocate(DISK_SLOTS * FRAME_BYTES)
    this.#slots = Array.from({ length: DISK_SLOTS }, (_, number) => new Slot(this, number))
  }

  /** A text: it does not fit, the session must end. */
  take(frame: FrameReader, input: Memory, payload: number): string | undefined {
    const slot = this.#slots[frame.count]
    if (slot === undefined || slot.isBusy) return 'a disk is asked with a slot that is not free'
    if (frame.kind === FrameKind.DISK_OPEN) return this.#open(slot)
    const disk = this.#disks[frame.firstPage]?.disk
    slot.kind = frame.kind
    slot.session = this.#session
    if (disk === undefined || this.#opening !== undefined || this.#nextOpening !== undefined) {
      this.#answer(slot, EIO)
      return undefined
    }
    if (frame.kind === FrameKind.DISK_FLUSH) {
      slot.isBusy = true
      disk.flush(slot)
      return undefined
    }
    return this.#transfer(slot, disk, frame, input, payload)
  }

  #transfer(
    slot: Slot,
    disk: GuardedDisk,
    frame: FrameReader,
    input: Memory,
    payload: number,
  ): string | undefined {
    const { sequence: at, pageCount: blocks } = frame
    const byteLength = blocks * BLOCK_SIZE
    if (blocks === 0 || blocks > DISK_BLOCKS_MAX || !isMultiple(at, BLOCK_SIZE))
      return 'a disk is asked for what is no run of blocks'
    if (at + byteLength > disk.byteLength) return `a disk is asked beyond its end (${at})`
    slot.memory ??= memoryPool(this.#port).borrowAsIs(DISK_BLOCKS_MAX * BLOCK_SIZE)
    slot.gather.clear()
    if (frame.kind === FrameKind.DISK_READ) {
      slot.gather.add(slot.memory.address, byteLength)
      slot.isBusy = true
      disk.read(at, slot.gather, slot)
      return undefined
    }
    const mistake = this.#gatherBlocks(slot, frame, input, payload)
    if (mistake !== undefined) return mistake
    slot.isBusy = true
    disk.write(at, slot.gather, slot)
    return undefined
  }

  #gatherBlocks(slot: Slot, frame: FrameReader, input: Memory, payload: number): string | undefined {
    const memory = slot.memory!
    const tableBytes = roundUp(frame.pageCount * 4, 8)
    let next = payload + tableBytes
    let used = 0
    if (frame.payloadByteLength < tableBytes) return 'a write to a disk has no table'
    const end = payload + frame.payloadByteLength
    for (let block = 0; block < frame.pageCount; block += 1) {
      const page = input.u32[payload / 4 + block]!
      if (page !== NO_PAGE) {
        if (page >= this.#ring.layout.pageCount) return 'a write to a disk names a page that is not there'
        slot.gather.add(this.#ring.pageAddress(page), BLOCK_SIZE)
        continue
      }
      if (next + BLOCK_SIZE > end) return 'a write to a disk lacks a block'
      memory.bytes.set(input.bytes.subarray(next, next + BLOCK_SIZE), used)
      slot.gather.add(memory.address + used, BLOCK_SIZE)
      next += BLOCK_SIZE
      used += BLOCK_SIZE
    }
    return next === end ? undefined : 'a write to a disk has a wrong length'
  }

  ended(slot: Slot, result: number): void {
    slot.isBusy = false
    if (this.#slots[slot.number] !== slot) {
      if (slot.memory !== undefined) memoryPool(this.#port).giveBack(slot.memory)
      return
    }
    if (slot.session !== this.#session) return
    if (slot.kind === FrameKind.DISK_READ && result >= 0) {
      slot.isBusy = true
      this.#replies.push(slot)
    } else this.#answer(slot, result < 0 ? -result : 0)
  }

  #answer(slot: Slot, errno: number, payload?: Uint8Array): void {
    const values = {
      kind: FrameKind.DISK_DONE,
      epoch: this.#user.epoch(),
      count: slot.number,
      generation: errno,
    }
    this.#user.queue(values, payload)
  }

  /** Adds answers with data to what is sent next. */
  addFrames(gather: Gather): void {
    const before = gather.byteLength
    while (this.#replies.length > 0 && gather.byteLength - before < BYTES_AT_ONCE) {
      const slot = this.#replies.shift()!
      const { address } = slot.memory!
      const { byteLength } = slot.gather
      const from = slot.number * FRAME_BYTES
      const values = { kind: FrameKind.DISK_DONE, epoch: this.#user.epoch(), count: slot.number }
      const seal = this.#port.checksum(address, byteLength)
      encodeFrame(this.#heads.bytes, from, values, this.#user.incarnation(), byteLength, seal)
      gather.add(this.#heads.address + from, FRAME_BYTES)
      gather.add(address, byteLength)
      // the owner uses this slot again only when it has the answer
      slot.isBusy = false
    }
  }

  /** The link is down: nobody hears answers any more. What is under way ends by itself. */
  linkDown(): void {
    this.#session += 1
    this.#nextOpening = undefined
    for (const slot of this.#replies.splice(0)) slot.isBusy = false
    for (const [number, slot] of this.#slots.entries()) {
      if (!slot.isBusy) continue
      this.#slots[number] = new Slot(this, number)
      // an opening uses none of its memory
      if (slot.kind === FrameKind.DISK_OPEN) this.#slots[number].memory = slot.memory
    }
  }

  /** Called once per turn. */
  step(): void {
    if (this.#opening?.procedure.next().done === true) this.#opening = undefined
    if (this.#opening !== undefined || this.#nextOpening === undefined) return
    const slot = this.#nextOpening
    this.#nextOpening = undefined
    this.#begin(slot)
  }

  /** This node is about to open its disks as owner: what is left to be done until they are closed. */
  *closing(): Procedure {
    this.linkDown()
    while (this.#opening !== undefined) {
      this.step()
      if (this.#opening !== undefined) yield 'wait'
    }
    yield* this.#close()
  }

  #open(slot: Slot): string | undefined {
    const isAsked = this.#opening?.session === this.#session || this.#nextOpening !== undefined
    if (isAsked) return 'disks are asked to be opened twice'
    slot.isBusy = true
    slot.kind = FrameKind.DISK_OPEN
    slot.session = this.#session
    if (this.#opening === undefined) this.#begin(slot)
    else this.#nextOpening = slot
    return undefined
  }

  #begin(slot: Slot): void {
    this.#opening = { procedure: this.#reopen(slot), session: slot.session }
  }

  *#reopen(slot: Slot): Procedure {
    yield* this.#close()
    const { session } = slot
    let errno = 0
    let payload: Uint8Array
    try {
      if (session === this.#session) for (const path of this.#paths) yield* this.#openOne(path)
      payload = this.#described()
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      yield* this.#close()
      errno = EIO
      payload = new TextEncoder().encode(error.message)
    }
    slot.isBusy = false
    if (session === this.#session) this.#answer(slot, errno, payload)
  }

  *#openOne(path: string): Procedure {
    const inner = this.#diskPort.open(path)
    const scratch = memoryPool(this.#port).borrow(BLOCK_SIZE)
    const opened: ServedDisk = {
      disk: new GuardedDisk(inner, scratch),
      scratch,
      identity: new Uint8Array(16),
    }
    this.#disks.push(opened)
    const verdict = yield* readLabel(opened.disk, this.#port)
    if (verdict.kind === 'good') opened.identity = verdict.label.disk
  }

  #described(): Uint8Array {
    const bytes = new Uint8Array(this.#disks.length * OpenedDisk.byteLength)
    for (const [index, { disk, identity }] of this.#disks.entries()) {
      const { path, byteLength } = disk
      // a path that is too long is told by its end: in UTF-8, a character has up to four bytes
      const isLong = new TextEncoder().encode(path).length > 250
      const told = isLong ? `..${[...path].slice(-60).join('')}` : path
      OpenedDisk.encode(
        { path: told, byteLength, disk: identity },
        bytes.subarray(index * OpenedDisk.byteLength),
      )
    }
    return bytes
  }

  /** Ends what is in flight, and closes the disks. */
  *#close(): Procedure {
    const disks = this.#disks
    this.#disks = []
    yield* closeDisks(this.#port, disks)
  }
}
