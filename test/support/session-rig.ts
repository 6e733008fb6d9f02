import { Client, Progress, type Server } from '../../ts/flow/client.ts'
import type { SessionTerms } from '../../ts/nbd/session-terms.ts'
import { ReplyParser } from '../sim/nbd-wire.ts'
import type { MemoryTwin } from '../unit/log/memory-twin.ts'
import { StreamTwin } from '../unit/partner/stream-twin.ts'

/** Answers at once whatever a client may ask for, and hears its own answers through a parser. */
export class SessionRig implements Server {
  readonly client: Client
  readonly stream: StreamTwin
  readonly answers: [number, number][] = []
  ended = ''
  #isReady = false

  constructor(memory: MemoryTwin, terms: SessionTerms) {
    this.client = new Client(0, this, memory)
    this.stream = new StreamTwin(memory)
    const answered = (cookie: number, error: number) => void this.answers.push([cookie, error])
    const parser = new ReplyParser({ dataLength: () => 0, data: () => {}, answered }, terms)
    this.stream.tamper = (bytes) => parser.take(Uint8Array.from(bytes))
    const leftover = new Uint8Array(0)
    this.client.open({
      stream: this.stream,
      volume: 1,
      byteLength: 1 << 20,
      readOnly: false,
      terms,
      leftover,
    })
  }

  execute(client: Client): Progress {
    const { request } = client
    if (client.progress < request.payloadLength) {
      const now = Math.min(request.payloadLength - client.progress, client.available)
      client.consume(now)
      client.progress += now
      if (client.progress < request.payloadLength) return Progress.MORE
    }
    client.reply(request)
    return Progress.DONE
  }

  touch(): void {}

  ready(): void {
    this.#isReady = true
  }

  gone(_client: Client, reason: string): void {
    this.ended = reason
  }

  /** The session is over, and its buffers serve others. */
  end(): void {
    this.client.drop('over')
    while (!this.client.isFree) if (!this.stream.step()) throw new Error('an operation does not end')
    this.client.release()
  }

  run(turns: number): void {
    for (let turn = 0; turn < turns && this.client.isOpen; turn += 1) {
      if (this.#isReady) {
        this.#isReady = false
        this.client.work = 0
        this.client.speak()
        this.client.parse()
      }
      this.client.rearm()
      this.stream.step()
    }
  }
}
