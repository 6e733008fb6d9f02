import { pino } from 'pino'
import type { EventLevel } from './messages.ts'

export interface NodeEvent {
  /** rises by one with each event of this process */
  readonly number: number
  readonly wallMs: number
  readonly level: EventLevel
  /** a short stable word for each sort of event */
  readonly event: string
  readonly text: string
  readonly aggregate?: string
  readonly facts?: Record<string, unknown>
}

export interface EventDetails {
  aggregate?: string
  facts?: Record<string, unknown>
}

/** Anything that lines can be written to, at once. */
export interface LineSink {
  write(line: string): void
}

/** Events kept for `status` and for whoever follows along. */
const KEPT = 200

/** What has happened on this node: a JSON line each in the log, the last ones in memory. */
export class EventLog {
  readonly #kept: NodeEvent[] = []
  readonly #logger
  #number = 0

  /** Lines are written synchronously: the last words of a process must not be lost. */
  constructor(node: string, sink: LineSink = pino.destination({ dest: 2, sync: true })) {
    this.#logger = pino(
      { base: { node }, messageKey: 'text', timestamp: pino.stdTimeFunctions.isoTime, formatters },
      sink,
    )
  }

  add(level: EventLevel, event: string, text: string, details: EventDetails = {}): void {
    this.#number += 1
    const kept: NodeEvent = { number: this.#number, wallMs: Date.now(), level, event, text, ...details }
    this.#kept.push(kept)
    if (this.#kept.length > KEPT) this.#kept.shift()
    this.#logger[level]({ event, ...details }, text)
  }

  /** The newest events, oldest first; up to half of them are errors that others have pushed back. */
  recent(count: number): NodeEvent[] {
    const errors = this.#kept.filter(({ level }) => level === 'error').slice(-Math.ceil(count / 2))
    const others = this.#kept.filter((event) => !errors.includes(event))
    const newest = others.slice(Math.max(0, others.length - (count - errors.length)))
    return [...errors, ...newest].sort((a, b) => a.number - b.number)
  }

  /** Events with a higher number, oldest first. */
  after(number: number): NodeEvent[] {
    return this.#kept.filter((event) => event.number > number)
  }
}

const formatters = { level: (level: string) => ({ level }) }
