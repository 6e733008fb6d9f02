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

/** So many of one sort of event are told in each minute, where others make them happen. */
const SPARING_MAX = 20
const SPARING_WINDOW_MS = 60_000

interface Window {
  beganMs: number
  told: number
  untold: number
}

/** What has happened on this node: a JSON line each in the log, the last ones in memory. */
export class EventLog {
  readonly #kept: NodeEvent[] = []
  readonly #logger
  readonly #nowMs: () => number
  readonly #windows = new Map<string, Window>()
  #number = 0

  /** Lines are written synchronously: the last words of a process must not be lost. */
  constructor(
    node: string,
    sink: LineSink = pino.destination({ dest: 2, sync: true }),
    nowMs: () => number = () => performance.now(),
  ) {
    this.#nowMs = nowMs
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

  /**
   * As `add`, for what others can make happen as often as they like: after 20 of one sort in a minute the
   * rest is only counted, so that it pushes out no others, and the next one that is told says how many.
   */
  addSparingly(level: EventLevel, event: string, text: string, details?: EventDetails): void {
    const nowMs = this.#nowMs()
    const window = this.#windows.get(event) ?? { beganMs: nowMs, told: 0, untold: 0 }
    this.#windows.set(event, window)
    if (nowMs - window.beganMs > SPARING_WINDOW_MS) Object.assign(window, { beganMs: nowMs, told: 0 })
    if (window.told === SPARING_MAX) {
      window.untold += 1
      return
    }
    const more = window.untold > 0 ? ` (${window.untold} more were not told)` : ''
    window.told += 1
    window.untold = 0
    this.add(level, event, text + more, details)
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
