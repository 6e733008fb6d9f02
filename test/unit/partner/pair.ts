import type { Gather } from '../../../ts/base/gather.ts'
import { MemoryBatch } from '../../../ts/base/memory-batch.ts'
import { FrameKind } from '../../../ts/format/link-frame.ts'
import type { LogCopy } from '../../../ts/log/copy.ts'
import type { FrameReader } from '../../../ts/partner/frame.ts'
import { Keeper } from '../../../ts/partner/keeper.ts'
import { Mirror } from '../../../ts/partner/mirror.ts'
import { Session, type SessionUser } from '../../../ts/partner/session.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import { CopyHost } from '../log/copies.ts'
import type { MemoryTwin } from '../log/memory-twin.ts'
import { Writer } from '../log/rings.ts'
import { connected, type StreamTwin } from './stream-twin.ts'

export const EPOCH = 5

/** The owner's side of a link: writes entries, sends them, hears acknowledgements. */
export class OwnerEnd implements SessionUser {
  readonly copy: LogCopy
  readonly writer: Writer
  readonly mirror: Mirror
  readonly session: Session
  readonly ends: string[] = []

  constructor(memory: MemoryTwin, first = 1) {
    this.copy = new CopyHost(memory, 0x10).open()
    this.copy.ring.reset(first)
    this.copy.marks.begin(EPOCH, first, true)
    this.writer = new Writer(this.copy.ring, memory, EPOCH)
    this.mirror = new Mirror(this.copy.ring, EPOCH, this.copy.incarnation, memory)
    this.session = new Session(memory, this)
  }

  begin(partnerIncarnation: Uint8Array): void {
    this.mirror.start(partnerIncarnation)
    const values = { kind: FrameKind.BASE, epoch: EPOCH, sequence: this.mirror.base, generation: 1 }
    this.session.queue(values, this.copy.incarnation)
  }

  /** The disks contain entries up to here, as far as the partner has them and nothing is being sent. */
  release(sequence: number): void {
    const values = { kind: FrameKind.RELEASE, epoch: EPOCH, sequence, generation: 2 }
    this.session.queue(values, this.copy.incarnation)
    const through = Math.min(sequence, this.mirror.acknowledged, this.mirror.pinnedFrom - 1)
    if (through >= this.copy.ring.tail) this.copy.ring.release(through)
  }

  turn(): void {
    this.session.parse(1)
    this.session.rearm()
    this.session.pump()
  }

  frame(frame: FrameReader): string | undefined {
    return frame.kind === FrameKind.ACKNOWLEDGE ? this.mirror.take(frame) : `frame ${frame.kind} to the owner`
  }

  addEntries(gather: Gather): void {
    this.mirror.addEntries(gather)
  }

  sent(): void {
    this.mirror.sendEnded()
  }

  closed(reason: string): void {
    this.ends.push(reason)
  }
}

/** The keeper's side, as the engine drives it. */
export class KeeperEnd implements SessionUser {
  readonly copy: LogCopy
  readonly keeper: Keeper
  readonly session: Session
  readonly ends: string[] = []
  readonly #batch = new MemoryBatch(64)
  readonly #memory: MemoryTwin

  constructor(memory: MemoryTwin) {
    this.#memory = memory
    this.copy = new CopyHost(memory, 0x20).open()
    this.keeper = new Keeper(this.copy, this.#batch)
    this.session = new Session(memory, this)
  }

  turn(): void {
    this.session.parse(1)
    this.#keep()
    this.session.rearm()
    this.session.pump()
  }

  #keep(): void {
    if (this.#memory.run(this.#batch) > 0) {
      this.keeper.discard()
      this.session.close('log entries were damaged on their way')
    } else if (this.keeper.commit()) {
      const values = { kind: FrameKind.ACKNOWLEDGE, epoch: this.keeper.epoch, sequence: this.keeper.received }
      this.session.queue(values, this.copy.incarnation)
    }
  }

  frame(frame: FrameReader, input: Memory, payload: number): string | undefined {
    switch (frame.kind) {
      case FrameKind.BASE:
        this.#keep()
        this.keeper.begin(frame)
        return undefined
      case FrameKind.ENTRIES:
        return this.keeper.take(frame, input, payload)
      case FrameKind.RELEASE:
        this.#keep()
        this.keeper.release(frame)
        return undefined
      default:
        return `frame ${frame.kind} to the keeper`
    }
  }

  addEntries(): void {}
  sent(): void {}

  closed(reason: string): void {
    this.ends.push(reason)
  }
}

export class Pair {
  readonly owner: OwnerEnd
  readonly keeper: KeeperEnd
  readonly memory: MemoryTwin
  streams!: [StreamTwin, StreamTwin]

  constructor(memory: MemoryTwin, first = 1) {
    this.memory = memory
    this.owner = new OwnerEnd(memory, first)
    this.keeper = new KeeperEnd(memory)
    this.connect()
  }

  connect(): void {
    this.streams = connected(this.memory)
    this.owner.session.open(this.streams[0], new Uint8Array(0), 0)
    this.keeper.session.open(this.streams[1], new Uint8Array(0), 0)
    this.owner.begin(this.keeper.copy.incarnation)
  }

  turn(): boolean {
    this.owner.turn()
    this.keeper.turn()
    return this.streams.map((stream) => stream.step()).includes(true)
  }

  settle(): void {
    for (let idle = 0; idle < 3; ) idle = this.turn() ? 0 : idle + 1
  }

  /** Retained entries whose descriptor, checksums or pages differ between the two rings. */
  differences(): string[] {
    const [own, kept] = [this.owner.copy.ring, this.keeper.copy.ring]
    const found: string[] = []
    const compare = (what: string, a: Uint8Array, b: Uint8Array) => {
      if (Buffer.compare(a, b) !== 0) found.push(what)
    }
    for (let sequence = own.tail; sequence < own.head; sequence += 1) {
      compare(`descriptor ${sequence}`, own.descriptorBytes(sequence), kept.descriptorBytes(sequence))
      for (let i = 0; i < own.pageCount(sequence); i += 1) {
        const page = own.firstPage(sequence) + i
        compare(`page ${i} of ${sequence}`, own.pageBytes(page), kept.pageBytes(page))
        if (own.pageChecksum(page) !== kept.pageChecksum(page)) found.push(`checksum ${i} of ${sequence}`)
      }
    }
    return found
  }
}
