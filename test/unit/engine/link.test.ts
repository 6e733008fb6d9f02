import t from 'tap'
import { Link, type LinkUser } from '../../../ts/engine/link.ts'
import { FrameKind } from '../../../ts/format/link-frame.ts'
import type { FrameReader } from '../../../ts/partner/frame.ts'
import { type HelloFacts, type LinkIdentity, LogState } from '../../../ts/partner/hello.ts'
import type { HostPort } from '../../../ts/ports/host.ts'
import { identity } from '../log/copies.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { connected, StreamTwin } from '../partner/stream-twin.ts'

const times = { heartbeatMs: 100, timeoutMs: 1000 }
const nowhere = new Uint8Array(0)

function identityOf(name: string, change: Partial<LinkIdentity> = {}): LinkIdentity {
  const [node, partner] = name === 'castor' ? [3, 4] : [4, 3]
  return {
    pair: identity(1),
    aggregate: identity(2),
    aggregateName: 'gold',
    node: identity(node),
    nodeName: name,
    partner: identity(partner),
    partnerName: name === 'castor' ? 'pollux' : 'castor',
    boot: identity(node + 10),
    pageCount: 256,
    ...change,
  }
}

class Side implements LinkUser {
  readonly log: string[] = []
  readonly events: string[] = []
  readonly wishes: boolean[] = []
  readonly link: Link
  readonly memory: MemoryTwin
  stream: StreamTwin
  complaint: string | undefined

  constructor(memory: MemoryTwin, stream: StreamTwin, who: LinkIdentity) {
    const host = {
      event: (_level: string, kind: string, text: string) => this.events.push(`${kind}: ${text}`),
      wantLink: (wanted: boolean) => this.wishes.push(wanted),
    }
    this.memory = memory
    this.stream = stream
    this.link = new Link(memory, who, times, host as unknown as HostPort, this)
  }

  open(nowMs = 0): void {
    this.link.open(this.stream, nowhere, nowMs)
  }

  turn(nowMs: number): void {
    this.link.parse(nowMs)
    this.link.rearm()
    this.link.tick(nowMs, 5)
    this.link.pump()
    this.stream.step()
  }

  helloFacts(): Omit<HelloFacts, 'boot'> {
    return {
      state: 'keeper',
      epoch: 5,
      logState: LogState.FILLING,
      lastSequence: 7,
      incarnation: identity(9),
    }
  }

  linkUp(partner: HelloFacts): void {
    this.log.push(`up ${partner.epoch} ${partner.lastSequence}`)
  }

  linkDown(reason: string): void {
    this.log.push(`down: ${reason}`)
  }

  frame(frame: FrameReader): string | undefined {
    this.log.push(`frame ${frame.kind} ${frame.sequence}`)
    return this.complaint
  }

  addEntries(): void {}
  sendEnded(): void {}
}

function sides(change: Partial<LinkIdentity> = {}): [Side, Side] {
  const memory = new MemoryTwin()
  const [a, b] = connected(memory)
  return [new Side(memory, a, identityOf('castor')), new Side(memory, b, identityOf('pollux', change))]
}

function turns(count: number, fromMs: number, ...all: Side[]): void {
  for (let i = 0; i < count; i += 1) for (const side of all) side.turn(fromMs + i)
}

t.test('both ends say hello first, then the link is up', async (t) => {
  const [a, b] = sides()
  t.notOk(a.link.isUp)
  a.open()
  b.open()
  turns(4, 1, a, b)
  t.same([a.log, b.log], [['up 5 7'], ['up 5 7']])
  t.ok(a.link.isUp && b.link.isUp)
  t.match(a.link.partner, { boot: identity(14), incarnation: identity(9), logState: LogState.FILLING })
  a.link.queue({ kind: FrameKind.RELEASE, epoch: 5, sequence: 33 })
  turns(3, 10, a, b)
  t.equal(b.log.at(-1), `frame ${FrameKind.RELEASE} 33`)
})

t.test('whoever does not belong is refused by name, and hears why', async (t) => {
  const [a, b] = sides({ pair: identity(77) })
  a.open()
  b.open()
  turns(6, 1, a, b)
  t.notOk(a.link.isUp || b.link.isUp)
  t.match(
    a.events[0],
    /^link refused: a connection from twin is refused: node 'pollux' belongs to another pair$/,
  )
  t.match(b.link.downReason, /another pair/)
})

t.test('a frame before the hello, and a second hello, end the link', async (t) => {
  const [a, b] = sides()
  const early = new Side(a.memory, a.stream, identityOf('castor'))
  early.open()
  early.link.queue({ kind: FrameKind.ACKNOWLEDGE, epoch: 5 })
  a.stream.tamper = (bytes) => bytes.copyWithin(0, 512)
  b.open()
  turns(3, 1, early, b)
  t.match(b.link.downReason, /before the hello/)
  const [c, d] = sides()
  c.stream.tamper = (bytes) => {
    if (bytes.length === 512) d.stream.deliver(bytes)
  }
  c.open()
  d.open()
  turns(4, 1, c, d)
  t.match(d.link.downReason, /a second hello/)
})

t.test('heartbeats keep a quiet link up, silence ends it', async (t) => {
  const [a, b] = sides()
  a.open()
  b.open()
  for (let nowMs = 1; nowMs < 5000; nowMs += 20) turns(1, nowMs, a, b)
  t.ok(a.link.isUp && b.link.isUp)
  t.ok(a.link.nextWakeMs() > 4900 && a.link.nextWakeMs() < 5200)
  t.ok(a.stream.sends < 60, `${a.stream.sends} sends`)
  for (let nowMs = 5000; nowMs < 6500; nowMs += 20) turns(1, nowMs, a)
  t.notOk(a.link.isUp)
  t.match(a.link.downReason, /silent for 1000 ms/)
  t.equal(a.link.nextWakeMs(), Number.POSITIVE_INFINITY)
})

t.test('what the engine objects to ends the link, with the reason', async (t) => {
  const [a, b] = sides()
  a.open()
  b.open()
  turns(4, 1, a, b)
  b.complaint = 'a frame of epoch 4 came, but the record is at 5'
  a.link.queue({ kind: FrameKind.BASE, epoch: 4 })
  turns(4, 10, a, b)
  t.same(b.log.slice(-2), ['frame 7 0', `down: ${b.complaint}`])
  t.equal(a.log.at(-1), 'down: the partner closed the link')
  t.match(b.events.at(-1), /^link down: link to castor is down: a frame of epoch 4/)
})

t.test('a newer connection takes the place of an older one when that has ended', async (t) => {
  const [a, b] = sides()
  a.open()
  b.open()
  turns(4, 1, a, b)
  const late = new StreamTwin(a.memory)
  a.link.open(late, nowhere, 20)
  t.ok(late.isClosed, 'a receive of the older one is still under way')
  t.same(a.wishes, [false, true], 'so another one is wished for: nobody dials unasked')
  t.equal(a.log.at(-1), 'down: a newer connection replaces it')
  turns(4, 21, a, b)
  const [c, d] = connected(a.memory)
  a.stream = c
  b.stream = d
  a.open(30)
  b.open(30)
  turns(4, 31, a, b)
  t.ok(a.link.isUp && b.link.isUp)
  t.same(a.wishes, [false, true, false])
  a.link.close('done')
  t.notOk(a.link.isUp)
})
