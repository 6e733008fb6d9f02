import { StoreError } from '../base/errors.ts'
import { Gather } from '../base/gather.ts'
import { MemoryBatch } from '../base/memory-batch.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE, KIB, roundUp } from '../base/units.ts'
import { sliceGather } from '../disk/slice-gather.ts'
import { sameIdentity } from '../format/identity.ts'
import { DISK_BLOCKS_MAX, DISK_SLOTS, FrameKind, OpenedDisk } from '../format/link-frame.ts'
import { encodeFrame, FRAME_BYTES, type FrameReader } from '../partner/frame.ts'
import type { Completion } from '../ports/completion.ts'
import type { Disk } from '../ports/disk.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { disksIn, remoteDisks } from './remote-disk.ts'
import { Split } from './split.ts'
import { type SharedLog, WrittenBlocks } from './written-blocks.ts'

/** Disk frames of one send: more would make log entries wait behind them. */
const BYTES_AT_ONCE = 256 * KIB
const PIECES_MAX = 900
/** A frame's header and its table of pages. */
const HEAD_BYTES = FRAME_BYTES + DISK_BLOCKS_MAX * 4
const LINK_FAILED = -107
const TIMED_OUT = -110

/** Disks that could not be opened are not asked for again at once, however many want to read them. */
const REOPEN_MS = 100

export interface RemotePlexUser extends SharedLog {
  /** of the ownership, and of this node's ring: every frame bears them */
  epoch(): number
  /** nobody else has what is read: reads wait for the link, as they would for a disk that does not answer */
  isOnlyPlex(): boolean
  /** another plex has everything */
  mayGoWithout(): boolean
  incarnation(): Uint8Array
  readonly partner: string
  /** its disks do not answer: they are not used before they are opened anew */
  overdue(): void
  /** how long its disks may take to answer, before the owner goes on without them */
  readonly timeoutMs: number
}

interface Part {
  readonly request: Split
  readonly kind: number
  readonly disk: number
  readonly at: number
  readonly gather: Gather | undefined
}

/** In a slot: nobody waits for its answer any more, and until that comes the slot is not used again. */
const OVERDUE: Part = {
  request: new Split({ complete: () => {} }, Number.POSITIVE_INFINITY),
  kind: FrameKind.DISK_DONE,
  disk: 0,
  at: 0,
  gather: undefined,
}

/**
 * The owner's side of a plex on the partner's disks: reads, writes and flushes go over the link, and the
 * keeper carries them out (`PlexService`). A block that the partner's copy of the log has already is named,
 * not sent. With the link down, everything fails: the plex is missing then, as with a disk that has died. So
 * it is when its disks do not answer in time, as long as another plex has everything.
 */
export class RemotePlex {
  readonly #port: MemoryPort
  readonly #user: RemotePlexUser
  readonly #heads: Memory
  readonly #blocks: WrittenBlocks
  readonly #batch = new MemoryBatch()
  readonly #slots: (Part | undefined)[] = Array.from({ length: DISK_SLOTS }, () => undefined)
  readonly #sentMs = new Float64Array(DISK_SLOTS)
  #nowMs = 0
  #lookAtMs = 0
  #isOverdue = false
  #waiting: Part[] = []
  #failed: { readonly request: Split; readonly result: number }[] = []
  #isUp = false
  /** the partner has its disks open in this session of the link */
  #isReady = false
  #opening: Part | undefined
  /** before that, nothing is opened that nobody has asked to open */
  #mayOpenMs = 0
  /** the opening that nobody has asked for */
  #again: Part | undefined
  #opened: Uint8Array | undefined
  /** rises with every link session */
  session = 0
  /** the session in which the disks were opened that are in use; 0: none were */
  #openedIn = 0
  /** which disks they were when they were opened by `open` */
  #identities: readonly Uint8Array[] = []

  constructor(port: MemoryPort, user: RemotePlexUser) {
    this.#port = port
    this.#user = user
    this.#heads = port.allocate(DISK_SLOTS * HEAD_BYTES)
    this.#blocks = new WrittenBlocks(port, user, this.#heads)
  }

  get bytesByValue(): number {
    return this.#blocks.bytesByValue
  }

  get bytesByReference(): number {
    return this.#blocks.bytesByReference
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /** The disks in use were opened before the link broke: they take no writes any more. */
  get isOutlived(): boolean {
    return this.#openedIn !== 0 && this.#openedIn !== this.session
  }

  linkUp(): void {
    this.#isUp = true
    this.#isReady = false
    this.#isOverdue = false
    this.session += 1
    this.#mayOpenMs = 0
    if (this.#waiting.length > 0) this.#openAgain()
  }

  /** In a new session of the link, and after a failure, before anything else is asked. */
  #openAgain(): void {
    if (!this.#isUp || this.#isReady || this.#opening !== undefined || this.#nowMs < this.#mayOpenMs) return
    this.#open({ complete: () => {} })
    this.#again = this.#opening
  }

  /** Nobody answers any more what is under way. */
  linkDown(): void {
    const pending = this.#slots.filter((part) => part !== undefined && part !== OVERDUE) as Part[]
    if (this.#opening !== undefined && !pending.includes(this.#opening)) pending.push(this.#opening)
    pending.push(...this.#waiting.splice(0))
    this.#isUp = false
    this.#isReady = false
    this.#opening = undefined
    this.#slots.fill(undefined)
    const waits = this.#user.isOnlyPlex()
    for (const part of pending) {
      if (waits && part.kind === FrameKind.DISK_READ) this.#waiting.push(part)
      else this.#failed.push({ request: part.request, result: LINK_FAILED })
    }
  }

  /** The ownership is over: nobody waits for the link any more. */
  giveUp(): void {
    this.#failWaiting(LINK_FAILED)
  }

  #failWaiting(result: number): void {
    for (const { request } of this.#waiting.splice(0)) this.#failed.push({ request, result })
  }

  /** What has failed may be tried again: the partner opens its disks anew. */
  readmit(): void {
    this.#openedIn = this.session
    this.#isOverdue = false
    this.#isReady = false
    if (this.#waiting.length > 0) this.#openAgain()
  }

  /** Called once per turn: tells of what has failed, never inside the call that asked for it. */
  step(nowMs: number): void {
    this.#nowMs = nowMs
    if (nowMs >= this.#lookAtMs) this.#lookForOverdue()
    if (this.#waiting.length > 0) this.#openAgain()
    if (this.#failed.length === 0) return
    for (const { request, result } of this.#failed.splice(0)) request.complete(result)
  }

  /**
   * A disk that neither answers nor fails must not hold up what another plex can go on with. What it does
   * late, it does before the partner opens its disks again, and so before a resync.
   */
  #lookForOverdue(): void {
    const { timeoutMs } = this.#user
    this.#lookAtMs = this.#nowMs + timeoutMs / 8
    const isOverdue = (part: Part | undefined, slot: number): boolean =>
      this.#isAsked(part) && this.#nowMs - this.#sentMs[slot]! > timeoutMs
    if (!this.#slots.some(isOverdue) || !this.#user.mayGoWithout()) return
    for (const [slot, part] of this.#slots.entries()) {
      if (!this.#isAsked(part)) continue
      this.#failed.push({ request: part!.request, result: TIMED_OUT })
      this.#slots[slot] = OVERDUE
    }
    this.#isReady = false
    this.#isOverdue = true
    this.#failWaiting(TIMED_OUT)
    this.#user.overdue()
  }

  /** The partner has the request, and somebody waits for what its disks say. */
  #isAsked(part: Part | undefined): boolean {
    return part !== undefined && part !== OVERDUE && part.kind !== FrameKind.DISK_OPEN
  }

  get hasWork(): boolean {
    return this.#failed.length > 0
  }

  /** Has the partner open its disks, again if they were open. */
  *open(): Procedure<readonly Disk[] | StoreError> {
    const { partner } = this.#user
    if (!this.#isUp)
      return new StoreError('DISK_AWAY', `its disks are those of ${partner}, and the link is down`)
    let result: number | undefined
    while (this.#opening !== undefined) yield 'wait'
    this.#open({
      complete: (answer) => {
        result = answer
      },
    })
    while (result === undefined) yield 'wait'
    const opened = this.#opened as Uint8Array | undefined
    if (result < 0 || opened === undefined) {
      const why =
        opened === undefined ? `error ${-result}` : new TextDecoder().decode(opened).replaceAll('\0', '')
      return new StoreError('DISK_MISSING', `the plex of ${partner} cannot be opened: ${why}`)
    }
    if (opened.length === 0 || opened.length % OpenedDisk.byteLength !== 0)
      return new StoreError('DISK_MISSING', `${partner} answers with ${opened.length} bytes of disks`)
    this.#identities = disksIn(opened).map(({ disk }) => disk)
    this.#openedIn = this.session
    this.#isOverdue = false
    return remoteDisks(this, partner, opened)
  }

  /** All disks that the partner has open in this session, also those that `open` did not know of. */
  get openDisks(): readonly Disk[] {
    return this.#isReady ? remoteDisks(this, this.#user.partner, this.#opened ?? new Uint8Array(0)) : []
  }

  /** Something was opened again: whether it is what it was. Disks that were added behind it do not count. */
  #isSame(opened: Uint8Array): boolean {
    const disks = disksIn(opened)
    const before = this.#identities
    return disks.length >= before.length && before.every((disk, at) => sameIdentity(disk, disks[at]!.disk))
  }

  transfer(kind: number, disk: number, at: number, gather: Gather, done: Completion): void {
    const partBytes = DISK_BLOCKS_MAX * BLOCK_SIZE
    const request = new Split(done, Math.ceil(gather.byteLength / partBytes))
    for (let from = 0; from < gather.byteLength; from += partBytes) {
      const part = new Gather()
      sliceGather(gather, from, Math.min(partBytes, gather.byteLength - from), part)
      this.#start({ request, kind, disk, at: at + from, gather: part })
    }
  }

  flush(disk: number, done: Completion): void {
    const request = new Split(done, 1)
    this.#start({ request, kind: FrameKind.DISK_FLUSH, disk, at: 0, gather: undefined })
  }

  /** Tells of a failure, later. */
  fail(done: Completion): void {
    this.#failed.push({ request: new Split(done, 1), result: LINK_FAILED })
  }

  #open(done: Completion): void {
    const request = new Split(done, 1)
    const part = { request, kind: FrameKind.DISK_OPEN, disk: 0, at: 0, gather: undefined }
    this.#isReady = false
    this.#opened = undefined
    if (this.#isUp) this.#opening = part
    else this.#failed.push({ request, result: LINK_FAILED })
  }

  #start(part: Part): void {
    const waits = part.kind === FrameKind.DISK_READ && this.#user.isOnlyPlex()
    const result = !this.#isUp ? LINK_FAILED : this.#isOverdue ? TIMED_OUT : 0
    if (result < 0 && !waits) this.#failed.push({ request: part.request, result })
    else this.#waiting.push(part)
    this.#openAgain()
  }

  /** Adds frames to what is sent next. */
  addFrames(gather: Gather): void {
    const before = gather.byteLength
    if (!this.#isReady) return this.#addOpening(gather)
    while (this.#waiting.length > 0 && gather.byteLength - before < BYTES_AT_ONCE) {
      const slot = this.#slots.indexOf(undefined)
      const [part] = this.#waiting
      const pieces = part!.kind === FrameKind.DISK_WRITE ? DISK_BLOCKS_MAX : 0
      if (slot < 0 || gather.count + pieces + 1 > PIECES_MAX) return
      this.#waiting.shift()
      this.#slots[slot] = part
      this.#addFrame(gather, slot, part!)
    }
  }

  #addOpening(gather: Gather): void {
    const slot = this.#slots.indexOf(undefined)
    if (this.#opening === undefined || this.#slots.includes(this.#opening) || slot < 0) return
    this.#slots[slot] = this.#opening
    this.#addFrame(gather, slot, this.#opening)
  }

  #addFrame(gather: Gather, slot: number, part: Part): void {
    this.#sentMs[slot] = this.#nowMs
    const from = slot * HEAD_BYTES
    const blocks = (part.gather?.byteLength ?? 0) / BLOCK_SIZE
    const isWrite = part.kind === FrameKind.DISK_WRITE
    const tableBytes = isWrite ? roundUp(blocks * 4, 8) : 0
    const tableAt = from + FRAME_BYTES
    const values = isWrite ? this.#blocks.fillTable(slot, tableAt, tableBytes, part.gather!) : undefined
    const payload = tableBytes + (values?.byteLength ?? 0)
    const seal = payload === 0 ? 0 : this.#blocks.sealOf(tableAt, tableBytes, values!)
    encodeFrame(
      this.#heads.bytes,
      from,
      {
        kind: part.kind,
        epoch: this.#user.epoch(),
        sequence: part.at,
        count: slot,
        firstPage: part.disk,
        pageCount: blocks,
      },
      this.#user.incarnation(),
      payload,
      seal,
    )
    gather.add(this.#heads.address + from, FRAME_BYTES + tableBytes)
    if (values === undefined) return
    for (let i = 0; i < values.count; i += 1) gather.add(values.addresses[i]!, values.lengths[i]!)
  }

  /** An answer. A text: it does not fit, the session must end. */
  take(frame: FrameReader, input: Memory, payload: number): string | undefined {
    const part = this.#slots[frame.count]
    if (part === undefined) return 'a disk answers what nobody has asked'
    if (part === OVERDUE) {
      this.#slots[frame.count] = undefined
      return undefined
    }
    const { payloadByteLength, generation: errno } = frame
    const isGood = errno === 0
    if (part.kind === FrameKind.DISK_OPEN) {
      if (payloadByteLength > 0) this.#opened = input.bytes.slice(payload, payload + payloadByteLength)
      const isAsked = this.#opening !== this.#again
      this.#isReady = isGood && (isAsked || this.#isSame(this.#opened ?? new Uint8Array(0)))
      this.#opening = undefined
      if (!this.#isReady) {
        this.#mayOpenMs = this.#nowMs + REOPEN_MS
        this.#failWaiting(LINK_FAILED)
      }
    } else if (part.kind === FrameKind.DISK_READ && isGood) {
      if (payloadByteLength !== part.gather!.byteLength) return 'a disk answers with a wrong length'
      this.#copyOut(input.address + payload, part.gather!)
    }
    this.#slots[frame.count] = undefined
    part.request.complete(isGood ? (part.gather?.byteLength ?? 0) : -errno)
    return undefined
  }

  #copyOut(from: number, { addresses, lengths, count }: Gather): void {
    let done = 0
    for (let i = 0; i < count; i += 1) {
      this.#batch.copy(from + done, addresses[i]!, lengths[i]!)
      done += lengths[i]!
    }
    this.#port.run(this.#batch)
  }
}
