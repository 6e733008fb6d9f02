import { connect, type NbdClient } from './nbd-client.ts'

/**
 * A client that always reads, and connects again the moment its connection breaks: as QEMU does, which then
 * sleeps for a second if that fails. This one does not sleep, and counts what has failed.
 */
export class ImpatientClient {
  readonly #uri: string
  #isStopped = false
  #done: Promise<void> | undefined
  /** reads that were answered */
  answered = 0
  connections = 0
  /** why attempts to connect have failed */
  readonly failures: string[] = []
  /** the longest time without an answer */
  longestStallMs = 0

  constructor(uri: string) {
    this.#uri = uri
  }

  start(): void {
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#done
  }

  /** What was seen since this was asked last. */
  take(): { stallMs: number; failures: readonly string[]; connections: number } {
    const { longestStallMs, connections } = this
    this.longestStallMs = 0
    this.connections = 0
    return { stallMs: Math.round(longestStallMs), failures: this.failures.splice(0), connections }
  }

  async #run(): Promise<void> {
    let answeredMs = performance.now()
    while (!this.#isStopped) {
      const client = await this.#connect()
      for (let isConnected = client !== undefined; isConnected && !this.#isStopped; ) {
        isConnected = await client!.read(0, 4096).then(
          () => true,
          () => false,
        )
        if (!isConnected) continue
        this.answered += 1
        this.longestStallMs = Math.max(this.longestStallMs, performance.now() - answeredMs)
        answeredMs = performance.now()
      }
      await client?.destroy()
    }
  }

  async #connect(): Promise<NbdClient | undefined> {
    try {
      const client = await connect(this.#uri, { timeoutMs: 10_000 })
      this.connections += 1
      return client
    } catch (error) {
      this.failures.push((error as NodeJS.ErrnoException).code ?? (error as Error).message)
      return undefined
    }
  }
}
