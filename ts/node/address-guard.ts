import { type ChildProcess, spawn } from 'node:child_process'
import type { EventLog } from './events.ts'

const RESTART_MS = 1000

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
  readonly #program: URL
  readonly #args: readonly string[]
  readonly #events: EventLog
  #child: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(program: URL, args: GuardArguments, events: EventLog) {
    this.#program = program
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
    // a session of its own: what ends the node from a terminal must not end the guard before it has acted
    const child = spawn(process.execPath, [this.#program.pathname, ...this.#args], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    this.#child = child
    child.stdin.on('error', () => {})
    child.once('error', (error) => this.#ended(child, error.message))
    child.once('exit', (code, signal) => this.#ended(child, `it ended with ${code ?? signal}`))
  }

  #ended(child: ChildProcess, why: string): void {
    if (this.#isClosed || this.#child !== child) return
    this.#child = undefined
    const text = `the guard of the service addresses has to be started again: ${why}`
    this.#events.add('warn', 'address-guard-ended', text)
    this.#restart = setTimeout(() => this.#start(), RESTART_MS)
  }
}
