import type { Procedure } from '../base/procedure.ts'
import type { MemoryPort } from '../ports/memory.ts'
import { Client, type ClientArrival, type Server } from './client.ts'

/**
 * Requests and blocks taken up in one turn, a few milliseconds: whatever clients send, replies leave,
 * heartbeats are sent and the lease is looked at in time.
 */
export const WORK_PER_TURN = 4096

/** The sessions of an aggregate's clients, and which of them have something to do in this turn. */
export class Sessions {
  readonly clients: Client[] = []

  /** Whether more requests than so many have no answer yet. Asked in every turn, with a small limit. */
  hasInFlight(limit: number): boolean {
    let count = 0
    for (const client of this.clients) {
      count += client.inFlight
      if (count > limit) return true
    }
    return false
  }

  readonly #server: Server
  readonly #memory: MemoryPort
  readonly #connectionsMax: number
  #ready: Client[] = []
  #touched: Client[] = []
  #stalled: Client[] = []

  constructor(server: Server, memory: MemoryPort, connectionsMax: number) {
    this.#server = server
    this.#memory = memory
    this.#connectionsMax = connectionsMax
  }

  get openCount(): number {
    return this.clients.reduce((count, client) => count + (client.isOpen ? 1 : 0), 0)
  }

  get hasReady(): boolean {
    return this.#ready.length > 0
  }

  get hasStalled(): boolean {
    return this.#stalled.length > 0
  }

  /** False: there are as many as may be. */
  admit(arrival: ClientArrival): boolean {
    const client = this.clients.find((one) => one.isFree) ?? this.#newClient()
    if (client === undefined) return false
    client.open(arrival)
    return true
  }

  #newClient(): Client | undefined {
    if (this.clients.length >= this.#connectionsMax) return undefined
    const client = new Client(this.clients.length, this.#server, this.#memory)
    this.clients.push(client)
    return client
  }

  /** Closes all sessions of one volume, or all; unanswered requests stay unanswered. */
  drop(reason: string, volume?: number): void {
    for (const client of this.clients) {
      if (client.isOpen && (volume === undefined || client.volume === volume)) client.drop(reason)
    }
  }

  /** After `drop`: waits for what is still in flight, then gives all buffers back. */
  *release(): Procedure {
    while (this.clients.some((client) => !client.isFree)) yield 'wait'
    for (const client of this.clients.splice(0)) client.release()
  }

  ready(client: Client): void {
    if (client.isReady) return
    client.isReady = true
    this.#ready.push(client)
  }

  touch(client: Client): void {
    if (client.isTouched) return
    client.isTouched = true
    this.#touched.push(client)
  }

  /** Waits for room, space or admission; asked again when `wakeStalled` says so. */
  stall(client: Client): void {
    if (client.isStalled) return
    client.isStalled = true
    this.#stalled.push(client)
  }

  wakeStalled(): void {
    if (this.#stalled.length === 0) return
    const stalled = this.#stalled
    this.#stalled = []
    for (const client of stalled) {
      client.isStalled = false
      this.ready(client)
    }
  }

  /** Takes up what clients have sent and what has become possible for them: a bounded part in a turn. */
  parse(): void {
    const ready = this.#ready
    this.#ready = []
    let work = 0
    let next = 0
    for (; next < ready.length && work < WORK_PER_TURN; next += 1) {
      const client = ready[next]!
      client.isReady = false
      if (!client.isOpen) continue
      client.work = 0
      client.speak()
      client.parse()
      this.touch(client)
      work += client.work
    }
    // those that had no turn come first in the next one
    if (next < ready.length) this.#ready = [...ready.slice(next), ...this.#ready]
  }

  /** Sends replies and receives again. The batch has run: buffers may move. */
  rearm(): void {
    const touched = this.#touched
    this.#touched = []
    for (const client of touched) {
      client.isTouched = false
      client.rearm()
    }
  }
}
