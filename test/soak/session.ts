import type { NbdClient, NbdRequest } from '../support/nbd-client.ts'

/**
 * One connection of a client. It is given up when the server is silent for too long; then it says goodbye,
 * and listens on until the server closes it: an answer that comes late still counts.
 */
export class Session {
  readonly client: NbdClient
  readonly abandoned: Promise<void>
  isAbandoned = false
  readonly #sinceMs = new Set<{ readonly ms: number }>()
  #abandon: () => void = () => {}

  constructor(client: NbdClient) {
    this.client = client
    this.abandoned = new Promise((resolve) => {
      this.#abandon = resolve
    })
    void client.disconnected.then(() => this.#abandon())
  }

  get isUsable(): boolean {
    return !this.isAbandoned && !this.client.channel.isOver
  }

  /** How long the oldest request has had no answer. */
  get silenceMs(): number {
    const [oldest] = this.#sinceMs
    return oldest === undefined ? 0 : performance.now() - oldest.ms
  }

  get inFlight(): number {
    return this.#sinceMs.size
  }

  submit(request: NbdRequest): Promise<Buffer> {
    const since = { ms: performance.now() }
    this.#sinceMs.add(since)
    const answer = this.client.submit(request)
    const ended = () => void this.#sinceMs.delete(since)
    answer.then(ended, ended)
    return answer
  }

  abandon(): void {
    if (this.isAbandoned) return
    this.isAbandoned = true
    // after everything that is on its way; no RST, which would leave open what the server had received
    this.client.channel.socket.end()
    this.#abandon()
  }
}
