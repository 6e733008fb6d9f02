import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { EventLog } from './events.ts'

/** Before the first attempt to start it again, and, doubled with each, before all later ones. */
const RESTART_MS = 1000
const RESTART_MS_MAX = 16_000
/** Whoever has lived for so long was no failed attempt. */
const GROWN_UP_MS = 60_000

export interface GuardArguments {
  /** for the events */
  readonly node: string
  /** after which the node counts as stopped */
  readonly silenceMs: number
  readonly addresses: readonly string[]
}

/**
 * A process beside the node that removes its addresses when the node does not say any more that it runs: it
 * was killed, or stopped. Nobody else on this host would, before their lifetime is over, and clients that
 * wait for an answer would wait for longer than that.
 */
export class AddressGuard {
  readonly #program: string
  readonly #spawn: typeof spawn
  readonly #args: readonly string[]
  readonly #events: EventLog
  #child: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined
  #restartMs = RESTART_MS
  #startedMs = 0
  #why = ''
  #isClosed = false

  constructor(program: URL, args: GuardArguments, events: EventLog, start: typeof spawn = spawn) {
    this.#program = fileURLToPath(program)
    this.#spawn = start
    this.#args = [args.node, String(args.silenceMs), ...args.addresses]
    this.#events = events
    this.#start()
  }

  /** The node runs. */
  beat(): void {
    // who does not read is not to be told more and more
    if (this.#child?.stdin?.writableNeedDrain === false) this.#child.stdin.write('.')
  }

  /** The node has removed its addresses, and the guard may go. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#restart)
    this.#child?.stdin?.end()
    this.#child?.unref()
  }

  #start(): void {
    this.#startedMs = performance.now()
    try {
      this.#child = this.#begin()
    } catch (error) {
      // a host that is short of something has to do without a guard for a while, not without the node
      this.#ended(undefined, (error as Error).message)
    }
  }

  #begin(): ChildProcess {
    // a session of its own: what ends the node from a terminal must not end the guard before it has acted
    const child: ChildProcess = this.#spawn(process.execPath, [this.#program, ...this.#args], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    // without descriptors there is none, and an error follows
    child.stdin?.on('error', () => {})
    child.on('error', (error) => this.#ended(child, error.message))
    child.once('exit', (code, signal) => this.#ended(child, `it ended with ${code ?? signal}`))
    return child
  }

  /** Failures one after the other are told once, unless they become different ones. */
  #ended(child: ChildProcess | undefined, why: string): void {
    if (this.#isClosed || this.#child !== child) return
    this.#child = undefined
    if (performance.now() - this.#startedMs > GROWN_UP_MS) this.#restartMs = RESTART_MS
    const isNew = this.#restartMs === RESTART_MS || why !== this.#why
    this.#why = why
    const text = `the guard of the service addresses has to be started again: ${why}`
    if (isNew) this.#events.addSparingly('warn', 'address-guard-ended', text)
    this.#restart = setTimeout(() => this.#start(), this.#restartMs)
    this.#restartMs = Math.min(2 * this.#restartMs, RESTART_MS_MAX)
  }
}
