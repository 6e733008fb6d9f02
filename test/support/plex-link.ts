import { crc32c } from '../../ts/base/crc32c.ts'
import { StoreError } from '../../ts/base/errors.ts'
import { Gather } from '../../ts/base/gather.ts'
import { MemoryBatch } from '../../ts/base/memory-batch.ts'
import type { Procedure } from '../../ts/base/procedure.ts'
import { BLOCK_SIZE, MIB, roundUp } from '../../ts/base/units.ts'
import { FrameKind, OpenedDisk } from '../../ts/format/link-frame.ts'
import { EntryKind, logLayout } from '../../ts/format/log-ring.ts'
import { LogRing } from '../../ts/log/ring.ts'
import { encodeFrame, FRAME_BYTES, FrameReader, type FrameValues } from '../../ts/partner/frame.ts'
import { Mirror } from '../../ts/partner/mirror.ts'
import { PlexService } from '../../ts/plex/plex-service.ts'
import { RemotePlex } from '../../ts/plex/remote-plex.ts'
import type { Disk } from '../../ts/ports/disk.ts'
import type { Memory } from '../../ts/ports/memory.ts'
import { type MemoryDisk, MemoryWorld } from './memory-world.ts'

export const EPOCH = 7
export const PLEX_TIMEOUT_MS = 10_000
const ownerRing = new Uint8Array(16).fill(0x0a)
const keeperRing = new Uint8Array(16).fill(0x0b)
const IDLE_TURNS = 3

/** What of a frame the tests look at. */
export interface Seen {
  readonly kind: number
  readonly slot: number
  readonly blocks: number
  readonly payload: number
}

export type Words = Partial<FrameValues> & { readonly kind: number }

/** One direction: frames come in order, and are parsed as a session does. */
class Wire {
  readonly seen: Seen[] = []
  /** nothing arrives */
  isHeld = false
  readonly #input: Memory
  readonly #view: DataView
  readonly #frame = new FrameReader()
  #bytes: Uint8Array[] = []

  constructor(world: MemoryWorld) {
    this.#input = world.memory.allocate(4 * MIB)
    this.#view = new DataView(this.#input.bytes.buffer)
  }

  put(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#bytes.push(bytes)
  }

  /** frames that have not arrived yet */
  get waiting(): number {
    return this.#bytes.length
  }

  cut(): void {
    this.#bytes = []
  }

  /** Hands out what has come. A text: what is wrong with it. Undefined: nothing came. */
  deliver(
    world: MemoryWorld,
    take: (frame: FrameReader, input: Memory, payload: number) => string | undefined,
  ): string | boolean {
    if (this.isHeld || this.#bytes.length === 0) return false
    const bytes = Buffer.concat(this.#bytes.splice(0))
    this.#input.bytes.set(bytes)
    for (let from = 0; from < bytes.length; ) {
      const mistake = this.#frame.read(this.#input.bytes, this.#view, from)
      if (mistake !== undefined) return mistake
      const { kind, count, pageCount, payloadByteLength, payloadSeal } = this.#frame
      const payload = from + FRAME_BYTES
      const sum = world.memory.checksum(this.#input.address + payload, payloadByteLength)
      if (payloadByteLength > 0 && sum !== payloadSeal) return 'a payload does not check'
      this.seen.push({ kind, slot: count, blocks: pageCount, payload: payloadByteLength })
      const complaint = take(this.#frame, this.#input, payload)
      if (complaint !== undefined) return complaint
      from = payload + payloadByteLength
    }
    return true
  }
}

/** An owner and a keeper, each with its ring, and a link in memory between them. */
export class PlexLink {
  readonly world = new MemoryWorld()
  readonly disks: readonly MemoryDisk[]
  readonly missing = new Set<string>()
  /** blocks that may change while they are sent */
  readonly changing = new Set<number>()
  readonly ring: LogRing
  readonly keptRing: LogRing
  readonly mirror: Mirror
  readonly remote: RemotePlex
  readonly service: PlexService
  readonly toKeeper: Wire
  readonly toOwner: Wire
  /** why sessions have ended */
  readonly ends: string[] = []
  /** nothing ends that the disks have under way */
  areDisksStuck = false
  nowMs = 0
  overdueCount = 0
  isOnlyPlex = false

  constructor(byteLengths: readonly number[] = [MIB], path = '/dev/mirror') {
    const { world } = this
    this.disks = byteLengths.map((byteLength, index) => world.disk(`${path}${index}`, byteLength))
    const layout = logLayout(256)
    this.ring = new LogRing(world.memory.allocate(layout.byteLength), layout)
    this.keptRing = new LogRing(world.memory.allocate(layout.byteLength), layout)
    this.mirror = new Mirror(this.ring, EPOCH, ownerRing, world.memory)
    this.mirror.start(keeperRing)
    this.toKeeper = new Wire(world)
    this.toOwner = new Wire(world)
    this.remote = new RemotePlex(world.memory, {
      sharedPageAt: (address) => this.mirror.sharedPageAt(address),
      isChanging: (address) => this.changing.has(address),
      epoch: () => EPOCH,
      isOnlyPlex: () => this.isOnlyPlex,
      mayGoWithout: () => !this.isOnlyPlex,
      incarnation: () => ownerRing,
      partner: 'pollux',
      overdue: () => {
        this.overdueCount += 1
      },
      timeoutMs: PLEX_TIMEOUT_MS,
    })
    const port = { open: (path: string) => this.#openDisk(path) }
    const paths = this.disks.map(({ path }) => path)
    this.service = new PlexService(world.memory, port, paths, this.keptRing, {
      queue: (values, payload) => this.answer(values, payload),
      epoch: () => EPOCH,
      incarnation: () => keeperRing,
    })
    this.remote.linkUp()
  }

  /** Memory of the owner, and a list of some of its blocks in this order. */
  blocks(count: number): { memory: Memory; gather: (...blocks: number[]) => Gather } {
    const memory = this.world.memory.allocate(count * BLOCK_SIZE)
    const all = Array.from({ length: count }, (_, block) => block)
    const gather = (...blocks: number[]): Gather => {
      const list = new Gather()
      for (const block of blocks.length > 0 ? blocks : all)
        list.add(memory.address + block * BLOCK_SIZE, BLOCK_SIZE)
      return list
    }
    return { memory, gather }
  }

  /** Logs a write of so many pages, each of them full of one byte; the partner does not have it yet. */
  log(...fill: number[]): number {
    const { ring } = this
    const first = ring.place(fill.length)
    for (const [index, byte] of fill.entries()) ring.pageBytes(first + index).fill(byte)
    const { length } = fill
    const bytes = length * BLOCK_SIZE
    ring.append(new MemoryBatch(), EPOCH, EntryKind.WRITE, 0, 1, 1, 0, bytes, first, length, 0, 0)
    return first
  }

  /** The partner gets all of the log, and says so. */
  mirrorLog(): void {
    const { pagesAt } = this.ring.layout
    this.keptRing.memory.bytes.set(this.ring.memory.bytes.subarray(pagesAt), pagesAt)
    while (this.mirror.backlog > 0) {
      this.mirror.addEntries(new Gather())
      this.mirror.sendEnded()
      this.#acknowledge(this.ring.head - 1 - this.mirror.backlog)
    }
  }

  #acknowledge(sequence: number): void {
    const frame = new FrameReader()
    const bytes = framed({ kind: FrameKind.ACKNOWLEDGE, sequence }, keeperRing)
    frame.read(bytes, new DataView(bytes.buffer), 0)
    this.mirror.take(frame)
  }

  up(): void {
    this.remote.linkUp()
  }

  down(): void {
    this.toKeeper.cut()
    this.toOwner.cut()
    this.remote.linkDown()
    this.service.linkDown()
  }

  open(): readonly Disk[] {
    const opened = this.run(this.remote.open())
    if (opened instanceof StoreError) throw opened
    return opened
  }

  /** A frame as the owner would send it. */
  ask(values: Words, payload?: Uint8Array): void {
    this.toKeeper.put(framed(values, ownerRing, payload))
  }

  /** A frame as the keeper would send it. */
  answer(values: Words, payload?: Uint8Array): void {
    const padded = payload && new Uint8Array(roundUp(payload.length, 8))
    padded?.set(payload!)
    this.toOwner.put(framed(values, keeperRing, padded))
  }

  /** A turn of both engines. */
  turn(): boolean {
    const { world, remote, service } = this
    const came = this.#deliver()
    remote.step(this.nowMs)
    service.step()
    const ended = !this.areDisksStuck && world.turn()
    const sent = this.#send(this.toKeeper, remote) || this.#send(this.toOwner, service)
    return came || ended || sent || remote.hasWork
  }

  settle(): void {
    for (let idle = 0; idle < IDLE_TURNS; ) idle = this.turn() ? 0 : idle + 1
  }

  run<T>(procedure: Procedure<T>): T {
    for (let idle = 0; idle < 2 * IDLE_TURNS; ) {
      const { done, value } = procedure.next()
      if (done) return value
      idle = this.turn() ? 0 : idle + 1
    }
    throw new Error('a procedure waits, and nothing is under way')
  }

  #deliver(): boolean {
    const { world, remote, service } = this
    const kept = this.toKeeper.deliver(world, (frame, input, at) => service.take(frame, input, at))
    if (typeof kept === 'string') this.#end(kept)
    const owned = this.toOwner.deliver(world, (frame, input, at) => remote.take(frame, input, at))
    if (typeof owned === 'string') this.#end(owned)
    return kept !== false || owned !== false
  }

  #end(reason: string): void {
    this.ends.push(reason)
    this.down()
  }

  #send(wire: Wire, from: RemotePlex | PlexService): boolean {
    const gather = new Gather()
    from.addFrames(gather)
    wire.put(gathered(this.world, gather))
    return gather.count > 0
  }

  #openDisk(path: string): Disk {
    if (this.missing.has(path)) throw new StoreError('DISK_MISSING', `${path} is not there`)
    const disk = this.disks.find((one) => one.path === path)!
    disk.closed = false
    return disk
  }
}

function framed(values: Words, incarnation: Uint8Array, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES + payload.length)
  bytes.set(payload, FRAME_BYTES)
  const seal = payload.length === 0 ? 0 : crc32c(payload)
  encodeFrame(bytes, 0, { epoch: EPOCH, ...values }, incarnation, payload.length, seal)
  return bytes
}

export function gathered({ memory }: MemoryWorld, { addresses, lengths, count }: Gather): Uint8Array {
  const pieces = Array.from({ length: count }, (_, i) => memory.bytesAt(addresses[i]!, lengths[i]!))
  return Buffer.concat(pieces)
}

/** What an opening comes to that the keeper answers with these bytes; it hears of nothing more. */
export function openedWith(payload: Uint8Array | undefined) {
  const link = new PlexLink()
  link.toKeeper.isHeld = true
  const opening = link.remote.open()
  opening.next()
  link.turn()
  link.answer({ kind: FrameKind.DISK_DONE, count: 0 }, payload)
  return { link, opened: link.run(opening) }
}

/** Disks of these lengths, as an answer to an opening tells of them. */
export function described(...byteLengths: number[]): Uint8Array {
  const bytes = new Uint8Array(byteLengths.length * OpenedDisk.byteLength)
  for (const [at, byteLength] of byteLengths.entries()) {
    const opened = { byteLength, path: `/dev/d${at}`, disk: new Uint8Array(16) }
    OpenedDisk.encode(opened, bytes, at * OpenedDisk.byteLength)
  }
  return bytes
}
