import type { Gather } from '../base/gather.ts'
import { FrameKind } from '../format/link-frame.ts'
import type { FrameReader, FrameValues } from '../partner/frame.ts'
import { encodeHello, type HelloFacts, judgeHello, type LinkIdentity } from '../partner/hello.ts'
import { Session, type SessionUser } from '../partner/session.ts'
import type { HostPort } from '../ports/host.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import type { Stream } from '../ports/stream.ts'

export interface LinkTimes {
  readonly heartbeatMs: number
  /** silence after which the link counts as down */
  readonly timeoutMs: number
}

/** What the engine does with what the partner says; frames come only after a hello that agrees. */
export interface LinkUser {
  helloFacts(): Omit<HelloFacts, 'boot'>
  linkUp(partner: HelloFacts): void
  linkDown(reason: string): void
  frame(frame: FrameReader, input: Memory, payload: number): string | undefined
  addEntries(gather: Gather): void
  sendEnded(): void
}

/** The link of one engine: hello first, then frames, heartbeats both ways, and a reason when it ends. */
export class Link implements SessionUser {
  partner: HelloFacts | undefined
  downReason = 'no connection yet'
  readonly #session: Session
  readonly #identity: LinkIdentity
  readonly #times: LinkTimes
  readonly #user: LinkUser
  readonly #host: HostPort
  #incarnation = new Uint8Array(16)

  constructor(memory: MemoryPort, identity: LinkIdentity, times: LinkTimes, host: HostPort, user: LinkUser) {
    this.#session = new Session(memory, this)
    this.#identity = identity
    this.#times = times
    this.#host = host
    this.#user = user
  }

  get isUp(): boolean {
    return this.partner !== undefined
  }

  get peer(): string {
    return this.#session.isOpen ? this.#session.peer : ''
  }

  get bytesSent(): number {
    return this.#session.bytesSent
  }

  /** A connection to whom the engine hopes is the partner. A newer one replaces an older one. */
  open(stream: Stream, leftover: Uint8Array, nowMs: number): void {
    this.#session.close('a newer connection replaces it')
    // completions of the old connection are still under way
    if (!this.#session.isFree) {
      stream.close()
      return this.#host.wantLink(true)
    }
    this.#host.wantLink(false)
    this.#session.open(stream, leftover, nowMs)
    const facts = this.#user.helloFacts()
    this.#incarnation = facts.incarnation.slice()
    this.queue({ kind: FrameKind.HELLO, epoch: facts.epoch }, encodeHello(this.#identity, facts))
  }

  queue(values: FrameValues, payload?: Uint8Array): void {
    this.#session.queue(values, this.#incarnation, payload)
  }

  parse(nowMs: number): void {
    this.#session.parse(nowMs)
  }

  rearm(): void {
    this.#session.rearm()
  }

  pump(): void {
    this.#session.pump()
  }

  /** Heartbeats out, silence noticed. */
  tick(nowMs: number, epoch: number): void {
    const session = this.#session
    if (session.isClosing && nowMs - session.sentAtMs > this.#times.timeoutMs) session.giveUp()
    if (!session.isOpen) return
    if (nowMs - session.heardAtMs > this.#times.timeoutMs) {
      return session.close(`the partner was silent for ${this.#times.timeoutMs} ms`)
    }
    if (nowMs - session.sentAtMs >= this.#times.heartbeatMs) {
      session.sentAtMs = nowMs
      this.queue({ kind: FrameKind.HEARTBEAT, epoch })
    }
  }

  nextWakeMs(): number {
    if (!this.#session.isOpen) return Number.POSITIVE_INFINITY
    return this.#session.sentAtMs + this.#times.heartbeatMs
  }

  close(reason: string): void {
    this.#session.close(reason)
  }

  frame(frame: FrameReader, input: Memory, payload: number): string | undefined {
    switch (frame.kind) {
      case FrameKind.HELLO:
        return this.#hello(frame, input, payload)
      case FrameKind.GOODBYE: {
        const text = new TextDecoder().decode(
          input.bytes.subarray(payload, payload + frame.payloadByteLength),
        )
        return `the partner ended the link: ${text.replaceAll('\0', '')}`
      }
      case FrameKind.HEARTBEAT:
        return undefined
      default:
        return this.isUp ? this.#user.frame(frame, input, payload) : 'a frame came before the hello'
    }
  }

  addEntries(gather: Gather): void {
    if (this.isUp) this.#user.addEntries(gather)
  }

  sent(): void {
    this.#user.sendEnded()
  }

  closed(reason: string): void {
    const wasUp = this.isUp
    this.partner = undefined
    this.downReason = reason
    this.#host.event(
      wasUp ? 'warn' : 'info',
      'link down',
      `link to ${this.#identity.partnerName} is down: ${reason}`,
    )
    this.#user.linkDown(reason)
  }

  #hello(frame: FrameReader, input: Memory, payload: number): string | undefined {
    if (this.isUp) return 'a second hello'
    const bytes = input.bytes.slice(payload, payload + frame.payloadByteLength)
    const facts = judgeHello(bytes, frame.version, this.#identity)
    if (typeof facts === 'string') {
      this.#host.event('error', 'link refused', `a connection from ${this.peer} is refused: ${facts}`)
      this.#session.goodbye(facts, frame.epoch, this.#incarnation)
      return facts
    }
    this.partner = facts
    this.#host.event('info', 'link up', `link to ${this.#identity.partnerName} is up, it is ${facts.state}`)
    this.#user.linkUp(facts)
    return undefined
  }
}
