import type { Procedure } from '../base/procedure.ts'
import { MIB } from '../base/units.ts'
import type { Clock } from '../ports/clock.ts'
import type { HostPort } from '../ports/host.ts'
import type { Image } from '../volume/image.ts'
import { type ScrubFinding, scrub } from '../volume/scrub.ts'
import { Pacer } from './pacer.ts'

export interface ScrubSettings {
  /** a scrub begins by itself so long after the last one, or after the opening; 0: never */
  readonly intervalMs: number
  /** bytes per second that it reads at most */
  readonly byteRate: number
}

/** Findings that are kept and told one by one; the others are counted. */
const FINDINGS_KEPT = 100

export type ScrubState = 'never' | 'running' | 'finished' | 'stopped'

/** The scrubs of one owner, one at a time: by command and by schedule, at a limited rate. */
export class Scrubbing {
  state: ScrubState = 'never'
  startedMs = 0
  endedMs = 0
  bytesRead = 0
  findingCount = 0
  /** of those, how many were written again from the other plex */
  mendedCount = 0
  /** the free map on some plex does not check */
  onMapDamage: () => void = () => {}
  findings: ScrubFinding[] = []
  /** plexes of which it has not read everything: not in sync, or nobody answered for them */
  readonly unreadPlexes = new Set<number>()
  byteRate: number
  #running: Procedure | undefined
  #isOver = false
  readonly #image: Image
  readonly #settings: ScrubSettings
  readonly #clock: Clock
  readonly #host: HostPort
  readonly #openedMs: number
  readonly #pacer: Pacer

  constructor(image: Image, settings: ScrubSettings, clock: Clock, host: HostPort) {
    this.#image = image
    this.#settings = settings
    this.#clock = clock
    this.#host = host
    this.#openedMs = clock.now()
    this.byteRate = settings.byteRate
    this.#pacer = new Pacer(clock, () => this.#isOver)
  }

  /** Begins a scrub, unless one is running; that one goes on at the new rate. */
  start(byteRate = this.#settings.byteRate): void {
    this.byteRate = byteRate
    if (this.#running !== undefined) return
    this.state = 'running'
    this.startedMs = this.#clock.now()
    this.bytesRead = 0
    this.findingCount = 0
    this.mendedCount = 0
    this.findings = []
    this.unreadPlexes.clear()
    this.#isOver = false
    this.#pacer.begin()
    this.#host.event('info', 'scrub', `it begins, at ${(byteRate / MIB).toFixed(1)} MiB/s at most`)
    this.#running = scrub(this.#image, {
      isOver: () => this.#isOver,
      pace: (byteLength) => this.#pace(byteLength),
      found: (finding) => this.#found(finding),
      rewriteMap: () => this.onMapDamage(),
    })
  }

  /** Ends the one that is running, as soon as nothing of it is in flight. */
  stop(): void {
    this.#isOver = this.#running !== undefined
  }

  /** Called once per turn. Returns whether there is more to do at once. */
  step(nowMs: number): boolean {
    if (this.#running === undefined && nowMs >= this.#dueMs) this.start()
    if (this.#running === undefined) return false
    this.#noteUnread()
    const { done, value } = this.#running.next()
    if (done === true) this.#ended(nowMs)
    return done !== true && value === 'again'
  }

  #noteUnread(): void {
    const { copies } = this.#image
    for (const copy of copies.all) if (!copies.isReadable(copy)) this.unreadPlexes.add(copy.plex)
  }

  nextWakeMs(): number {
    return this.#running === undefined ? this.#dueMs : this.#pacer.nextWakeMs()
  }

  /** The ownership ends: what is left to be done until nothing is in flight. */
  *close(): Procedure {
    this.stop()
    while (this.#running !== undefined) {
      this.step(this.#clock.now())
      if (this.#running !== undefined) yield 'wait'
    }
  }

  get #dueMs(): number {
    const { intervalMs } = this.#settings
    if (intervalMs === 0) return Number.POSITIVE_INFINITY
    return Math.max(this.#openedMs, this.endedMs) + intervalMs
  }

  *#pace(byteLength: number): Procedure {
    this.bytesRead += byteLength
    yield* this.#pacer.pace(byteLength, this.byteRate)
  }

  #found(finding: ScrubFinding): void {
    // who has lost the ownership looks at an image that another one changes
    if (this.#isOver) return
    this.findingCount += 1
    if (finding.isMended) this.mendedCount += 1
    if (this.findings.length === FINDINGS_KEPT) return
    this.findings.push(finding)
    const { where, physical, why, isMended } = finding
    const text = `${where}: ${why}${isMended ? '; mended' : ''}`
    this.#host.event(isMended ? 'warn' : 'error', 'scrub finding', text, { where, physical, why, isMended })
  }

  #ended(nowMs: number): void {
    this.#running = undefined
    this.state = this.#isOver ? 'stopped' : 'finished'
    this.endedMs = nowMs
    this.#isOver = false
    const level = this.findingCount > this.mendedCount ? 'error' : 'info'
    const seconds = ((nowMs - this.startedMs) / 1000).toFixed(1)
    const read = `${Math.ceil(this.bytesRead / MIB)} MiB in ${seconds} s`
    const found = `${this.findingCount} findings, ${this.mendedCount} mended`
    const unread = [...this.unreadPlexes].map((plex) => `; plex ${plex} was not read`)
    this.#host.event(level, 'scrub', `${this.state}: ${read}, ${found}${unread.join('')}`)
  }
}
