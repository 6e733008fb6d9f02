import t from 'tap'
import type { Gather } from '../../../ts/base/gather.ts'
import { FrameKind, LinkFrame } from '../../../ts/format/link-frame.ts'
import type { FrameReader } from '../../../ts/partner/frame.ts'
import { Session, type SessionUser } from '../../../ts/partner/session.ts'
import type { Memory } from '../../../ts/ports/memory.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { connected, StreamTwin } from './stream-twin.ts'

const incarnation = new Uint8Array(16).fill(7)
const text = (words: string) => new TextEncoder().encode(words)

class User implements SessionUser {
  readonly frames: string[] = []
  readonly ends: string[] = []
  complaint: string | undefined
  sentCount = 0

  frame(frame: FrameReader, input: Memory, payload: number): string | undefined {
    const bytes = input.bytes.subarray(payload, payload + frame.payloadByteLength)
    this.frames.push(
      `${frame.kind} ${frame.sequence} ${new TextDecoder().decode(bytes).replaceAll('\0', '')}`,
    )
    return this.complaint
  }

  addEntries(_gather: Gather): void {}

  sent(): void {
    this.sentCount += 1
  }

  closed(reason: string): void {
    this.ends.push(reason)
  }
}

class End {
  readonly user = new User()
  readonly session: Session
  readonly stream: StreamTwin

  constructor(memory: MemoryTwin, stream: StreamTwin) {
    this.session = new Session(memory, this.user)
    this.stream = stream
    this.session.open(stream, new Uint8Array(0), 100)
  }

  turn(nowMs = 200): void {
    this.session.parse(nowMs)
    this.session.rearm()
    this.session.pump()
    this.stream.step()
  }

  say(words: string, sequence = 0): void {
    this.session.queue({ kind: FrameKind.HANDOVER, epoch: 1, sequence }, incarnation, text(words))
  }
}

function ends(): [End, End] {
  const memory = new MemoryTwin()
  const [a, b] = connected(memory)
  return [new End(memory, a), new End(memory, b)]
}

function turns(count: number, ...all: End[]): void {
  for (let i = 0; i < count; i += 1) for (const end of all) end.turn()
}

t.test('frames arrive in order, with their payload, however the stream cuts them', async (t) => {
  for (const mouthful of [Number.POSITIVE_INFINITY, 1000, 64, 7]) {
    const [a, b] = ends()
    b.stream.mouthful = mouthful
    const expected = Array.from({ length: 30 }, (_, i) => `8 ${i} words ${'x'.repeat(i)}`)
    for (let i = 0; i < 30; i += 1) a.say(`words ${'x'.repeat(i)}`, i)
    turns(Math.ceil(6000 / Math.min(mouthful, 6000)) + 10, a, b)
    t.same(b.user.frames, expected, `${mouthful} bytes at a time`)
    t.equal(a.stream.sends, 1, 'what gathers leaves in one send')
  }
})

t.test('what the handshake has read already is not lost', async (t) => {
  const [a] = ends()
  const memory = new MemoryTwin()
  const early: Uint8Array[] = []
  a.stream.tamper = (bytes) => early.push(bytes.slice())
  a.say('early', 5)
  turns(2, a)
  const stream = new StreamTwin(memory)
  const user = new User()
  const session = new Session(memory, user)
  session.open(stream, early[0]!.subarray(0, 70), 0)
  session.parse(1)
  session.rearm()
  stream.deliver(early[0]!.subarray(70))
  stream.step()
  session.parse(2)
  t.same(user.frames, ['8 5 early'])
})

t.test('what is queued while a send is under way leaves with the next one', async (t) => {
  const [a, b] = ends()
  a.say('one')
  a.session.pump()
  t.ok(a.session.isSending)
  a.say('two')
  a.say('three')
  a.session.pump()
  t.equal(a.stream.sends, 1)
  turns(4, a, b)
  t.equal(a.stream.sends, 2)
  t.same(b.user.frames, ['8 0 one', '8 0 two', '8 0 three'])
  t.equal(a.user.sentCount, 2)
})

t.test('a payload that was changed on its way ends the session', async (t) => {
  const [a, b] = ends()
  a.stream.tamper = (bytes) => bytes[LinkFrame.byteLength + 2]!++
  a.say('words')
  turns(3, a, b)
  t.same(b.user.ends, ['a payload does not check'])
  t.same([b.user.frames, b.session.isOpen, b.stream.isClosed], [[], false, true])
})

t.test('nonsense in place of a frame ends the session', async (t) => {
  const [, b] = ends()
  b.turn()
  b.stream.deliver(new Uint8Array(64).fill(65))
  turns(2, b)
  t.same(b.user.ends, ['what came is no frame of a Pollux link'])
})

t.test('what the user objects to ends the session, and nothing after it is handed out', async (t) => {
  const [a, b] = ends()
  b.user.complaint = 'entry 9 came, 3 was expected'
  a.say('one')
  a.say('two')
  turns(3, a, b)
  t.same(b.user.frames, ['8 0 one'])
  t.same(b.user.ends, ['entry 9 came, 3 was expected'])
})

t.test('the end of the stream and a failure are told apart', async (t) => {
  const [a, b] = ends()
  turns(1, a, b)
  a.session.close('enough')
  turns(1, b)
  t.same(b.user.ends, ['the partner closed the link'])
  t.same(a.user.ends, ['enough'])
  const [c] = ends()
  c.say('x')
  c.session.pump()
  c.stream.failSend(-104)
  t.same(c.user.ends, ['the link failed (errno 104)'])
})

t.test('a goodbye is heard, also if something was being sent', async (t) => {
  for (const isBusy of [false, true]) {
    const [a, b] = ends()
    turns(1, a, b)
    if (isBusy) {
      a.say('before')
      a.session.pump()
    }
    a.session.goodbye('wrong pair', 3, incarnation)
    t.same([a.session.isOpen, a.session.isClosing, a.stream.isClosed], [false, true, false])
    turns(3, a, b)
    t.equal(b.user.frames.at(-1), '2 0 wrong pair')
    t.ok(a.stream.isClosed && !a.session.isClosing)
    t.equal(b.user.frames.length, isBusy ? 2 : 1)
  }
})

t.test('a partner that does not read its goodbye is given up', async (t) => {
  const [a] = ends()
  a.session.goodbye('wrong pair', 3, incarnation)
  t.notOk(a.session.isFree)
  a.session.giveUp()
  t.ok(a.stream.isClosed)
  a.stream.failSend(-32)
  t.ok(a.session.isFree)
  t.same(a.user.ends, ['wrong pair'])
})

t.test('a session is free for the next connection when nothing of the last is under way', async (t) => {
  const [a] = ends()
  a.session.rearm()
  a.session.close('next')
  t.notOk(a.session.isFree, 'a receive is under way')
  t.throws(() => a.session.open(a.stream, new Uint8Array(0), 0), /one connection at a time/)
  a.stream.step()
  t.ok(a.session.isFree)
  t.same(a.user.ends, ['next'], 'it is told once')
})

t.test('a partner that does not read for long is dropped rather than kept in memory', async (t) => {
  const [a] = ends()
  for (let i = 0; i < 2000 && a.session.isOpen; i += 1) {
    a.say('x'.repeat(100))
    a.session.pump()
  }
  t.same(a.user.ends, ['the partner does not read'])
})

t.test('many and long frames move through a buffer of fixed size', async (t) => {
  const [a, b] = ends()
  const words = 'y'.repeat(30_000)
  // A little less than a frame: some of the next one is always there already.
  b.stream.mouthful = 29_999
  for (let i = 0; i < 400; i += 1) {
    a.say(words, i)
    turns(1, a, b)
  }
  b.stream.mouthful = Number.POSITIVE_INFINITY
  turns(10, a, b)
  t.same([b.user.frames.length, b.user.ends], [400, []])
  t.equal(b.user.frames.at(-1), `8 399 ${words}`)
  t.equal(b.session.heardAtMs, 200)
})
