import type { Gather } from '../../../ts/base/gather.ts'
import { MemoryBatch } from '../../../ts/base/memory-batch.ts'
import { FrameKind, LINK_VERSION } from '../../../ts/format/link-frame.ts'
import { LogEntry } from '../../../ts/format/log-ring.ts'
import { FrameReader } from '../../../ts/partner/frame.ts'
import { encodeHello, judgeHello, type LinkIdentity } from '../../../ts/partner/hello.ts'
import { Keeper } from '../../../ts/partner/keeper.ts'
import { Session, type SessionUser } from '../../../ts/partner/session.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import { CopyHost } from '../../unit/log/copies.ts'
import { MemoryTwin } from '../../unit/log/memory-twin.ts'
import { StreamTwin } from '../../unit/partner/stream-twin.ts'
import { entriesFrame, frameBytes, sealFrames } from '../frames.ts'
import { chanceOf, inPieces, must, mustEqual, type Target } from '../target.ts'

const id = (byte: number) => new Uint8Array(16).fill(byte)
const own: LinkIdentity = {
  pair: id(1),
  aggregate: id(2),
  aggregateName: 'gold',
  node: id(3),
  nodeName: 'castor',
  partner: id(4),
  partnerName: 'pollux',
  boot: id(5),
  pageCount: 256,
}
const partner = { ...own, node: id(4), nodeName: 'pollux', partner: id(3), partnerName: 'castor' }
const facts = { state: 'owner', epoch: 9, logState: 2, lastSequence: 2 ** 41, incarnation: id(7) } as const

/** Frames of a partner; in most inputs, their seals are put right. */
export const target: Target = {
  name: 'link',
  byteLengthMax: 24_000,
  seeds: () => [
    frameBytes({ kind: FrameKind.HELLO, epoch: 1 }, encodeHello(partner, facts)),
    joined(
      frameBytes({ kind: FrameKind.BASE, epoch: 5, sequence: 40, generation: 2 }),
      entriesFrame(5, 40, 0, [1, 0, 2]),
      frameBytes({ kind: FrameKind.RELEASE, epoch: 5, sequence: 41, generation: 3 }),
      entriesFrame(5, 43, 3, [0]),
    ),
    joined(
      frameBytes({ kind: FrameKind.HEARTBEAT, epoch: 5 }),
      frameBytes({ kind: FrameKind.DISK_WRITE, epoch: 5, pageCount: 2 }, new Uint8Array(16)),
      frameBytes({ kind: FrameKind.GOODBYE, epoch: 0 }, Buffer.from('the end.')),
    ),
  ],
  run(input) {
    const random = chanceOf(input)
    const bytes = random.chance(0.9) ? sealFrames(input) : input
    const whole = hear([bytes])
    const cut = hear(inPieces(bytes, random))
    if (whole.ended === '' || cut.ended === '') return mustEqual('in pieces', cut, whole)
    // which of two mistakes is found first, and what was taken before, depends on what has come together
    const count = Math.min(whole.frames.length, cut.frames.length)
    mustEqual('in pieces', cut.frames.slice(0, count), whole.frames.slice(0, count))
  },
}

const joined = (...pieces: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces))

/** The side of a keeper: takes what an owner says into its ring. */
class Listener implements SessionUser {
  readonly frames: string[] = []
  ended = ''
  readonly batch = new MemoryBatch(64)
  readonly copy = new CopyHost(memory, 0x20).open()
  readonly keeper = new Keeper(this.copy, this.batch)

  reset(): void {
    this.frames.length = 0
    this.ended = ''
    this.batch.clear()
    const base = Object.assign(new FrameReader(), { sequence: 1, epoch: 0, generation: 0 })
    this.keeper.begin(base)
    this.keeper.discard()
    this.copy.ring.memory.bytes.fill(0, this.copy.ring.layout.pagesAt)
  }

  frame(frame: FrameReader, input: Memory, payload: number): string | undefined {
    const end = payload + frame.payloadByteLength
    must(end <= input.bytes.length, 'a frame is where it has come to')
    this.frames.push(`${frame.kind} ${frame.sequence} ${frame.payloadByteLength}`)
    if (frame.kind === FrameKind.HELLO) {
      const verdict = judgeHello(input.bytes.slice(payload, end), frame.version, own)
      must(verdict !== '', 'a refusal has words')
      if (typeof verdict === 'string') return verdict
      must(frame.version === LINK_VERSION, 'another version is refused')
    }
    if (frame.kind === FrameKind.BASE) this.keeper.begin(frame)
    if (frame.kind === FrameKind.RELEASE) this.keeper.release(frame)
    return frame.kind === FrameKind.ENTRIES ? this.keeper.take(frame, input, payload) : undefined
  }

  addEntries(_gather: Gather): void {}

  sent(): void {}

  closed(reason: string): void {
    this.ended = reason
  }
}

const memory = new MemoryTwin()
const listener = new Listener()
const session = new Session(memory, listener)

function hear(pieces: readonly Uint8Array[]) {
  listener.reset()
  const stream = new StreamTwin(memory)
  session.open(stream, new Uint8Array(0), 0)
  session.rearm()
  for (const piece of pieces) {
    if (piece.length === 0) continue
    stream.deliver(piece)
    for (let turn = 0; turn < 2 && session.isOpen; turn += 1) {
      stream.step()
      session.parse(1)
      keep()
      session.rearm()
    }
  }
  const { ended, frames, copy, keeper } = listener
  const { tail, head } = copy.ring
  // what a session that has ended had not yet kept depends on where it was cut
  const ring = ended === '' ? { tail, head, received: keeper.entriesReceived } : {}
  if (ended === '') mustBeWhole()
  session.close('over')
  stream.close()
  stream.step()
  keeper.entriesReceived = 0
  return { ended, frames: [...frames], ...ring }
}

function keep(): void {
  if (!session.isOpen) return
  if (memory.run(listener.batch) > 0) {
    listener.keeper.discard()
    session.close('log entries were damaged on their way')
  } else listener.keeper.commit()
}

/** Whatever is in the copy has its place, its pages inside of the ring, and belongs to the epoch. */
function mustBeWhole(): void {
  const { ring } = listener.copy
  must(ring.head >= ring.tail && ring.entryCount <= ring.layout.descriptorCount, 'the ring is not overfull')
  for (let sequence = ring.tail; sequence < ring.head; sequence += 1) {
    must(ring.claimedSequence(sequence) === sequence, 'each entry is in its place')
    const end = ring.firstPage(sequence) + ring.pageCount(sequence)
    must(ring.pageCount(sequence) === 0 || end <= ring.layout.pageCount, 'pages are inside of the ring')
    must(ring.epoch(sequence) <= listener.keeper.epoch, 'no entry is of a later epoch')
  }
  must(LogEntry.byteLength === 64, 'entries have the length that frames are read with')
}
